//! Why an index cannot be made or opened: which one, what is wrong, and what to do.

use std::io;
use std::path::{Path, PathBuf};

use crate::corpus::CorpusError;

/// Why an index cannot be made or opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// The corpus is not what it should be.
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    /// The system would not read or write a file.
    #[error("{path} cannot be {done}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// `read` or `written`.
        done: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The folder holds no index, a damaged one, or another than was asked for.
    #[error("the index {folder} {problem}")]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
}

impl IndexError {
    pub(crate) fn folder(folder: &Path, problem: impl Into<String>) -> Self {
        Self::Folder { folder: folder.to_owned(), problem: problem.into() }
    }

    pub(crate) fn read(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), done: "read", source }
    }

    pub(crate) fn written(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), done: "written", source }
    }
}
