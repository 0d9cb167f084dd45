//! Why an encoder cannot be used: which file, what is wrong, and what to do.

use std::io;
use std::path::{Path, PathBuf};

/// Why a folder is no encoder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncoderError {
    /// The system would not give a file.
    #[error("the encoder's {path} cannot be read: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is not what it should be, or tells of a model that is not known.
    #[error("the encoder's {path} cannot be used: {problem}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// It is no folder, and the hub does not give it.
    #[error("there is no encoder in a folder `{named}`, and as a model of the Hugging Face hub {source}")]
    Hub {
        /// What was named.
        named: String,
        /// What the hub says.
        source: Box<zerosearch_hub::HubError>,
    },
    /// Nothing says how the model wants to be used.
    #[error("the encoder {path} cannot be used: {problem}")]
    Manner {
        /// The folder.
        path: PathBuf,
        /// What is not known and how to say it.
        problem: String,
    },
}

impl EncoderError {
    pub(super) fn file(path: &Path, problem: impl Into<String>) -> Self {
        Self::File { path: path.to_owned(), problem: problem.into() }
    }
}
