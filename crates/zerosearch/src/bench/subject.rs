//! The subject: the model that is measured, and what its figures depend on.

use std::sync::Arc;

use anyhow::{Context, Result};
use serde::Serialize;
use zerosearch_learner::text::tiny_text;
use zerosearch_local::{
    Arithmetic, Checkpoint, Isa, LearnerOptions, LocalLearner, ModelConfig, PolicyOptions, Threads,
};

use crate::report::problem;

/// Which model is measured, and how it computes.
#[derive(Clone, Debug)]
pub struct Choice {
    /// A model as `--model` takes it; without one, random weights of `shape`.
    pub model: Option<String>,
    /// The name of a shape.
    pub shape: String,
    /// Threads that compute; 0 for one for each core.
    pub threads: usize,
    /// The numbers it computes in.
    pub arithmetic: Arithmetic,
}

/// A model that is measured.
pub struct Subject {
    /// What trains it and gives its policies.
    pub learner: LocalLearner,
    /// Its dimensions.
    pub config: ModelConfig,
    /// What to print with its figures.
    pub about: About,
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

impl Choice {
    /// The threads that compute.
    pub fn pool(&self) -> Arc<Threads> {
        let count = if self.threads == 0 { Threads::available() } else { self.threads };
        Arc::new(Threads::new(count))
    }

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
        let threads = self.pool();
        let policy = PolicyOptions {
            arithmetic: self.arithmetic,
            context_length: context,
            ..PolicyOptions::new(Arc::clone(&threads))
        };
        let about = About {
            model: name.clone(),
            parameters: config.parameters(),
            arithmetic: self.arithmetic.to_string(),
            instructions: Isa::detect().to_string(),
            threads: threads.count(),
        };
        Ok(Subject { learner: LocalLearner::open(&checkpoint, LearnerOptions::new(policy))?, config, about })
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
