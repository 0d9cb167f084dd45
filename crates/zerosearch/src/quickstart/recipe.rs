//! The recipe: which plan each stage runs. It is that of `configs/micro`, with the paths of the folder.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::Stage;
use crate::config::{ConfigFile, Plan, Purpose, Setting};

/// How conversations go, and how the policy is trained.
const TRAIN: &str = include_str!("../../../../configs/micro/train.toml");
/// How the simulator is asked, and how it is tuned.
const SIMULATOR: &str = include_str!("../../../../configs/micro/simulator.toml");

/// Conversations about each training question that the simulator learns from.
const SAMPLES: i64 = 4;

/// In what way the policy is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// With BM25 over the whole world, greedy.
    Greedy,
    /// With BM25 over the whole world, at temperature 1.
    Sampled,
    /// Without an engine, greedy.
    Direct,
}

impl Asked {
    pub(super) const ALL: [Self; 3] = [Self::Greedy, Self::Sampled, Self::Direct];

    /// The folder below that of the stage.
    pub(super) fn folder(self) -> &'static str {
        match self {
            Self::Greedy => "greedy",
            Self::Sampled => "sampled",
            Self::Direct => "direct",
        }
    }
}

/// The plans of one quickstart.
#[derive(Clone, Copy)]
pub(super) struct Recipe<'a> {
    pub(super) folder: &'a Path,
    pub(super) seed: u64,
}

impl Recipe<'_> {
    /// A file or folder of a stage.
    pub(super) fn of(&self, stage: Stage, name: &str) -> PathBuf {
        self.folder.join(stage.folder()).join(name)
    }

    /// Evaluation questions for `model`.
    pub(super) fn ask(&self, model: &Path, asked: Asked) -> Result<Plan> {
        let engine = if asked == Asked::Direct { "none" } else { "bm25" };
        let temperature = if asked == Asked::Sampled { 1.0 } else { 0.0 };
        let settings = vec![
            Setting::of("model", "path", text(model)),
            Setting::of("eval", "questions", vec![self.of_world("eval.jsonl")]),
            Setting::of("eval", "engine", engine),
            Setting::of("eval", "temperature", temperature),
            Setting::of("bm25", "corpus", self.of_world("corpus.jsonl")),
        ];
        self.plan(TRAIN, settings, Purpose::Use)
    }

    /// Training questions for the base model.
    pub(super) fn collect(&self) -> Result<Plan> {
        let settings = vec![
            Setting::of("eval", "questions", vec![self.of_world("train.jsonl")]),
            Setting::of("eval", "engine", "bm25"),
            Setting::of("eval", "samples", SAMPLES),
            Setting::of("bm25", "corpus", self.of_world("corpus-train.jsonl")),
        ];
        self.plan(TRAIN, settings, Purpose::Collect)
    }

    /// How pairs are shown to the simulator.
    pub(super) fn judge(&self) -> Result<Plan> {
        self.plan(SIMULATOR, Vec::new(), Purpose::Judge)
    }

    /// The simulator's fine-tuning.
    pub(super) fn tune(&self) -> Result<Plan> {
        let pairs = vec![text(&self.of(Stage::Judge, "pairs.jsonl"))];
        self.plan(SIMULATOR, vec![Setting::of("sft", "files", pairs)], Purpose::Sft)
    }

    /// A simulator's measurement.
    pub(super) fn measure(&self, simulator: &Path) -> Result<Plan> {
        self.plan(SIMULATOR, vec![Setting::of("simulator", "model", text(simulator))], Purpose::Simulate)
    }

    /// The measurement of a model that was not tuned but is shown demonstrations.
    pub(super) fn prompted(&self, model: &Path) -> Result<Plan> {
        let settings = vec![
            Setting::of("simulator", "model", text(model)),
            Setting::of("simulator", "template", self.of_world("simulator-prompted.jinja")),
        ];
        self.plan(SIMULATOR, settings, Purpose::Simulate)
    }

    /// The policy's training, with `changes` to it.
    pub(super) fn train(&self, simulator: &Path, changes: Vec<Setting>) -> Result<Plan> {
        let questions = vec![self.of_world("train.jsonl")];
        let mut settings = vec![
            Setting::of("questions", "train", questions),
            Setting::of("simulator", "model", text(simulator)),
        ];
        settings.extend(changes);
        self.plan(TRAIN, settings, Purpose::Train)
    }

    fn of_world(&self, name: &str) -> String {
        text(&self.of(Stage::World, name))
    }

    fn plan(&self, recipe: &str, settings: Vec<Setting>, purpose: Purpose) -> Result<Plan> {
        let paths = [
            Setting::of("rollout", "prompt", self.of_world("prompt.jinja")),
            Setting::of("rollout", "hint", self.of_world("hint.txt")),
            Setting::of("simulator", "template", self.of_world("simulator.jinja")),
            Setting::of("run", "seed", i64::try_from(self.seed)?),
        ];
        let model = Setting::of("model", "path", self.of_world("base"));
        let settings: Vec<Setting> = [model].into_iter().chain(paths).chain(settings).collect();
        Ok(ConfigFile::parse(recipe, &settings)?.resolve(purpose)?)
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
