//! A record: what decides a dense index's answers besides its passages, kept in its manifest.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::engine::ENGINE;
use crate::EncoderRecord;
use crate::index::{IndexError, Manifest};

/// What decides a dense index's answers besides its passages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DenseRecord {
    /// What made its vectors.
    pub encoder: EncoderRecord,
    /// How many clusters they were put into.
    pub clusters: usize,
}

impl DenseRecord {
    /// What the manifest of the index in `folder` says.
    ///
    /// # Errors
    /// When the index is another engine's, or the manifest is damaged.
    pub fn of(manifest: &Manifest, folder: &Path) -> Result<Self, IndexError> {
        if manifest.engine != ENGINE {
            let problem = format!("is one of the engine {}, not of {ENGINE}", manifest.engine);
            return Err(IndexError::folder(folder, problem));
        }
        serde_json::from_value(manifest.settings.clone()).map_err(|why| {
            IndexError::folder(folder, format!("is damaged: {why}; delete the folder and index again"))
        })
    }
}
