//! An index on disk: what decides its answers, and how a finished one is opened.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tantivy::Index;

use super::directory::FinishedDirectory;
use super::engine::ENGINE;
use super::schema::{Fields, tokenizers};
use super::{Bm25Index, Words};
use crate::index::{IndexError, Manifest};

/// The folder of tantivy's files.
pub(super) const FILES: &str = "tantivy";

/// What decides the answers of an index besides its passages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Settings {
    k1: f64,
    b: f64,
    #[serde(flatten)]
    pub(super) words: Words,
    /// Whose code takes texts apart and scores them.
    tantivy: String,
}

impl Settings {
    /// k1 and b are tantivy's own.
    pub(super) fn new(words: Words) -> Self {
        Self { k1: 1.2, b: 0.75, words, tantivy: tantivy::version_string().to_owned() }
    }

    /// Refuses to take up in `folder` what was made with the settings `found`.
    pub(super) fn agree(&self, found: &Value, folder: &Path) -> Result<(), IndexError> {
        let asked = serde_json::to_value(self).unwrap_or_default();
        let columns = asked.as_object().into_iter().flatten();
        let other = columns.into_iter().find(|(name, value)| found.get(name.as_str()) != Some(*value));
        let Some((name, value)) = other else { return Ok(()) };
        let recorded = found.get(name).map_or("nothing".into(), Value::to_string);
        let problem = format!(
            "was begun with {name} = {recorded}, not {value}; ask for the same, or name another folder with --out"
        );
        Err(IndexError::folder(folder, problem))
    }
}

impl Bm25Index {
    /// The finished index in `folder`, read where it lies. Its files are compared with the manifest by their sizes; what
    /// else may have happened to them, [`Manifest::check`] finds.
    ///
    /// # Errors
    /// When there is no finished index of this engine, or a file of it is missing or damaged.
    pub fn open(folder: &Path) -> Result<Self, IndexError> {
        let manifest = Manifest::read(folder)?;
        if manifest.engine != ENGINE {
            let problem = format!("is one of the engine {}, not of {ENGINE}", manifest.engine);
            return Err(IndexError::folder(folder, problem));
        }
        manifest.check_sizes(folder)?;
        let damaged = |why: &dyn std::fmt::Display| {
            IndexError::folder(folder, format!("cannot be opened: {why}; delete the folder and index again"))
        };
        let settings: Settings = serde_json::from_value(manifest.settings).map_err(|why| damaged(&why))?;
        let directory = FinishedDirectory::open(&folder.join(FILES)).map_err(|why| damaged(&why))?;
        let mut index = Index::open(directory).map_err(|why| damaged(&why))?;
        let (schema, fields) = Fields::schema();
        index.set_tokenizers(tokenizers(settings.words.analyzer()));
        let opened = Self::over(&index, fields, settings.words, manifest.corpus.sha256)
            .map_err(|why| damaged(&why))?;
        if index.schema() != schema || opened.len() as u64 != manifest.corpus.passages {
            return Err(damaged(&"it holds something else than its manifest says"));
        }
        Ok(opened)
    }
}
