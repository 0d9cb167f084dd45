//! Claims: the comparisons of the paper in invented worlds, each over several seeds, with the same samples on both sides.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Quickstart;
use super::ledger::Ledger;
use super::recipe::Asked;
use super::summary::Summary;
use super::workshop::end_of;
use crate::eval;
use crate::run::{VERSION, claim, read_json, replace};
use crate::stop::{Reason, Stop};

mod arm;
mod comparison;

pub use comparison::{Comparison, Spread};

use arm::Arm;
use comparison::Scores;

/// What is compared, and where.
#[derive(Clone, Debug)]
pub struct Claims {
    /// The first seed; it draws the world, too.
    pub first: u64,
    /// How many seeds, one after the other.
    pub seeds: u64,
    /// Everything lies here.
    pub folder: PathBuf,
}

/// `claims.json`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Findings {
    /// [`VERSION`].
    pub version: u32,
    /// The seeds, in order.
    pub seeds: Vec<u64>,
    /// What the recipe as it is came to, seed by seed.
    pub recipe: Vec<Summary>,
    /// Each arm beside it.
    pub arms: Vec<Comparison>,
}

impl Claims {
    /// Runs every quickstart and every arm that is not done yet, and tells `say` how far it is. What was found, or why it
    /// was left: the same again goes on from there.
    ///
    /// # Errors
    /// When the folder holds something else, or a stage fails.
    pub async fn run(
        &self,
        stop: &Stop,
        say: &(dyn Fn(&str) + Sync),
    ) -> Result<std::result::Result<Findings, Reason>> {
        claim(&self.folder, "seeds.json", &json!({"version": VERSION, "first": self.first}))?;
        let (mut recipe, runs) = (Vec::new(), self.seeds * (1 + Arm::ALL.len() as u64));
        let mut begun = 0;
        for quickstart in self.quickstarts() {
            begun += 1;
            say(&format!("\nrun {begun} of {runs}: seed {}, the recipe as it is", quickstart.seed));
            let played = quickstart.run(stop, &|_| ()).await;
            match played.with_context(|| format!("seed {} cannot be compared", quickstart.seed))? {
                Ok(summary) => recipe.push(summary),
                Err(reason) => return Ok(Err(reason)),
            }
            for arm in Arm::ALL {
                begun += 1;
                say(&format!("\nrun {begun} of {runs}: seed {}, {}", quickstart.seed, arm.words()));
                if let Some(reason) = play(arm, &quickstart, stop).await? {
                    return Ok(Err(reason));
                }
            }
        }
        self.conclude(recipe).map(Ok)
    }

    fn quickstarts(&self) -> impl Iterator<Item = Quickstart> + '_ {
        (self.first..self.first + self.seeds).map(|seed| {
            let folder = self.folder.join(format!("seed-{seed}"));
            Quickstart { seed, world_seed: seed, folder, is_gated: false }
        })
    }

    /// Writes `claims.json`.
    fn conclude(&self, recipe: Vec<Summary>) -> Result<Findings> {
        let own = Scores {
            em: recipe.iter().map(|summary| summary.after.em).collect(),
            sampled_em: recipe.iter().map(|summary| summary.after.sampled_em).collect(),
        };
        let mut arms = Vec::new();
        for arm in Arm::ALL {
            let mut scores = Scores::default();
            for quickstart in self.quickstarts() {
                for asked in arm.asked() {
                    let folder = folder_of(arm, &quickstart).join("after").join(asked.folder());
                    let summary: eval::Summary = read_json(&folder.join("summary.json"))?;
                    match asked {
                        Asked::Sampled => scores.sampled_em.push(summary.all.em.mean),
                        Asked::Greedy | Asked::Direct => scores.em.push(summary.all.em.mean),
                    }
                }
            }
            arms.push(Comparison::of(arm.name(), arm.words(), &own, &scores));
        }
        let seeds = recipe.iter().map(|summary| summary.seed).collect();
        let findings = Findings { version: VERSION, seeds, recipe, arms };
        let path = self.folder.join("claims.json");
        replace(&path, &serde_json::to_vec_pretty(&findings)?)
            .with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(findings)
    }
}

/// Trains and asks `arm`, or goes on with it; why it was left, if it was.
async fn play(arm: Arm, quickstart: &Quickstart, stop: &Stop) -> Result<Option<Reason>> {
    let mut ledger = Ledger::open(&quickstart.folder, quickstart.seed, quickstart.world_seed)?;
    let workshop = quickstart.workshop(stop);
    let folder = folder_of(arm, quickstart);
    let (train, after) = (folder.join("train"), folder.join("after"));
    let failed = || format!("seed {}, {}, failed", quickstart.seed, arm.words());
    let name = |path: &Path| path.strip_prefix(&quickstart.folder).unwrap_or(path).display().to_string();
    if ledger.took(&name(&train)).is_none() {
        let work = workshop.train(arm.changes(&workshop.recipe)?, &train);
        if let Err(reason) = ledger.watch(&name(&train), work).await.with_context(failed)? {
            return Ok(Some(reason));
        }
    }
    if ledger.took(&name(&after)).is_none() {
        let model = end_of(&train)?;
        let work = workshop.ask(&model, arm.asked(), &after);
        if let Err(reason) = ledger.watch(&name(&after), work).await.with_context(failed)? {
            return Ok(Some(reason));
        }
    }
    Ok(None)
}

fn folder_of(arm: Arm, quickstart: &Quickstart) -> PathBuf {
    quickstart.folder.join("arms").join(arm.name())
}

impl Findings {
    /// In words.
    pub fn table(&self) -> String {
        let mut table =
            format!("{} seeds, exact match on 400 held-out questions each, with BM25\n\n", self.seeds.len());
        let mut line = |name: &str, greedy: String, sampled: String| {
            let _ = writeln!(table, "{name:<20} {greedy:<32} {sampled}");
        };
        let row = |numbers: &[f64]| numbers.iter().map(|it| format!("{it:.3}")).collect::<Vec<_>>().join(" ");
        let of = |score: fn(&Summary) -> f64| row(&self.recipe.iter().map(score).collect::<Vec<_>>());
        line("", "greedy, seed by seed".into(), "temperature 1".into());
        line("the base", of(|it| it.before.em), of(|it| it.before.sampled_em));
        line("the recipe", of(|it| it.after.em), of(|it| it.after.sampled_em));
        for arm in &self.arms {
            line(&arm.arm, row(&arm.em), row(&arm.sampled_em));
        }
        let _ = writeln!(
            table,
            "\nthe recipe's advantage over an arm, mean over seeds with 95 % interval (paired, Student's t)\n"
        );
        for arm in &self.arms {
            let sampled = arm.sampled_advantage.map_or("-".into(), |it| format!("{it} {}", it.words()));
            let _ = writeln!(
                table,
                "{:<20} {} {:<24} sampled {sampled}",
                arm.arm,
                arm.advantage,
                arm.advantage.words()
            );
        }
        table
    }
}
