//! What can go wrong at the learner's border.

use std::path::PathBuf;

use crate::TokenId;

/// Why a learner or a policy could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LearnerError {
    /// A training row contradicts itself.
    #[error("a training row cannot be used: {0}")]
    BadExample(String),
    /// A sampling or scoring request contradicts itself.
    #[error("a request cannot be served: {0}")]
    BadRequest(String),
    /// A token that the model does not have.
    #[error("token {token} is not in the vocabulary of {vocabulary} entries")]
    UnknownToken {
        /// The token.
        token: TokenId,
        /// How many the model has.
        vocabulary: usize,
    },
    /// A row longer than the model can read.
    #[error("a row of {length} tokens does not fit the context of {context_length}")]
    TooLong {
        /// The row's length.
        length: usize,
        /// What fits.
        context_length: usize,
    },
    /// A model this program does not know how to run, or a file that is not what it should be.
    #[error("{path}: {problem}")]
    BadModel {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// The model would not fit this machine.
    #[error("{what} needs {needed_gib:.1} GiB of memory, this machine has {available_gib:.1} GiB available")]
    TooLarge {
        /// What was about to be loaded.
        what: String,
        /// Memory that it needs.
        needed_gib: f64,
        /// Memory that is available.
        available_gib: f64,
    },
    /// Numbers left the finite range; training cannot go on from here.
    #[error("{0}")]
    NotFinite(String),
    /// The learner cannot do this at all.
    #[error("{0}")]
    Unsupported(String),
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A model could not be fetched.
    #[error("{what} could not be fetched: {problem}")]
    Fetch {
        /// The file or repository.
        what: String,
        /// What went wrong and what to do.
        problem: String,
    },
    /// A server that trains or samples gave no answer, or not the one that is needed.
    #[error("{url} {route}: {problem}")]
    Remote {
        /// The server.
        url: String,
        /// What it was asked.
        route: String,
        /// What went wrong and what to do.
        problem: String,
    },
    /// The learner stopped while a call was waiting for it.
    #[error("the learner stopped: {0}")]
    Stopped(String),
}

impl LearnerError {
    /// An [`LearnerError::Io`] about `path`.
    pub fn io(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Io { path: path.into(), source }
    }

    /// A [`LearnerError::BadModel`] about `path`.
    pub fn bad_model(path: impl Into<PathBuf>, problem: impl Into<String>) -> Self {
        Self::BadModel { path: path.into(), problem: problem.into() }
    }
}
