//! A journal of a remote search engine: what it found, so that a step that is played again finds the same.

use std::sync::Arc;
use std::time::Instant;

use sha2::{Digest, Sha256};
use zerosearch_search::{Boxed, Document, Query, SearchEngine, SearchError};

use super::{Replies, Reply, not_kept};

/// A search engine whose documents are kept in the run's folder and come from there when they are known. Failures are
/// kept as those of a [`Journal`](super::Journal) are.
pub struct EngineJournal {
    engine: Arc<dyn SearchEngine>,
    replies: Arc<Replies>,
}

impl EngineJournal {
    /// `engine`, remembered in `replies`.
    pub fn new(engine: Arc<dyn SearchEngine>, replies: Arc<Replies>) -> Self {
        Self { engine, replies }
    }

    async fn find(&self, query: &Query) -> Result<Vec<Document>, SearchError> {
        let request = fingerprint(self.engine.name(), query);
        let reply = match self.replies.find(&request) {
            Some(reply) => reply,
            None => {
                let started = Instant::now();
                let found = self.engine.search(query).await;
                let found = found.inspect_err(|why| self.replies.note_failure(request.clone(), why))?;
                let text = serde_json::to_string(&found).map_err(|why| not_kept(why.into()))?;
                let latency_s = started.elapsed().as_secs_f64();
                let reply = Reply { request, text, finished: true, tries: 1, latency_s, ..Reply::default() };
                self.replies.keep(reply).map_err(not_kept)?
            }
        };
        let text = reply.outcome()?.text;
        serde_json::from_str(&text)
            .map_err(|why| SearchError::Recorded(format!("a kept reply is broken: {why}")))
    }
}

impl SearchEngine for EngineJournal {
    fn search<'a>(&'a self, query: &'a Query) -> Boxed<'a, Result<Vec<Document>, SearchError>> {
        Box::pin(self.find(query))
    }

    fn name(&self) -> &str {
        self.engine.name()
    }

    fn identity(&self) -> String {
        self.engine.identity()
    }

    fn writes_to_order(&self) -> bool {
        self.engine.writes_to_order()
    }

    fn makes_up(&self) -> bool {
        self.engine.makes_up()
    }
}

/// Equal for equal queries to the same engine only. A real engine knows nothing of labels, seeds and questions.
fn fingerprint(engine: &str, query: &Query) -> String {
    let mut hash = Sha256::new();
    for part in [engine.as_bytes(), query.text.as_bytes(), &(query.k as u64).to_le_bytes()] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::fakes::{Engine, document};

    #[tokio::test]
    async fn a_query_is_asked_once_in_a_step() {
        let folder = tempfile::tempdir().unwrap();
        let replies = Arc::new(Replies::in_folder(folder.path().join("replies")));
        let engine = Engine::new(|query| match query.text.as_str() {
            "fail" => Err(SearchError::Index("gone".into())),
            text => Ok(vec![document("title", text)]),
        });
        let journal = EngineJournal::new(engine.clone(), Arc::clone(&replies));
        let query = |text: &str| Query { text: text.into(), k: 2, labels: None, seed: 0, context: None };
        replies.begin(1).unwrap();
        let first = journal.search(&query("a")).await.unwrap();
        let other_seed = Query { seed: 9, ..query("a") };
        assert_eq!(journal.search(&other_seed).await.unwrap(), first);
        assert_eq!(engine.queries.lock().unwrap().len(), 1);
        // After a crash in the step the file tells it.
        replies.begin(1).unwrap();
        assert_eq!(journal.search(&query("a")).await.unwrap(), first);
        assert_eq!(engine.queries.lock().unwrap().len(), 1);
        let failed = journal.search(&query("fail")).await.unwrap_err().to_string();
        assert_eq!(failed, "the index cannot be read: gone");
        replies.settle().unwrap();
        assert_eq!(journal.search(&query("fail")).await.unwrap_err().to_string(), failed);
        assert_eq!(engine.queries.lock().unwrap().len(), 2);
    }
}
