//! A query: what the policy wrote, and what a simulated engine is told about it.

use serde::{Deserialize, Serialize};

/// One search call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Query {
    /// The policy's words, trimmed.
    pub text: String,
    /// How many documents are wanted.
    pub k: usize,
    /// What kind of documents a simulated engine should write. Real engines ignore it.
    pub labels: Option<Labels>,
    /// Seeds a simulated engine's sampling. Real engines ignore it.
    pub seed: u64,
    /// The question behind the query, for a simulated engine. Real engines never see it.
    pub context: Option<QuestionContext>,
}

/// The question that the policy is trying to answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuestionContext {
    /// The bare question.
    pub question: String,
    /// All its golden answers.
    pub golden_answers: Vec<String>,
}

/// Whether documents should help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Label {
    /// They hold what the query asks for.
    Useful,
    /// They are on the topic and do not help.
    Noisy,
}

/// The labels of one search call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Labels {
    /// One label for all documents of the call, as in the paper.
    All(Label),
    /// One label for each document.
    Each(Vec<Label>),
}

impl Label {
    /// The label as a lower-case word, as prompts use it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Useful => "useful",
            Self::Noisy => "noisy",
        }
    }
}
