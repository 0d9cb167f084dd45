//! A run's directory: the names of its files, in one place.

use std::path::{Path, PathBuf};

/// Where everything of one run lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    root: PathBuf,
}

impl Directory {
    /// The directory at `root`, which need not exist.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The run's folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The resolved plan.
    pub fn config(&self) -> PathBuf {
        self.root.join("config.toml")
    }

    /// What was run, where, and how it stands.
    pub fn record(&self) -> PathBuf {
        self.root.join("run.json")
    }

    /// One line for each step.
    pub fn metrics(&self) -> PathBuf {
        self.root.join("metrics.jsonl")
    }

    /// One line for each checkpoint.
    pub fn checkpoint_lines(&self) -> PathBuf {
        self.root.join("checkpoints.jsonl")
    }

    /// The folder of all checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        self.root.join("checkpoints")
    }

    /// The folder of one checkpoint.
    pub fn checkpoint(&self, step: u64) -> PathBuf {
        self.checkpoints().join(numbered(step))
    }

    /// The folder of all trajectories.
    pub fn all_trajectories(&self) -> PathBuf {
        self.root.join("trajectories")
    }

    /// Every rollout of one step.
    pub fn trajectories(&self, step: u64) -> PathBuf {
        self.all_trajectories().join(format!("{}.jsonl", numbered(step)))
    }

    /// The folder of all evaluations.
    pub fn evals(&self) -> PathBuf {
        self.root.join("eval")
    }

    /// What one evaluation found.
    pub fn eval(&self, step: u64) -> PathBuf {
        self.evals().join(format!("{}.json", numbered(step)))
    }

    /// Every rollout of one evaluation.
    pub fn eval_rows(&self, step: u64) -> PathBuf {
        self.evals().join(format!("{}.jsonl", numbered(step)))
    }

    /// The folder of everything that remote simulators replied.
    pub fn replies(&self) -> PathBuf {
        self.root.join("replies")
    }

    /// The metrics of a step that was done but for its evaluation, which is still to come.
    pub fn unfinished(&self) -> PathBuf {
        self.root.join("unfinished.json")
    }

    /// What was said while it ran.
    pub fn log(&self) -> PathBuf {
        self.root.join("log.txt")
    }

    /// Held by the process that writes the run.
    pub fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }
}

/// A step as file names spell it: six digits, so that names sort as numbers do.
pub(super) fn numbered(step: u64) -> String {
    format!("{step:06}")
}
