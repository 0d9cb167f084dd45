//! Self-search: a model is its own search engine and writes down what it knows itself.
//!
//! The method is that of SSRL (Self-Search Reinforcement Learning, arXiv 2508.10874): what a model recalls for a query
//! stands in the place of what an engine would find. It is told the query and nothing else; the question behind it, its
//! golden answers and labels stay outside.

use std::sync::Arc;

use serde_json::{Value, json};

use super::template::Slots;
use super::{PromptTemplate, SimulatedEngine, SimulatedSettings};
use crate::{Boxed, Document, Label, Labels, Provenance, Quality, Query, SearchEngine, SearchError, Writer};

/// How a model searches itself, whichever model it is.
#[derive(Clone, Debug)]
pub struct SelfSearch {
    settings: SimulatedSettings,
    quality: Arc<Quality>,
}

/// An engine that is the model which asks it.
///
/// Where the model writes nothing usable the result is empty: it had nothing to tell, and that is no failure of an
/// engine.
pub struct SelfEngine {
    engine: SimulatedEngine,
}

const ENGINE: &str = "self";

impl SelfSearch {
    /// Self-search with `settings`, reported to `quality`.
    ///
    /// # Errors
    /// A setting out of range, and a template that shows more than the query.
    pub fn new(settings: SimulatedSettings, quality: Arc<Quality>) -> Result<Self, SearchError> {
        settings.check(true)?;
        let labels = [Label::Noisy];
        let blind = Slots {
            context: None,
            query: "who",
            label: Label::Noisy,
            labels: &labels,
            words: settings.words,
        };
        settings.template.render(&blind).map_err(|_| {
            let what = format!("prompt template {}", settings.template.name());
            SearchError::setting(
                what,
                "it shows the question or its answers, which the engine self is not told",
            )
        })?;
        Ok(Self { settings, quality })
    }

    /// The engine that `writer` is.
    ///
    /// # Errors
    /// Forced structure over a writer that cannot continue a reply.
    pub fn of(&self, writer: Arc<dyn Writer>) -> Result<SelfEngine, SearchError> {
        let engine = SimulatedEngine::new(self.settings.clone(), writer, Arc::clone(&self.quality))?;
        Ok(SelfEngine { engine })
    }

    /// All that decides what a model writes besides the model, as one line of JSON whose `engine` is the name.
    pub fn identity(&self) -> String {
        json!({ "engine": ENGINE, "settings": self.settings.identity() }).to_string()
    }
}

impl PromptTemplate {
    /// The prompt of self-search, which shows the query alone.
    pub fn own() -> Result<Self, SearchError> {
        Self::from_text("own", include_str!("../prompts/own.txt"))
    }
}

impl SelfEngine {
    async fn recall(&self, query: &Query) -> Result<Vec<Document>, SearchError> {
        // A label without a golden answer to it: the template shows neither.
        let blind = Query { labels: Some(Labels::All(Label::Noisy)), context: None, ..query.clone() };
        let documents = match self.engine.search(&blind).await {
            Err(SearchError::NoDocuments { .. }) => Vec::new(),
            outcome => outcome?,
        };
        let own = |document: Document| {
            let provenance = Provenance { engine: ENGINE.into(), label: None, ..document.provenance };
            Document { provenance, ..document }
        };
        Ok(documents.into_iter().map(own).collect())
    }
}

impl SearchEngine for SelfEngine {
    fn search<'a>(&'a self, query: &'a Query) -> Boxed<'a, Result<Vec<Document>, SearchError>> {
        Box::pin(self.recall(query))
    }

    fn name(&self) -> &str {
        ENGINE
    }

    fn identity(&self) -> String {
        let played: Value = serde_json::from_str(&self.engine.identity()).unwrap_or_default();
        json!({ "engine": ENGINE, "settings": played["settings"], "writer": played["writer"] }).to_string()
    }

    fn makes_up(&self) -> bool {
        true
    }
}
