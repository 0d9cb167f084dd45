//! What scores depend on besides the rows: lines of two different bases do not belong in one file.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::config::Plan;
use crate::learners::Voice;
use crate::run::changes;

/// The model, its numbers, and what its logits are divided by.
#[derive(Serialize, Deserialize)]
pub struct Basis {
    plan: Plan,
    /// SHA-256 of the model's files.
    files: BTreeMap<String, String>,
    numeric_path: String,
    pub(super) temperature: f32,
}

impl Basis {
    /// Scores of `voice`, which is the model of `plan`, under softmax(logits / `temperature`).
    pub fn new(plan: Plan, voice: &Voice, temperature: f32) -> Self {
        let (files, numeric_path) = (voice.hashes.clone(), voice.numeric_path.clone());
        Self { plan, files, numeric_path, temperature }
    }

    /// What of this basis is not as in `asked`, if anything is.
    pub(super) fn difference(&self, asked: &Self) -> Result<Option<String>> {
        if let Some(first) = changes(&self.plan, &asked.plan)?.first() {
            return Ok(Some(format!("{} = {}, not {}", first.key, first.recorded, first.asked)));
        }
        if self.temperature != asked.temperature {
            return Ok(Some(format!("temperature {}, not {}", self.temperature, asked.temperature)));
        }
        if self.numeric_path != asked.numeric_path {
            return Ok(Some(format!("the numeric path {}, not {}", self.numeric_path, asked.numeric_path)));
        }
        Ok((self.files != asked.files).then(|| "another model".to_owned()))
    }
}
