//! Learners: from a plan's model to who trains, samples and scores.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use zerosearch_learner::Learner;
use zerosearch_learner::text::Text;

use crate::config::Model;
use crate::report::problem;

/// A model, ready to be asked.
pub struct Opened {
    /// Who samples, scores and, where it was opened for that, trains.
    pub learner: Arc<dyn Learner>,
    /// Its words and tokens.
    pub text: Arc<Text>,
    /// SHA-256 of its files by their names; empty for a random model.
    pub hashes: BTreeMap<String, String>,
}

/// Opens `model` for training. `seed` draws the weights of a random model.
pub fn open(model: &Model, seed: u64) -> Result<Opened> {
    let _ = seed;
    Err(problem(format!("{} cannot be opened", model.path)).into())
}

/// Opens `model` for sampling and scoring only: no optimizer state is held.
pub fn open_frozen(model: &Model) -> Result<Opened> {
    open(model, 0)
}
