//! A saved state: where a server keeps what training goes on from, written down in a checkpoint folder.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{LearnerError, Result};

/// The file's name.
pub const STATE: &str = "tinker.json";
const VERSION: u32 = 1;

/// What a checkpoint folder says about the state on the server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct SavedState {
    version: u32,
    /// The server that keeps it.
    pub(super) url: String,
    /// Its address there: weights and optimizer.
    pub(super) state: String,
    /// The address of the weights alone.
    pub(super) weights: String,
    /// The server's name of what training began with.
    pub(super) base_model: String,
    /// The adapter's rank; 0 where all weights train.
    pub(super) rank: usize,
    /// Steps that were made.
    pub(super) step: u64,
}

impl SavedState {
    /// The state at `state`, with the weights at `weights`.
    pub(super) fn new(
        (url, state, weights): (String, String, String),
        base_model: &str,
        rank: usize,
        step: u64,
    ) -> Self {
        Self { version: VERSION, url, state, weights, base_model: base_model.to_owned(), rank, step }
    }

    /// Writes it into `directory`.
    pub(super) fn write(&self, directory: &Path) -> Result<()> {
        let path = directory.join(STATE);
        let text =
            serde_json::to_vec_pretty(self).map_err(|error| LearnerError::BadRequest(error.to_string()))?;
        std::fs::write(&path, text).map_err(|source| LearnerError::io(path, source))
    }

    /// Reads it from `directory`. Refused when it is for another model or rank.
    pub(super) fn read(directory: &Path, base_model: &str, rank: usize) -> Result<Self> {
        let path = directory.join(STATE);
        let bytes = std::fs::read(&path).map_err(|source| LearnerError::io(&path, source))?;
        let state: Self = serde_json::from_slice(&bytes)
            .map_err(|error| LearnerError::bad_model(&path, format!("this is not a saved state: {error}")))?;
        if state.version != VERSION {
            let problem = format!("it has version {}, this program reads version {VERSION}", state.version);
            return Err(LearnerError::bad_model(path, problem));
        }
        if state.base_model != base_model || state.rank != rank {
            let problem = format!(
                "it is of rank {} over {}, and rank {rank} over {base_model} is asked for",
                state.rank, state.base_model
            );
            return Err(LearnerError::bad_model(path, problem));
        }
        Ok(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_read_as_it_was_written_and_for_its_own_model_only() {
        let folder = tempfile::tempdir().unwrap();
        let address = |kind: &str| format!("tinker://model_1/{kind}/step-4");
        let addresses = ("http://localhost:8000".to_owned(), address("weights"), address("sampler_weights"));
        let state = SavedState::new(addresses, "base", 8, 4);
        state.write(folder.path()).unwrap();
        assert_eq!(SavedState::read(folder.path(), "base", 8).unwrap(), state);
        for (base, rank) in [("other", 8), ("base", 16), ("base", 0)] {
            let why = SavedState::read(folder.path(), base, rank).unwrap_err().to_string();
            assert!(why.contains("rank 8 over base"), "{why}");
        }
        std::fs::write(folder.path().join(STATE), "{}").unwrap();
        assert!(SavedState::read(folder.path(), "base", 8).is_err());
        assert!(SavedState::read(&folder.path().join("nothing"), "base", 8).is_err());
    }
}
