//! The engine with a memory: what it found before comes from the cache, anything else from the engine itself.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::key::Key;
use super::{Cache, CacheError};
use crate::{Boxed, Document, Query, SearchEngine, SearchError};

/// An engine whose results are kept on disk and come from there when they are known.
///
/// Equal searches at the same time ask the engine once. An empty result is kept, a failure is not. Offline the engine
/// is never asked, and what is not known is an error.
pub struct CachedEngine {
    engine: Arc<dyn SearchEngine>,
    identity: String,
    cache: Arc<Cache>,
    hits: AtomicU64,
    misses: AtomicU64,
    /// Searches under way. Whoever holds one's lock asks the engine for all.
    under_way: Mutex<HashMap<Key, Arc<tokio::sync::Mutex<()>>>>,
}

/// What came from the cache and what did not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheCounts {
    /// Searches that the cache answered.
    pub hits: u64,
    /// Searches that it could not answer.
    pub misses: u64,
}

impl CachedEngine {
    /// `engine`, remembered in `cache`.
    pub fn new(engine: Arc<dyn SearchEngine>, cache: Arc<Cache>) -> Self {
        Self {
            identity: engine.identity(),
            engine,
            cache,
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            under_way: Mutex::default(),
        }
    }

    /// Where its results are kept.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// The searches since the last time.
    pub fn drain(&self) -> CacheCounts {
        let [hits, misses] = [&self.hits, &self.misses].map(|count| count.swap(0, Ordering::Relaxed));
        CacheCounts { hits, misses }
    }

    async fn answer(&self, query: &Query) -> Result<Vec<Document>, SearchError> {
        query.check(usize::MAX)?;
        let key = Key::of(&*self.engine, &self.identity, query);
        if let Some(known) = self.known(key)? {
            return Ok(known);
        }
        let turn = Arc::clone(self.under_way().entry(key).or_default());
        let found = {
            let _turn = turn.lock().await;
            self.find(key, query).await
        };
        self.under_way().remove(&key);
        found
    }

    /// Asks the engine, unless somebody did since.
    async fn find(&self, key: Key, query: &Query) -> Result<Vec<Document>, SearchError> {
        if let Some(known) = self.known(key)? {
            return Ok(known);
        }
        self.misses.fetch_add(1, Ordering::Relaxed);
        if self.cache.is_offline() {
            let (results, own) = (self.cache.size().results, self.cache.results_of(&self.identity));
            let folder = self.cache.folder().to_owned();
            return Err(SearchError::NotCached {
                query: query.text.clone(),
                folder,
                own,
                others: results - own,
            });
        }
        let found = self.engine.search(query).await?;
        self.cache.keep(key, &self.identity, (&query.text, query.k), &found).map_err(failed)?;
        Ok(found)
    }

    fn known(&self, key: Key) -> Result<Option<Vec<Document>>, SearchError> {
        let known = self.cache.find(key).map_err(failed)?;
        self.hits.fetch_add(u64::from(known.is_some()), Ordering::Relaxed);
        Ok(known)
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<Key, Arc<tokio::sync::Mutex<()>>>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn failed(error: CacheError) -> SearchError {
    SearchError::Cache(error.to_string())
}

impl SearchEngine for CachedEngine {
    fn search<'a>(&'a self, query: &'a Query) -> Boxed<'a, Result<Vec<Document>, SearchError>> {
        Box::pin(self.answer(query))
    }

    fn name(&self) -> &str {
        self.engine.name()
    }

    fn identity(&self) -> String {
        self.identity.clone()
    }

    fn writes_to_order(&self) -> bool {
        self.engine.writes_to_order()
    }

    fn makes_up(&self) -> bool {
        self.engine.makes_up()
    }
}
