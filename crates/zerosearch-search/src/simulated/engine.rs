//! The engine itself: from a query to cleaned, counted documents.

use std::sync::Arc;
use std::time::Instant;

use serde_json::json;

use super::harvest::{ENGINE, Harvest};
use super::template::Slots;
use super::{SimulatedSettings, Structure, forced, free};
use crate::seed::{Purpose, draw};
use crate::{
    Boxed, Document, Label, Quality, Query, SearchEngine, SearchError, Served, WriteRequest, Writer, clean,
};

/// A search engine played by a language model.
///
/// Every document is written for the label that the query gives it; a query without labels, or one that wants useful
/// documents without carrying golden answers, is refused. Fewer documents than wanted may come, never more; a call
/// for which the model wrote nothing usable is an error of the writer, not an empty result. With a writer that
/// repeats itself on equal requests, equal queries get equal documents.
pub struct SimulatedEngine {
    settings: SimulatedSettings,
    writer: Arc<dyn Writer>,
    quality: Arc<Quality>,
}

/// The longest query, in characters, that goes into a prompt.
const MOST_QUERY_CHARS: usize = 500;
/// More than the attempts that any place can take, so that no two writes of a call share a seed.
const ATTEMPTS_PER_PLACE: u64 = 1_000;

impl SimulatedSettings {
    /// The prompt that asks for documents with `labels`, in the manner of `label`.
    pub(super) fn prompt(
        &self,
        order: &Order<'_>,
        label: Label,
        labels: &[Label],
    ) -> Result<String, SearchError> {
        let context = order.query.context.as_ref();
        self.template.render(&Slots { context, query: &order.text, label, labels, words: self.words })
    }
}

/// One call, checked.
pub(super) struct Order<'a> {
    query: &'a Query,
    /// The query's words as the prompt shows them.
    text: String,
    was_cut: bool,
    /// The label of every wanted document, in their order.
    pub(super) labels: Vec<Label>,
}

impl<'a> Order<'a> {
    /// Checks `query`. Its words are cleaned: they are the policy's, and must not spell the writer's special tokens.
    pub(super) fn of(query: &'a Query, most_documents: usize) -> Result<Self, SearchError> {
        query.check(most_documents)?;
        let labels = query.labels_in_order()?;
        let whole = clean(&query.text);
        let front: String = whole.chars().take(MOST_QUERY_CHARS).collect();
        let text = clean(&front);
        if text.is_empty() {
            return Err(SearchError::BadQuery("it has no visible characters".into()));
        }
        Ok(Order { query, was_cut: front.len() < whole.len(), text, labels })
    }

    /// How many documents with `label` are wanted.
    pub(super) fn count(&self, label: Label) -> usize {
        self.labels.iter().filter(|it| **it == label).count()
    }
}

impl SimulatedEngine {
    /// An engine that writes with `writer` and reports to `quality`. Refused with settings out of range, a template
    /// that does not render, and forced structure over a writer that cannot continue a reply.
    pub fn new(
        settings: SimulatedSettings,
        writer: Arc<dyn Writer>,
        quality: Arc<Quality>,
    ) -> Result<Self, SearchError> {
        settings.check(writer.can_continue())?;
        Ok(Self { settings, writer, quality })
    }

    /// What the engine was built with.
    pub fn settings(&self) -> &SimulatedSettings {
        &self.settings
    }

    pub(super) fn writer(&self) -> &dyn Writer {
        self.writer.as_ref()
    }

    /// How many more writes a call may spend. At temperature 0 the same would come again.
    pub(super) fn rewrites(&self) -> u32 {
        if self.settings.temperature > 0.0 { self.settings.rewrites } else { 0 }
    }

    /// What all requests of a call share; `place` and `attempt` give each its own seed.
    pub(super) fn request(&self, order: &Order<'_>, place: usize, attempt: u32) -> WriteRequest {
        let index = place as u64 * ATTEMPTS_PER_PLACE + u64::from(attempt);
        WriteRequest {
            system: self.settings.template.system(),
            temperature: self.settings.temperature,
            top_p: self.settings.top_p,
            seed: draw(order.query.seed, Purpose::Write, index),
            ..WriteRequest::default()
        }
    }

    async fn answer(&self, query: &Query) -> Result<Vec<Document>, SearchError> {
        let started = Instant::now();
        let mut harvest = Harvest::new(self.settings.most_words, self.settings.template.hash());
        let outcome = self.fill(query, &mut harvest).await;
        let Harvest { documents, tally, .. } = harvest;
        let latency = started.elapsed();
        match outcome {
            Ok(()) => self.quality.served(&Served { query, documents: &documents, tally, latency }),
            Err(_) => self.quality.failed(tally, latency),
        }
        outcome.map(|()| documents)
    }

    async fn fill(&self, query: &Query, harvest: &mut Harvest) -> Result<(), SearchError> {
        let order = Order::of(query, self.settings.most_documents)?;
        harvest.tally.queries_cut += usize::from(order.was_cut);
        match self.settings.structure {
            Structure::Free => free::write(self, &order, harvest).await?,
            Structure::Forced => forced::write(self, &order, harvest).await?,
        }
        if harvest.documents.is_empty() {
            return Err(SearchError::NoDocuments {
                writer: self.writer.name().to_owned(),
                empty: harvest.tally.empty,
            });
        }
        Ok(())
    }
}

impl SearchEngine for SimulatedEngine {
    fn search<'a>(&'a self, query: &'a Query) -> Boxed<'a, Result<Vec<Document>, SearchError>> {
        Box::pin(self.answer(query))
    }

    fn name(&self) -> &str {
        ENGINE
    }

    fn identity(&self) -> String {
        let settings = self.settings.identity();
        json!({ "engine": ENGINE, "settings": settings, "writer": self.writer.identity() }).to_string()
    }

    fn writes_to_order(&self) -> bool {
        true
    }
}
