//! A pair: a query and documents that an engine gave for it, with the label that a simulator has to learn.

use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zerosearch_search::{Document, Golds, Label, Query, QuestionContext};

use crate::problem::problem;
use crate::run::VERSION;

/// One line of `pairs.jsonl` and `held-out.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    /// [`VERSION`].
    #[serde(default = "version")]
    pub version: u32,
    /// The bare question.
    pub question: String,
    /// Its golden answers; at least one.
    pub golden_answers: Vec<String>,
    /// What the engine was asked.
    pub query: String,
    /// What its documents are.
    pub label: Label,
    /// The documents, best first.
    pub documents: Vec<Document>,
    /// Where they were found.
    #[serde(default)]
    pub from: Origin,
}

/// Where a search call is recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Origin {
    /// The file of conversations.
    pub file: String,
    /// The line in it, from 1.
    pub line: usize,
    /// The turn of the conversation, from 0.
    pub turn: usize,
    /// The question's id.
    pub id: String,
    /// The question's data set.
    pub source: String,
    /// Which of the conversations about the question, from 0.
    pub member: usize,
    /// Whether it is the conversation's last search that brought documents.
    pub last: bool,
}

fn version() -> u32 {
    VERSION
}

impl Pair {
    /// The query as a simulated engine gets it, for as many documents as there are. Labels and seed are left open.
    pub fn query(&self) -> Query {
        let context =
            QuestionContext { question: self.question.clone(), golden_answers: self.golden_answers.clone() };
        let k = self.documents.len();
        Query { text: self.query.clone(), k, labels: None, seed: 0, context: Some(context) }
    }

    /// Whether its query was the last of a conversation and brought useful documents with a golden answer: what a policy
    /// asks when one step is left to the answer.
    pub fn is_last_hop(&self) -> bool {
        let golds = Golds::new(self.golden_answers.iter().map(String::as_str));
        let holds_one = self.documents.iter().any(|document| golds.in_document(document));
        self.from.last && self.label == Label::Useful && holds_one
    }

    /// Equal for pairs of the same question, query and documents, whatever their labels.
    pub fn fingerprint(&self) -> String {
        let documents = self.documents.iter().flat_map(|it| [it.title.as_str(), it.text.as_str()]);
        fingerprint([self.question.as_str(), self.query.as_str()].into_iter().chain(documents))
    }
}

/// SHA-256 of `parts`, each with its length.
pub(super) fn fingerprint<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The pairs of a file.
///
/// # Errors
/// The first line that is no pair; a file without any.
pub fn read_pairs(path: &Path) -> Result<Vec<Pair>> {
    let bytes = std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let lines =
        bytes.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.trim_ascii().is_empty());
    let pair = |(at, line): (usize, &[u8])| {
        let refused = || problem(format!("{}, line {}, is not a pair", path.display(), at + 1));
        let pair: Pair = serde_json::from_slice(line).map_err(|error| refused().because(error))?;
        if pair.documents.is_empty() || pair.golden_answers.iter().all(|gold| gold.trim().is_empty()) {
            return Err(refused().because("a pair has documents and a golden answer").into());
        }
        Ok(pair)
    };
    let pairs: Vec<Pair> = lines.map(pair).collect::<Result<_>>()?;
    if pairs.is_empty() {
        return Err(problem(format!("there are no pairs in {}", path.display()))
            .hint("`zerosearch judge` writes them; `--held-out SHARE` holds some out")
            .into());
    }
    Ok(pairs)
}
