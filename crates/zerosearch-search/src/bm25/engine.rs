//! The engine itself: from a query to cleaned documents of the index.

use std::sync::Arc;

use serde_json::json;

use super::{Bm25Index, Words};
use crate::corpus::{CorpusError, Passage};
use crate::{Boxed, Document, Provenance, Query, SearchEngine, SearchError, clean};

/// A search engine over a [`Bm25Index`]: of all passages with a word of the query, those with the highest scores.
///
/// Equal queries get equal documents, equal scores in the order of the corpus. A query without any word of the corpus
/// gets none. Labels, seed and question are ignored.
#[derive(Clone, Debug)]
pub struct Bm25Engine {
    index: Arc<Bm25Index>,
}

/// The most documents of one call.
const MOST_DOCUMENTS: usize = 100;
pub(super) const ENGINE: &str = "bm25";

impl Bm25Engine {
    /// An engine that searches `index`.
    pub fn new(index: Bm25Index) -> Self {
        Self { index: Arc::new(index) }
    }

    /// An engine over passages that are in memory; see [`Bm25Index::of_passages`].
    pub fn over(passages: impl IntoIterator<Item = Passage>, words: Words) -> Result<Self, CorpusError> {
        Ok(Self::new(Bm25Index::of_passages(passages, words)?))
    }

    /// What is searched.
    pub fn index(&self) -> &Bm25Index {
        &self.index
    }

    async fn answer(&self, query: &Query) -> Result<Vec<Document>, SearchError> {
        query.check(MOST_DOCUMENTS)?;
        let (index, text, k) = (Arc::clone(&self.index), query.text.clone(), query.k);
        let found = tokio::task::spawn_blocking(move || index.find(&text, k)).await;
        let found = found.map_err(|gone| SearchError::Index(gone.to_string()))?;
        let found = found.map_err(|why| SearchError::Index(why.to_string()))?;
        Ok(found.into_iter().map(|(passage, score)| document(&passage, score)).collect())
    }
}

fn document(passage: &Passage, score: f32) -> Document {
    let provenance = Provenance {
        engine: ENGINE.into(),
        score: Some(score),
        id: Some(passage.id.clone()),
        ..Provenance::default()
    };
    Document { title: clean(&passage.title), text: clean(&passage.text), provenance }
}

impl SearchEngine for Bm25Engine {
    fn search<'a>(&'a self, query: &'a Query) -> Boxed<'a, Result<Vec<Document>, SearchError>> {
        Box::pin(self.answer(query))
    }

    fn name(&self) -> &str {
        ENGINE
    }

    fn identity(&self) -> String {
        let Words { stemming, stop_words } = self.index.words();
        let passages = self.index.digest();
        json!({ "engine": ENGINE, "passages": passages, "stemming": stemming, "stop_words": stop_words })
            .to_string()
    }
}
