//! The subject: the model that is measured, and what its figures depend on.

use std::sync::Arc;

use anyhow::{Context, Result};
use serde::Serialize;
use zerosearch_learner::text::tiny_text;
use zerosearch_local::{
    Adapter, AdapterShape, AdapterTarget, Arithmetic, Checkpoint, LearnerOptions, LocalLearner, LocalPolicy,
    ModelConfig, PolicyOptions, Threads,
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
    /// Rank of a new adapter over all its linear layers, which then trains in its place; 0 for none.
    pub rank: usize,
    /// How it computes.
    pub computing: Computing,
}

/// What is measured: a learner, or a policy.
pub struct Subject<M> {
    /// It.
    pub model: M,
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
    /// How many of them train, or of its adapter.
    pub trained_parameters: usize,
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
    /// Opens a learner for rows of at most `context` tokens.
    pub fn learner(&self, context: usize) -> Result<Subject<LocalLearner>> {
        let open = |checkpoint, adapter, policy| {
            let options = LearnerOptions::new(policy);
            Ok(match adapter {
                Some(adapter) => LocalLearner::open_adapted(checkpoint, adapter, options)?,
                None => LocalLearner::open(&checkpoint, options)?,
            })
        };
        self.open(context, open)
    }

    /// Opens a policy for rows of at most `context` tokens.
    pub fn policy(&self, context: usize) -> Result<Subject<LocalPolicy>> {
        let open = |checkpoint, adapter: Option<Adapter>, options| {
            let bare = LocalPolicy::open(&checkpoint, options)?;
            Ok(adapter.map_or_else(|| bare.clone(), |adapter| bare.adapted(&adapter)))
        };
        self.open(context, open)
    }

    /// As [`Choice::policy`], twice: two new adapters over one model, and two models.
    pub fn pairs(&self, context: usize) -> Result<Subject<[[LocalPolicy; 2]; 2]>> {
        let open = |checkpoint: Checkpoint, adapter: Option<Adapter>, options: PolicyOptions| {
            let first = LocalPolicy::open(&checkpoint, options.clone())?;
            let second = LocalPolicy::open(&checkpoint, options.clone())?;
            let base = LocalPolicy::open(&checkpoint, options)?;
            let adapted = || adapter.as_ref().map_or_else(|| base.clone(), |adapter| base.adapted(adapter));
            Ok([[adapted(), adapted()], [first, second]])
        };
        self.open(context, open)
    }

    fn open<M>(
        &self,
        context: usize,
        open: impl FnOnce(Checkpoint, Option<Adapter>, PolicyOptions) -> Result<M>,
    ) -> Result<Subject<M>> {
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
        let shape = self.adapter();
        let about = About {
            model: name.clone(),
            parameters: config.parameters(),
            trained_parameters: shape.as_ref().map_or(config.parameters(), |shape| shape.parameters(&config)),
            arithmetic: policy.arithmetic.to_string(),
            instructions: policy.isa.to_string(),
            threads: threads.count(),
        };
        let adapter = shape.map(|shape| Adapter::new(&checkpoint, name, shape, 1)).transpose()?;
        Ok(Subject { model: open(checkpoint, adapter, policy)?, config, about, threads })
    }

    fn adapter(&self) -> Option<AdapterShape> {
        let (rank, alpha) = (self.rank, 2.0 * self.rank as f64);
        let targets = AdapterTarget::LINEAR.to_vec();
        (rank > 0).then_some(AdapterShape { rank, alpha, rslora: false, targets })
    }

    fn shape(&self) -> Result<ModelConfig> {
        ModelConfig::of_shape(&self.shape).map_err(|known| {
            problem(format!("there is no shape {}", self.shape))
                .hint(format!("known are {known}; `--model` takes any model"))
                .into()
        })
    }
}
