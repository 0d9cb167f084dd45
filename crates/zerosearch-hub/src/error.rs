//! Why something could not be fetched.

use std::path::PathBuf;

/// Why a file of the hub cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// The hub does not have it, does not give it, or was not to be asked.
    #[error("{what} could not be fetched: {problem}")]
    Fetch {
        /// The repository.
        what: String,
        /// What went wrong and what to do.
        problem: String,
    },
    /// The cache could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl HubError {
    pub(crate) fn io(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Io { path: path.into(), source }
    }
}

/// Why a request came to nothing.
pub(crate) enum Failure {
    /// Nobody answered: the cache may help.
    Silent(String),
    /// Asking again does not help.
    Final(HubError),
}

impl From<HubError> for Failure {
    fn from(error: HubError) -> Self {
        Self::Final(error)
    }
}
