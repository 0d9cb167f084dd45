//! Where documents come from: search engines, simulated and real.
//!
//! A [`SearchEngine`] answers a [`Query`] with [`Document`]s. It knows nothing of policies, tokens or training. A
//! simulated engine is told what kind of documents to write (a [`Label`] in the query); a real one ignores that.
//! Everything an engine returns is hostile text: [`clean()`] makes protocol tags and control characters harmless, and
//! every engine of this crate applies it.
//!
//! | here is | it becomes | in |
//! |---|---|---|
//! | a query and a label | documents that a model makes up | [`SimulatedEngine`] |
//! | a query | what the model that asks knows itself | [`SelfEngine`] |
//! | a prompt | text | a [`Writer`]: [`OpenAiWriter`], or a model of the caller's |
//! | a query | the passages of a corpus that fit it best | [`Bm25Engine`] over a [`Bm25Index`] |
//! | a text | a vector | [`Encoder`] |
//! | a query | the passages of a corpus whose vectors are nearest | [`DenseEngine`] over a [`DenseIndex`] |
//! | a query | what both find, in one order | [`HybridEngine`] |
//! | a query | what a `/retrieve` server finds | [`RetrieveEngine`] |
//! | a query | what a provider finds on the web | [`WebEngine`] |
//! | a query and its golden answers | documents by rule, without a model | [`ScriptedEngine`] |
//! | a corpus larger than memory | a folder that a [`Bm25Index`] opens at once | [`Bm25Build`] |
//! | a query that was searched before | the documents of that time | [`CachedEngine`] over a [`Cache`] |
//! | a query and its documents | the prompt and the reply that would give them | [`SimulatedSettings::demonstration`] |
//! | the calls of a step | how well the simulator did | [`Quality`] |

use std::future::Future;
use std::pin::Pin;

mod bm25;
mod cache;
mod clean;
mod containment;
#[cfg(any(test, feature = "contract-tests"))]
pub mod contract;
mod corpus;
mod dense;
mod document;
mod encoder;
mod error;
mod http;
mod hybrid;
mod index;
mod openai;
mod quality;
mod query;
mod retrieve;
mod scripted;
mod seed;
mod simulated;
mod web;
mod writer;

pub use bm25::{Bm25Build, Bm25Engine, Bm25Index, Words};
pub use cache::{Cache, CacheCounts, CacheError, CacheSize, CachedEngine};
pub use clean::{MAX_CHARS, clean, clean_counted};
pub use containment::Golds;
pub use corpus::{CorpusError, Extent, Passage};
pub use dense::{DenseBuild, DenseEngine, DenseIndex, DenseRecord, DenseSettings, Numbers, Reach};
pub use document::{Document, Provenance};
pub use encoder::{
    Encoder, EncoderError, EncoderRecord, Family, Manner, MannerChoice, Pooling, Side, encoder_folder,
};
pub use error::SearchError;
pub use http::{Key, ServerCounts, Servers, check_addresses};
pub use hybrid::HybridEngine;
pub use index::{Built, IndexError, Manifest, Pace, Stage, Watch};
pub use openai::{OpenAiClient, OpenAiSettings, OpenAiWriter, Route};
pub use quality::{Quality, QualityReport, Served, Tally};
pub use query::{Label, Labels, Query, QuestionContext};
pub use retrieve::{Dialect, RetrieveEngine, RetrieveSettings};
pub use scripted::ScriptedEngine;
pub use simulated::{
    Demonstration, PromptTemplate, SelfEngine, SelfSearch, SimulatedEngine, SimulatedSettings, Stretch,
    Structure,
};
pub use web::{Provider, WebEngine, WebSettings};
pub use writer::{WriteRequest, Writer, Written};

/// A future that may cross threads: what an `async fn` returns when it has to be called through `dyn`.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Anything that finds, or makes up, documents for a query.
pub trait SearchEngine: Send + Sync {
    /// At most `query.k` documents, best first, cleaned. An empty result is a result.
    fn search<'a>(&'a self, query: &'a Query) -> Boxed<'a, Result<Vec<Document>, SearchError>>;

    /// A short name for records and tables, such as `simulated` or `bm25`.
    fn name(&self) -> &str;

    /// All that decides its answers besides the query, as one line of JSON whose `engine` is the name: model, sampling
    /// settings, template, index, server. No secret is in it. Engines with equal identities are taken for each other;
    /// what is found by one is kept under it and given in the place of the other's.
    fn identity(&self) -> String;

    /// Whether documents are written for the labels of a query. A real engine finds what there is.
    fn writes_to_order(&self) -> bool {
        false
    }

    /// Whether documents are made up: then a query's seed decides them too, and what it tells of labels and question.
    /// For a real engine only words and number count.
    fn makes_up(&self) -> bool {
        self.writes_to_order()
    }
}
