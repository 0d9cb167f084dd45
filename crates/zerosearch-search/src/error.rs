//! What can go wrong at an engine's border.

use std::path::PathBuf;
use std::time::Duration;

/// Why an engine gave no documents.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SearchError {
    /// Nobody answered in time.
    #[error("{url} gave no answer within {waited:?}, {tries} times")]
    Silent {
        /// Who was asked.
        url: String,
        /// How long each try waited.
        waited: Duration,
        /// How often.
        tries: u32,
    },
    /// The connection could not be made or broke.
    #[error("{url} could not be reached: {problem}")]
    Unreachable {
        /// Who was asked.
        url: String,
        /// What the system said.
        problem: String,
    },
    /// The server said no.
    #[error("{url} refused with status {status}: {body}")]
    Refused {
        /// Who was asked.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The beginning of its reply.
        body: String,
    },
    /// None of several servers answered.
    #[error("none of {} servers answered, {tries} tries: {}", .reasons.len(), listed(.reasons))]
    NoServer {
        /// How often they were tried, all together.
        tries: u32,
        /// What each of them did last.
        reasons: Vec<Self>,
    },
    /// The reply is not what the protocol says.
    #[error("{url} sent something unexpected: {problem}")]
    Garbled {
        /// Who was asked.
        url: String,
        /// What is wrong with the reply.
        problem: String,
    },
    /// The query cannot be served as it is: no golden answers for useful documents, for example.
    #[error("this query cannot be served: {0}")]
    BadQuery(String),
    /// A setting that no engine can be built from.
    #[error("{what} cannot be used: {problem}")]
    BadSetting {
        /// The setting.
        what: String,
        /// Why, and what to do instead.
        problem: String,
    },
    /// The simulator's model failed.
    #[error("the simulator failed: {0}")]
    Writer(String),
    /// The engine's own index could not be read.
    #[error("the index cannot be read: {0}")]
    Index(String),
    /// The simulator's model wrote, and none of it could be used as a document.
    #[error(
        "the simulator failed: {writer} wrote no usable document for a query ({empty} empty); small models need the \
         forced structure"
    )]
    NoDocuments {
        /// The model.
        writer: String,
        /// Documents without a word in them.
        empty: usize,
    },
    /// The cache could not be read or written.
    #[error("{0}")]
    Cache(String),
    /// Nothing is asked offline, and the cache does not know.
    #[error(
        "\"{query}\" is not in the cache {folder}, and offline nothing else is asked; the cache holds {own} results of \
         this engine as it is set now and {others} of others", folder = folder.display()
    )]
    NotCached {
        /// The words that were searched for.
        query: String,
        /// The cache.
        folder: PathBuf,
        /// What it holds of this engine, model, settings and template.
        own: usize,
        /// What it holds of others.
        others: usize,
    },
    /// A failure of an earlier time, in its own words: what is played again fails again.
    #[error("{0}")]
    Recorded(String),
}

impl SearchError {
    /// A setting refused, by its name.
    pub(crate) fn setting(what: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::BadSetting { what: what.into(), problem: problem.into() }
    }
}

fn listed(reasons: &[SearchError]) -> String {
    reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
