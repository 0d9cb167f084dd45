//! `zerosearch quickstart`

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use zerosearch::stop::{Reason, Stop};

use super::flags::minutes;
use super::screen::say;

/// See the whole method work in an invented world, in minutes, without network, model or data
///
/// Invents a world, asks a base model of 2 MB that comes with the program, collects what a real engine (BM25) answers
/// to its queries, judges the documents, tunes a simulator on them, trains the policy against it with growing noise, and
/// asks again with the real engine: questions about entities that nothing in training was about. Each stage says what it
/// does and why, and lies in a folder of its own in the form of the verb that it stands for. The same command again goes
/// on where it was left. summary.json holds what came of it; docs/micro-world.md tells what to expect.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  zerosearch quickstart
  zerosearch quickstart --seed 2 --world-seed 7 --out runs/quickstart-7")]
pub(super) struct Quickstart {
    /// Draws the training, the simulator and the order of questions
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    seed: u64,
    /// Draws the world
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    world_seed: u64,
    /// Stop after so many minutes; the same command goes on
    #[arg(long, value_name = "MINUTES", value_parser = minutes)]
    pub(super) minutes: Option<f64>,
    /// Folder of everything
    #[arg(long, value_name = "FOLDER", default_value = "runs/quickstart")]
    out: PathBuf,
}

impl Quickstart {
    pub(super) async fn run(self, stop: &Stop) -> Result<Option<Reason>> {
        let Self { seed, world_seed, out: folder, .. } = self;
        let shown = folder.display().to_string();
        let quickstart = zerosearch::quickstart::Quickstart { seed, world_seed, folder };
        match quickstart.run(stop, &say).await? {
            Ok(summary) => {
                say(&format!("\n{}", summary.table().trim_end()));
                say(&format!("summary.json and report.html lie in {shown}"));
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
