//! The subject: the model that is measured, and what its figures depend on.

use std::sync::Arc;

use anyhow::{Context, Result};
use serde::Serialize;
use zerosearch_learner::text::tiny_text;
use zerosearch_local::{
    Arithmetic, Checkpoint, LearnerOptions, LocalLearner, ModelConfig, PolicyOptions, Threads,
};

use crate::problem::problem;

/// How is computed what is measured.
#[derive(Clone, Copy, Debug)]
pub struct Computing {
    /// Threads that compute; 0 for one for each core.
    pub threads: usize,
    /// The numbers it computes in.
    pub arithmetic: Arithmetic,
}

/// Which model is measured.
#[derive(Clone, Debug)]
pub struct Choice {
    /// A model as `--model` takes it; without one, random weights of `shape`.
    pub model: Option<String>,
    /// The name of a shape.
    pub shape: String,
    /// How it computes.
    pub computing: Computing,
}

/// A model that is measured.
pub struct Subject {
    /// What trains it and gives its policies.
    pub learner: LocalLearner,
    /// Its dimensions.
    pub config: ModelConfig,
    /// What to print with its figures.
    pub about: About,
    /// The threads that compute.
    pub threads: Arc<Threads>,
}

/// What a model's figures depend on.
#[derive(Clone, Debug, Serialize)]
pub struct About {
    /// The model or the shape.
    pub model: String,
    /// How many numbers it has.
    pub parameters: usize,
    /// What it computes in.
    pub arithmetic: String,
    /// The instructions that it computes with.
    pub instructions: String,
    /// Threads that compute.
    pub threads: usize,
}

impl Computing {
    pub(super) fn options(self) -> PolicyOptions {
        let count = if self.threads == 0 { Threads::available() } else { self.threads };
        PolicyOptions { arithmetic: self.arithmetic, ..PolicyOptions::new(Arc::new(Threads::new(count))) }
    }
}

impl Choice {
    /// Opens the model for rows of at most `context` tokens.
    pub fn open(&self, context: usize) -> Result<Subject> {
        let (name, checkpoint) = match &self.model {
            Some(path) => {
                let failed = || format!("the model {path} cannot be opened");
                (path, Checkpoint::open(path).with_context(failed)?)
            }
            None => (&self.shape, Checkpoint::random(self.shape()?, Arc::new(tiny_text()), 1)?),
        };
        let config = checkpoint.config.clone();
        if context > config.context_length {
            let what = format!("{name} reads {} tokens, not {context}", config.context_length);
            return Err(problem(what).hint("ask for shorter rows").into());
        }
        let policy = PolicyOptions { context_length: context, ..self.computing.options() };
        let threads = Arc::clone(&policy.threads);
        let about = About {
            model: name.clone(),
            parameters: config.parameters(),
            arithmetic: policy.arithmetic.to_string(),
            instructions: policy.isa.to_string(),
            threads: threads.count(),
        };
        let learner = LocalLearner::open(&checkpoint, LearnerOptions::new(policy))?;
        Ok(Subject { learner, config, about, threads })
    }

    fn shape(&self) -> Result<ModelConfig> {
        match self.shape.as_str() {
            "smollm2-135m" => Ok(ModelConfig::smollm2_135m()),
            "tiny" => Ok(ModelConfig::tiny()),
            other => Err(problem(format!("there is no shape {other}"))
                .hint("known are smollm2-135m and tiny; `--model` takes any model")
                .into()),
        }
    }
}
