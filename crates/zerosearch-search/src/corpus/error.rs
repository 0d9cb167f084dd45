//! Why a corpus cannot be used: what is wrong, where it stands, and what to do.

use std::io;
use std::path::PathBuf;

/// Why a corpus cannot be searched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CorpusError {
    /// The system would not give the file.
    #[error("the corpus {path} cannot be read: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file as a whole is not what it should be.
    #[error("the corpus {path} cannot be used: {problem}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// One row is not what it should be.
    #[error("the corpus {path}, {unit} {number}: {problem}")]
    Row {
        /// The file.
        path: PathBuf,
        /// What a row of this file is called: `line` or `row`.
        unit: &'static str,
        /// Its place, counted from 1.
        number: u64,
        /// What is wrong and what to do.
        problem: String,
    },
    /// One passage that was given in memory is not what it should be.
    #[error("passage {number}: {problem}")]
    Passage {
        /// Its place, counted from 1.
        number: u64,
        /// What is wrong.
        problem: String,
    },
    /// There is nothing to search.
    #[error("there is no passage to search")]
    Empty,
    /// The index could not be made.
    #[error("the index cannot be made: {0}")]
    Index(String),
}
