//! The engine itself: from a query to cleaned documents of the index.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use super::{DenseIndex, Numbers, Reach};
use crate::index::IndexError;
use crate::{
    Boxed, Document, Encoder, EncoderError, Provenance, Query, SearchEngine, SearchError, Side, clean,
};

/// A search engine over a [`DenseIndex`]: the passages whose vectors have the largest inner products with the query's.
///
/// Equal queries get equal documents, equal scores in the order of the corpus. Labels, seed and question are ignored.
#[derive(Clone, Debug)]
pub struct DenseEngine {
    index: Arc<DenseIndex>,
    encoder: Arc<Encoder>,
}

/// The most documents of one call.
const MOST_DOCUMENTS: usize = 100;
pub(super) const ENGINE: &str = "dense";

impl DenseEngine {
    /// An engine that searches `index` with the encoder in `folder`. Queries are encoded in the manner that the index
    /// records.
    ///
    /// # Errors
    /// When the encoder is not the one that made the index.
    pub fn new(index: DenseIndex, folder: &Path) -> Result<Self, EncoderError> {
        let encoder = Encoder::again(folder, &index.record().encoder)?;
        Ok(Self { index: Arc::new(index), encoder: Arc::new(encoder) })
    }

    /// What is searched.
    pub fn index(&self) -> &DenseIndex {
        &self.index
    }

    /// A query's vector.
    ///
    /// # Errors
    /// When the tokenizer cannot cope with it.
    pub fn vector(&self, query: &str) -> Result<Vec<f32>, SearchError> {
        let text = [query.to_owned()];
        let vectors = self.encoder.encode(Side::Query, &text).map_err(SearchError::Index)?;
        Ok(vectors.into_raw_vec_and_offset().0)
    }

    async fn answer(&self, query: &Query) -> Result<Vec<Document>, SearchError> {
        query.check(MOST_DOCUMENTS)?;
        let (engine, text, k) = (self.clone(), query.text.clone(), query.k);
        let found = tokio::task::spawn_blocking(move || engine.find(&text, k)).await;
        found.map_err(|gone| SearchError::Index(gone.to_string()))?
    }

    fn find(&self, text: &str, k: usize) -> Result<Vec<Document>, SearchError> {
        let vector = self.vector(text)?;
        // A text of which a static embedding knows no word is near to nothing.
        if vector.iter().all(|x| *x == 0.0) {
            return Ok(Vec::new());
        }
        let failed = |why: IndexError| SearchError::Index(why.to_string());
        let hits = self.index.nearest(&vector, k).map_err(failed)?;
        hits.into_iter().map(|(score, place)| self.document(score, place).map_err(failed)).collect()
    }

    fn document(&self, score: f32, place: usize) -> Result<Document, IndexError> {
        let passage = self.index.passage(place)?;
        let provenance = Provenance {
            engine: ENGINE.into(),
            score: Some(score),
            id: Some(passage.id.clone()),
            ..Provenance::default()
        };
        Ok(Document { title: clean(&passage.title), text: clean(&passage.text), provenance })
    }
}

impl SearchEngine for DenseEngine {
    fn search<'a>(&'a self, query: &'a Query) -> Boxed<'a, Result<Vec<Document>, SearchError>> {
        Box::pin(self.answer(query))
    }

    fn name(&self) -> &str {
        ENGINE
    }

    fn identity(&self) -> String {
        let (record, settings) = (self.index.record(), self.index.settings());
        let probes = match settings.reach {
            Reach::Exact => None,
            Reach::Approximate(probes) => Some(probes),
        };
        json!({
            "engine": ENGINE,
            "passages": self.index.digest(),
            "encoder": record.encoder,
            "probes": probes,
            "clusters": probes.map(|_| record.clusters),
            "int8": settings.numbers == Numbers::Int8,
        })
        .to_string()
    }
}
