//! A query: what the policy wrote, and what a simulated engine is told about it.

use serde::{Deserialize, Serialize};

use crate::SearchError;

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

impl Labels {
    /// The label of the document at `position`, counted from 0. `None` past the end of [`Labels::Each`].
    pub fn at(&self, position: usize) -> Option<Label> {
        match self {
            Self::All(label) => Some(*label),
            Self::Each(labels) => labels.get(position).copied(),
        }
    }

    /// Whether any document of the call carries `label`.
    pub fn ask_for(&self, label: Label) -> bool {
        match self {
            Self::All(one) => *one == label,
            Self::Each(labels) => labels.contains(&label),
        }
    }
}

impl Query {
    /// What every engine refuses: no words, no documents wanted, or more than the engine's `most`.
    pub fn check(&self, most: usize) -> Result<(), SearchError> {
        if self.text.trim().is_empty() {
            return Err(SearchError::BadQuery("it has no words".into()));
        }
        if self.k == 0 || self.k > most {
            let k = self.k;
            return Err(SearchError::BadQuery(format!("{k} documents are wanted; ask for 1 to {most}")));
        }
        Ok(())
    }

    /// The label of each wanted document, for an engine that writes to order. Refused without labels, with another
    /// number of labels than documents, and when useful documents are wanted without a golden answer.
    pub fn labels_in_order(&self) -> Result<Vec<Label>, SearchError> {
        let labels = match &self.labels {
            None => {
                return Err(SearchError::BadQuery("a simulated engine must be told useful or noisy".into()));
            }
            Some(Labels::All(label)) => vec![*label; self.k],
            Some(Labels::Each(labels)) if labels.len() == self.k => labels.clone(),
            Some(Labels::Each(labels)) => {
                let (has, k) = (labels.len(), self.k);
                return Err(SearchError::BadQuery(format!("it has {has} labels for {k} documents")));
            }
        };
        if labels.contains(&Label::Useful) && self.golds().is_empty() {
            let why = "useful documents need the question's golden answers, and it carries none";
            return Err(SearchError::BadQuery(why.into()));
        }
        Ok(labels)
    }

    /// The golden answers that came with the query; blank ones are left out.
    pub fn golds(&self) -> Vec<&str> {
        let all = self.context.iter().flat_map(|context| &context.golden_answers);
        all.map(|gold| gold.trim()).filter(|gold| !gold.is_empty()).collect()
    }
}
