//! Learners: from a plan's model to who trains, samples and scores.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use zerosearch_learner::Learner;
use zerosearch_learner::scripted::BigramLearner;
use zerosearch_learner::text::{Text, tiny_text};

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
    if model.path == "bigram" {
        let text = Arc::new(tiny_text());
        let learner = Arc::new(BigramLearner::new(Arc::clone(&text), model.context));
        return Ok(Opened { learner, text, hashes: BTreeMap::new() });
    }
    Err(problem(format!("{} cannot be opened", model.path)).into())
}

/// Opens `model` for sampling and scoring only: no optimizer state is held.
pub fn open_frozen(model: &Model) -> Result<Opened> {
    open(model, 0)
}

/// Writes `model` as a Hugging Face directory.
pub fn export(model: &Model, seed: u64, _out: &Path) -> Result<()> {
    open(model, seed)?;
    Err(problem("nothing to export").into())
}
