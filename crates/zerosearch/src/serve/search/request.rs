//! A request: a query, how many documents, and what a simulated engine should write.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use zerosearch_search::Label;

/// One query. All but `query` may be left out.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SearchRequest {
    /// The words to search for.
    pub(super) query: String,
    /// How many documents; without it (or 0), as many as `labels`, else the server's default.
    pub(super) k: Option<usize>,
    /// What a simulated engine should write, for all documents alike.
    #[schema(value_type = Option<Kind>)]
    pub(super) label: Option<Label>,
    /// The same, document by document.
    #[schema(value_type = Option<Vec<Kind>>)]
    pub(super) labels: Option<Vec<Label>>,
    /// The chance that a simulated engine is told to write noise: a coin is tossed by the seed.
    #[schema(minimum = 0, maximum = 1)]
    pub(super) noise: Option<f64>,
    /// Decides what a simulated engine writes, and how the coin falls. Without it, it follows from the request: the same
    /// request gets the same documents.
    pub(super) seed: Option<u64>,
    /// The question behind the query. Only a simulated engine sees it.
    pub(super) question: Option<String>,
    /// Its right answers. Only a simulated engine sees them; useful documents cannot be written without.
    pub(super) golden_answers: Option<Vec<String>>,
}

/// The same as parameters of an address.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SearchParameters {
    /// The words to search for.
    query: String,
    /// How many documents.
    k: Option<usize>,
    /// What a simulated engine should write.
    #[param(value_type = Option<Kind>)]
    label: Option<Label>,
    /// The chance that it is told to write noise.
    #[param(minimum = 0, maximum = 1)]
    noise: Option<f64>,
    /// Decides what it writes.
    seed: Option<u64>,
    /// The question behind the query.
    question: Option<String>,
    /// A right answer.
    golden_answer: Option<String>,
}

impl From<SearchParameters> for SearchRequest {
    fn from(given: SearchParameters) -> Self {
        let SearchParameters { query, k, label, noise, seed, question, golden_answer } = given;
        let golden_answers = golden_answer.map(|answer| vec![answer]);
        Self { query, k, label, labels: None, noise, seed, question, golden_answers }
    }
}

/// What documents should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// They hold what the query asks for.
    Useful,
    /// They are on the topic and do not help.
    Noisy,
}

impl From<Label> for Kind {
    fn from(label: Label) -> Self {
        match label {
            Label::Useful => Self::Useful,
            Label::Noisy => Self::Noisy,
        }
    }
}
