//! The quickstart: the whole method in an invented world, stage by stage, in one folder.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::report;
use crate::run::replace;
use crate::stop::{Reason, Stop};

mod claims;
mod ledger;
mod recipe;
mod rows;
mod stage;
mod summary;
mod workshop;

pub use claims::{Claims, Comparison, Findings, Spread};
pub use ledger::Took;
pub use stage::Stage;
pub use summary::{Scores, Simulator, StageTook, Summary};

use ledger::Ledger;
use recipe::{Asked, Recipe};
use workshop::Workshop;

/// What is played, and where.
#[derive(Clone, Debug)]
pub struct Quickstart {
    /// Draws the training, the simulator and the order of questions.
    pub seed: u64,
    /// Draws the world.
    pub world_seed: u64,
    /// Everything lies here.
    pub folder: PathBuf,
    /// Whether it stops before training where the simulator is too weak to learn from.
    pub is_gated: bool,
}

impl Quickstart {
    /// Carries out every stage that is not done yet and tells `say` what it does and why. The summary, or why it was left:
    /// the same again goes on from there.
    ///
    /// # Errors
    /// When the folder holds something else, or a stage fails.
    pub async fn run(
        &self,
        stop: &Stop,
        say: &(dyn Fn(&str) + Sync),
    ) -> Result<std::result::Result<Summary, Reason>> {
        let mut ledger = Ledger::open(&self.folder, self.seed, self.world_seed)?;
        let workshop = self.workshop(stop);
        for (at, stage) in Stage::ALL.into_iter().enumerate() {
            let head = format!("{}/{} {}", at + 1, Stage::ALL.len(), stage.title());
            if ledger.took(stage.folder()).is_some() {
                say(&format!("{head}: done before"));
                continue;
            }
            say(&format!("\n{head}\n{}", stage.why()));
            let work = workshop.carry_out(stage);
            let outcome = ledger.watch(stage.folder(), work).await;
            match outcome.with_context(|| format!("stage {} failed: {}", at + 1, stage.title()))? {
                Ok(found) => say(&format!("=> {found}")),
                Err(reason) => return Ok(Err(reason)),
            }
        }
        self.conclude(&ledger).map(Ok)
    }

    fn workshop<'a>(&'a self, stop: &'a Stop) -> Workshop<'a> {
        Workshop { recipe: self.recipe(), world_seed: self.world_seed, is_gated: self.is_gated, stop }
    }

    fn recipe(&self) -> Recipe<'_> {
        Recipe { folder: &self.folder, seed: self.seed }
    }

    /// Writes `summary.json` and `report.html`.
    fn conclude(&self, ledger: &Ledger) -> Result<Summary> {
        let took = |stage: Stage| Some((stage.folder().to_owned(), ledger.took(stage.folder())?));
        let stages = Stage::ALL.into_iter().filter_map(took);
        let asked = |stage: Stage| Asked::ALL.map(|asked| format!("{}/{}", stage.folder(), asked.folder()));
        let runs = [Stage::Train, Stage::Simulator].map(|stage| stage.folder().to_owned());
        let folders = asked(Stage::Before).into_iter().chain(asked(Stage::After)).chain(runs);
        let summary = Summary {
            folders: folders.collect(),
            ..Summary::of(&self.recipe(), self.world_seed, stages.collect())?
        };
        let path = self.folder.join("summary.json");
        replace(&path, &serde_json::to_vec_pretty(&summary)?)
            .with_context(|| format!("{} cannot be written", path.display()))?;
        report::write(&report::Wanted {
            folders: vec![self.folder.clone()],
            page: self.folder.join("report.html"),
            plots: None,
            price_per_1000_searches: None,
        })?;
        Ok(summary)
    }
}
