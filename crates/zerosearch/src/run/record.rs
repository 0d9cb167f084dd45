//! Records: what the files of a run hold, each with the version of its form.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::rollout::Trajectory;

/// The version of every record below. It rises when a key changes its meaning or goes away; new keys do not raise it.
pub const VERSION: u32 = 1;

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// A process is at it, or was killed.
    Running,
    /// It did all its steps.
    Finished,
    /// It was stopped and can be resumed.
    Interrupted,
    /// It stopped itself, for the reason given.
    Failed,
}

/// `run.json`: what was run, where, and how it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// [`VERSION`].
    pub version: u32,
    /// The verb that made the run: `train` or `sft`.
    pub verb: String,
    /// The program's version.
    pub program: String,
    /// The commit it was built from, where the build was told.
    pub commit: Option<String>,
    /// The machine's name.
    pub host: String,
    /// Seconds since 1970 when the run began.
    pub started_unix_s: u64,
    /// How often it was resumed.
    pub resumed: u32,
    /// How it stands.
    pub state: State,
    /// Why it stopped, where it did not finish.
    pub reason: Option<String>,
    /// The run's seed.
    pub seed: u64,
    /// The kernels and arithmetic that its numbers depend on.
    pub numeric_path: String,
    /// Questions that were not asked.
    #[serde(default)]
    pub left_out: LeftOut,
    /// How the simulator that it tunes is asked, where its rows are pairs.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub manner: Option<serde_json::Value>,
    /// What the run was made from.
    pub hashes: Hashes,
}

/// Questions that the named files hold and that are not asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Training rows without a question or an answer.
    pub unusable: usize,
    /// Training questions that `questions.exclude` holds too.
    pub excluded: usize,
    /// Evaluation rows without a question or an answer.
    pub eval_unusable: usize,
}

/// SHA-256 (64 hexadecimal digits) of what a run was made from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hashes {
    /// Of each question file or training file, by what the plan names; of one of the Hugging Face hub, by its address.
    pub files: BTreeMap<String, String>,
    /// Of each template, by what it is for.
    pub templates: BTreeMap<String, String>,
    /// Of each model file, by its path.
    pub models: BTreeMap<String, String>,
    /// The commit that each file of the Hugging Face hub was taken from, by its address. Not compared: another commit
    /// with the same contents is the same.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub commits: BTreeMap<String, String>,
}

impl Hashes {
    /// Whether both are of the same contents.
    pub fn agree(&self, other: &Self) -> bool {
        self.files == other.files && self.templates == other.templates && self.models == other.models
    }
}

/// One line of `checkpoints.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckpointLine {
    /// [`VERSION`].
    pub version: u32,
    /// Steps that the weights have seen.
    pub step: u64,
    /// The folder, relative to the run's. Old ones are deleted; the lines stay.
    pub path: String,
    /// What the evaluation at this step found: the mean of the reward's score. Null where there was none.
    pub score: Option<f64>,
    /// No earlier checkpoint has a higher score.
    pub best: bool,
}

/// One line of `trajectories/*.jsonl` and `eval/*.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrajectoryLine {
    /// [`VERSION`].
    pub version: u32,
    /// The step in which it was played.
    pub step: u64,
    /// The chance of noise in that step.
    pub noise: f64,
    /// The text of each piece of the transcript: a view of its tokens, never read back.
    pub texts: Vec<String>,
    /// Question, member, transcript, turns, ending, scores, reward.
    #[serde(flatten)]
    pub trajectory: Trajectory,
}
