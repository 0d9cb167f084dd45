//! The summary: what a quickstart came to, in one file.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::Stage;
use super::ledger::Took;
use super::recipe::{Asked, Recipe};
use super::rows::Rows;
use crate::eval::{self, Interval};
use crate::run::{VERSION, read_json};
use crate::simulator::Comparison;

/// `summary.json`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// [`VERSION`].
    pub version: u32,
    /// What drew the training, the simulator and the order of questions.
    pub seed: u64,
    /// What drew the world.
    pub world_seed: u64,
    /// The base model.
    pub before: Scores,
    /// The trained policy.
    pub after: Scores,
    /// The tuned simulator.
    pub simulator: Simulator,
    /// All stages together, in seconds.
    pub seconds: f64,
    /// All stages together.
    pub tokens: u64,
    /// In their order.
    pub stages: Vec<StageTook>,
    /// Folders of evaluations and runs, as paths within the quickstart's: what `zerosearch report` shows of it.
    pub folders: Vec<String>,
}

/// What a policy reaches on the held-out questions, with the real engine and greedy where nothing else is said. Every
/// figure lies from 0 to 1, but for the last.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Exact match.
    pub em: f64,
    /// Its 95 % interval.
    pub em_interval: [f64; 2],
    /// Token F1.
    pub f1: f64,
    /// Its 95 % interval.
    pub f1_interval: [f64; 2],
    /// Exact match at temperature 1.
    pub sampled_em: f64,
    /// Its 95 % interval.
    pub sampled_em_interval: [f64; 2],
    /// Exact match without an engine: what can be guessed.
    pub direct_em: f64,
    /// Its 95 % interval.
    pub direct_em_interval: [f64; 2],
    /// Exact match where the last documents hold a golden answer: how well it reads. Null without such a conversation.
    pub em_given_answer: Option<f64>,
    /// Searches for each question.
    pub searches_per_question: f64,
}

/// How often the tuned simulator's documents hold a golden answer, on queries that it was not tuned on; null where there
/// were none.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Simulator {
    /// Told `useful`, on queries that were the last of their conversation and brought a golden answer.
    pub useful_last_hop: Option<f64>,
    /// Told `noisy`.
    pub noisy: Option<f64>,
}

/// A stage and what it took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageTook {
    /// Its name, which is that of its folder.
    pub stage: String,
    /// What it took.
    #[serde(flatten)]
    pub took: Took,
}

impl Summary {
    /// What lies in the folder of `recipe`.
    pub(super) fn of(recipe: &Recipe<'_>, world_seed: u64, stages: Vec<(String, Took)>) -> Result<Self> {
        let comparison: Comparison = read_json(&recipe.of(Stage::Measure, "summary.json"))?;
        let figures = comparison.simulators.first().map(|entry| &entry.figures);
        let mean = |interval: Option<Interval>| interval.map(|interval| interval.mean);
        Ok(Self {
            version: VERSION,
            seed: recipe.seed,
            world_seed,
            before: scores(recipe, Stage::Before)?,
            after: scores(recipe, Stage::After)?,
            simulator: Simulator {
                useful_last_hop: mean(figures.and_then(|it| it.last_hop)),
                noisy: mean(figures.and_then(|it| it.noisy)),
            },
            seconds: stages.iter().map(|(_, took)| took.seconds).sum(),
            tokens: stages.iter().map(|(_, took)| took.tokens).sum(),
            stages: stages.into_iter().map(|(stage, took)| StageTook { stage, took }).collect(),
            folders: Vec::new(),
        })
    }

    /// In words.
    pub fn table(&self) -> String {
        let (before, after) = (&self.before, &self.after);
        let cell = |mean: f64, [low, high]: [f64; 2]| format!("{mean:.3} ({low:.3} to {high:.3})");
        let line = |name: &str, of: fn(&Scores) -> (f64, [f64; 2])| {
            let [before, after] = [before, after].map(of).map(|(mean, ends)| cell(mean, ends));
            format!("{name:<28} {before:<24} {after}\n")
        };
        let mut table = format!("{:<28} {:<24} after\n", "exact match, 400 questions", "before");
        table += &line("  with BM25, greedy", |it| (it.em, it.em_interval));
        table += &line("  with BM25, temperature 1", |it| (it.sampled_em, it.sampled_em_interval));
        table += &line("  without an engine, greedy", |it| (it.direct_em, it.direct_em_interval));
        let share = |share: Option<f64>| share.map_or("-".into(), |share| format!("{share:.3}"));
        let [before, after] = [before, after].map(|it| share(it.em_given_answer));
        table += &format!("{:<28} {before:<24} {after}\n", "  where the answer was found");
        let (useful, noisy) = (share(self.simulator.useful_last_hop), share(self.simulator.noisy));
        table += &format!(
            "simulator's documents hold a golden answer: {useful} of last useful calls, {noisy} of noisy ones\n"
        );
        table + &format!("{:.0} s, {:.1} million tokens\n", self.seconds, self.tokens as f64 / 1e6)
    }
}

fn scores(recipe: &Recipe<'_>, stage: Stage) -> Result<Scores> {
    let folder = |asked: Asked| recipe.of(stage, asked.folder());
    let read = |asked| -> Result<eval::Summary> { read_json(&folder(asked).join("summary.json")) };
    let (greedy, sampled, direct) = (read(Asked::Greedy)?, read(Asked::Sampled)?, read(Asked::Direct)?);
    let rows = Rows::of(&folder(Asked::Greedy))?;
    let ends = |interval: Interval| [interval.low, interval.high];
    Ok(Scores {
        em: greedy.all.em.mean,
        em_interval: ends(greedy.all.em),
        f1: greedy.all.f1.mean,
        f1_interval: ends(greedy.all.f1),
        sampled_em: sampled.all.em.mean,
        sampled_em_interval: ends(sampled.all.em),
        direct_em: direct.all.em.mean,
        direct_em_interval: ends(direct.all.em),
        em_given_answer: (rows.given > 0).then(|| rows.given_and_right as f64 / rows.given as f64),
        searches_per_question: greedy.searches_per_question,
    })
}
