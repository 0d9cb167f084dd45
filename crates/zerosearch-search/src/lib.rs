//! Where documents come from: search engines, simulated and real.
//!
//! A [`SearchEngine`] answers a [`Query`] with [`Document`]s. It knows nothing of policies, tokens or training. A
//! simulated engine is told what kind of documents to write (a [`Label`] in the query); a real one ignores that.
//! Everything an engine returns is hostile text: [`clean`] makes protocol tags and control characters harmless, and
//! every engine of this crate applies it.

use std::future::Future;
use std::pin::Pin;

mod document;
mod error;
mod query;

pub use document::{Document, Provenance};
pub use error::SearchError;
pub use query::{Label, Labels, Query, QuestionContext};

/// A future that may cross threads: what an `async fn` returns when it has to be called through `dyn`.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Anything that finds, or makes up, documents for a query.
pub trait SearchEngine: Send + Sync {
    /// At most `query.k` documents, best first. An empty result is a result.
    fn search<'a>(&'a self, query: &'a Query) -> Boxed<'a, Result<Vec<Document>, SearchError>>;

    /// A short name for records and tables, such as `simulated` or `bm25`.
    fn name(&self) -> &str;
}
