//! `zerosearch quickstart`

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, value_parser};
use zerosearch::quickstart::{self, Claims};
use zerosearch::stop::{Reason, Stop};

use super::flags::minutes;
use super::screen::say;

/// See the whole method work in an invented world, in minutes, without network, model or data
///
/// Invents a world, asks a base model of 2 MB that comes with the program, collects what a real engine (BM25) answers
/// to its queries, judges the documents, tunes a simulator on them, measures it, trains the policy against it with growing
/// noise, and asks again with the real engine: questions about entities that nothing in training was about. Each stage
/// says what it does and why, and lies in a folder of its own in the form of the verb that it stands for. The same command
/// again goes on where it was left. summary.json and report.html hold what came of it; docs/micro-world.md tells what to
/// expect.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  zerosearch quickstart
  zerosearch quickstart --seed 2 --world-seed 7 --out runs/quickstart-7
  zerosearch quickstart --claims --seed 11 --minutes 30")]
pub(super) struct Quickstart {
    /// Draws the training, the simulator and the order of questions
    #[arg(long, value_name = "SEED", default_value_t = 1, value_parser = value_parser!(u64).range(..=1 << 62))]
    seed: u64,
    /// Draws the world
    #[arg(long, value_name = "SEED", default_value_t = 1, value_parser = value_parser!(u64).range(..=1 << 62))]
    world_seed: u64,
    /// Stop after so many minutes; the same command goes on
    #[arg(long, value_name = "MINUTES", value_parser = minutes)]
    pub(super) minutes: Option<f64>,
    /// Folder of everything [default: runs/quickstart, with --claims runs/claims]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Compare what the paper compares, over several seeds: --seed is the first, and each draws its world, too. A seed takes
    /// two to three times as long as a quickstart
    #[arg(long, conflicts_with = "world_seed")]
    claims: bool,
    /// With --claims: how many seeds
    #[arg(long, value_name = "N", default_value_t = 5, requires = "claims", value_parser = value_parser!(u64).range(1..=1000))]
    seeds: u64,
}

impl Quickstart {
    pub(super) async fn run(self, stop: &Stop) -> Result<Option<Reason>> {
        let usual = if self.claims { "runs/claims" } else { "runs/quickstart" };
        let folder = self.out.unwrap_or_else(|| usual.into());
        let shown = folder.display().to_string();
        // Plans name files in it, and are the same wherever it is gone on with from.
        let folder = std::path::absolute(&folder).with_context(|| format!("{shown} is no folder"))?;
        let (seed, world_seed) = (self.seed, self.world_seed);
        let (outcome, files) = if self.claims {
            let claims = Claims { first: seed, seeds: self.seeds, folder };
            (claims.run(stop, &say).await?.map(|findings| findings.table()), "claims.json lies")
        } else {
            let quickstart = quickstart::Quickstart { seed, world_seed, folder, is_gated: true };
            let summary = quickstart.run(stop, &say).await?;
            (summary.map(|summary| summary.table()), "summary.json and report.html lie")
        };
        match outcome {
            Ok(table) => {
                say(&format!("\n{}\n\n{files} in {shown}", table.trim_end()));
                Ok(None)
            }
            Err(reason) => {
                say(&format!(
                    "{reason}: what is done lies in {shown}\nhint: the same command goes on from there"
                ));
                Ok(Some(reason))
            }
        }
    }
}
