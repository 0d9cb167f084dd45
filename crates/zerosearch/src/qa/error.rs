//! What can be wrong with a question file.

use std::path::PathBuf;

/// Why questions could not be read.
#[derive(Debug, thiserror::Error)]
pub enum QuestionError {
    /// The system would not give the file.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// What was written is no place of questions.
    #[error("{0}")]
    Place(String),
    /// The hub did not give them.
    #[error(transparent)]
    Hub(#[from] zerosearch_hub::HubError),
    /// The file as a whole is not what it should be.
    #[error("{path}: {problem}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// One row is not what it should be.
    #[error("{path}, row {row}: {problem}")]
    Row {
        /// The file.
        path: PathBuf,
        /// The line of a text file, or the row of a Parquet file; both count from 1.
        row: u64,
        /// Which column, what is wrong and what to do.
        problem: String,
    },
    /// Nothing is left to ask.
    #[error("{0}")]
    NoneUsable(String),
    /// Fewer questions than a batch needs.
    #[error(
        "a batch takes {wanted} different questions, the data set has {usable}; ask for fewer or add questions"
    )]
    TooFew {
        /// How many a batch takes.
        wanted: usize,
        /// How many there are.
        usable: usize,
    },
}
