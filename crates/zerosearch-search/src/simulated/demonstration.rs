//! A demonstration: what a simulated engine asks for a query, and the reply that would give it certain documents.
//!
//! A model that is fine-tuned on demonstrations learns to write such documents when it plays the engine: prompt,
//! structure and lengths are the engine's own.

use super::engine::Order;
use super::harvest::Harvest;
use super::reply::Draft;
use super::{SimulatedSettings, Structure, forced};
use crate::{Document, Label, Labels, Query, SearchError};

/// What is asked, and what should be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demonstration {
    /// The system message.
    pub system: Option<String>,
    /// The user's message.
    pub prompt: String,
    /// The reply, in order. It ends with the last of them.
    pub stretches: Vec<Stretch>,
}

/// One stretch of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// What the engine writes for the model, at the beginning of this stretch.
    pub given: String,
    /// What the model writes.
    pub written: String,
}

impl Demonstration {
    /// The whole reply.
    pub fn reply(&self) -> String {
        self.stretches.iter().flat_map(|stretch| [stretch.given.as_str(), stretch.written.as_str()]).collect()
    }
}

impl SimulatedSettings {
    /// How these settings ask for as many documents with `label` as `documents` has, and the reply that would give
    /// them: cleaned, cut to the length that the engine cuts to, without those that it would drop.
    ///
    /// # Errors
    /// When the engine would refuse `query` with this label, or would keep none of `documents`.
    pub fn demonstration(
        &self,
        query: &Query,
        label: Label,
        documents: &[Document],
    ) -> Result<Demonstration, SearchError> {
        let mut harvest = Harvest::new(self.most_words, self.template.hash());
        for document in documents {
            let (title, text) = (document.title.clone(), document.text.clone());
            harvest.offer(label, &Draft { title, text, cut_off: false });
        }
        let kept = harvest.documents;
        if kept.is_empty() {
            return Err(SearchError::BadQuery("none of its documents has a word in it".into()));
        }
        let query = Query { k: kept.len(), labels: Some(Labels::All(label)), ..query.clone() };
        let order = Order::of(&query, self.most_documents)?;
        let prompt = self.prompt(&order, label, &order.labels)?;
        Ok(Demonstration { system: self.template.system(), prompt, stretches: self.stretches(&kept) })
    }

    /// Every line but the last ends as lines do; with the last the reply ends.
    fn stretches(&self, documents: &[Document]) -> Vec<Stretch> {
        let last = documents.len();
        let lines = documents.iter().enumerate().map(|(place, document)| {
            let end = if place + 1 < last { "\n" } else { "" };
            (forced::head(place + 1), format!("{}{end}", forced::rest_of_line(document)))
        });
        match self.structure {
            Structure::Forced => lines.map(|(given, written)| Stretch { given, written }).collect(),
            Structure::Free => {
                let written = lines.map(|(head, rest)| head + &rest).collect();
                vec![Stretch { given: String::new(), written }]
            }
        }
    }
}
