//! The engine itself: a query goes out, at most so many cleaned documents come back.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::Dialect;
use super::dialect::{Raw, read};
use crate::http::{Caller, Patience, Request, Signs, addresses, names};
use crate::{Boxed, Document, Provenance, Query, SearchEngine, SearchError, Servers, clean};

/// What has to be known to ask `/retrieve` servers.
#[derive(Clone, Debug)]
pub struct RetrieveSettings {
    /// Servers with the same index, such as `http://localhost:8000`; without a path `/retrieve` is meant. Calls go to the
    /// one with the fewest in flight for its weight: `http://localhost:8001=2` takes twice as many as another.
    pub urls: Vec<String>,
    /// How they are spoken to.
    pub dialect: Dialect,
    /// How long one try may take, from connecting to the last byte.
    pub timeout: Duration,
    /// How many tries may be in flight at once, over all servers.
    pub concurrency: usize,
    /// How often a query is tried in all.
    pub tries: u32,
    /// The pause before the second try on the same server; it doubles with every further one, up to 30 s.
    pub pause: Duration,
}

impl RetrieveSettings {
    /// Settings for `urls`: half a minute a try, 64 in flight, 5 tries.
    pub fn new(urls: Vec<String>, dialect: Dialect) -> Self {
        Self {
            urls,
            dialect,
            timeout: Duration::from_secs(30),
            concurrency: 64,
            tries: 5,
            pause: Duration::from_millis(500),
        }
    }
}

/// A search engine behind `/retrieve` servers.
///
/// A try that times out, breaks, is refused with 408, 425, 429 or 5xx, or brings something that is no reply is made
/// again: at once on another server that works, else after a pause that doubles each time. A server that fails is set
/// aside until it is well. 3xx, 401, 403, 404 and 405 concern the server that said so; any other refusal is final. A query
/// fails when it was tried `tries` times and each server was asked at least once. An empty result is a result; documents without a word are left out. Labels, seed and question stay here.
#[derive(Debug)]
pub struct RetrieveEngine {
    dialect: Dialect,
    caller: Caller,
    identity: String,
}

/// The most documents of one call.
const MOST_DOCUMENTS: usize = 100;
/// The longest query that is sent, in characters.
const MOST_QUERY_CHARS: usize = 2_000;
/// The longest reply, in bytes.
const REPLY_LIMIT: usize = 16 << 20;
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
const ENGINE: &str = "retrieve";
/// Where such servers say whether they are well; those that do not have it say at least that.
const SIGNS: Signs = &["health"];

impl RetrieveEngine {
    /// An engine with `settings`, all of them checked. Nothing is sent yet; see [`RetrieveEngine::check`].
    pub fn new(settings: RetrieveSettings) -> Result<Self, SearchError> {
        let urls = addresses("urls", &settings.urls, "/retrieve")?;
        let patience = Patience {
            timeout: settings.timeout,
            concurrency: settings.concurrency,
            tries: settings.tries,
            pause: settings.pause,
            longest_pause: LONGEST_PAUSE,
            reply_limit: REPLY_LIMIT,
        };
        let identity =
            json!({ "engine": ENGINE, "dialect": settings.dialect.name(), "servers": names(&urls) })
                .to_string();
        Ok(Self { dialect: settings.dialect, caller: Caller::new(urls, SIGNS, patience, None)?, identity })
    }

    /// Asks every server for one document; the first that does not reply as its dialect says is the error.
    pub async fn check(&self) -> Result<(), SearchError> {
        let body = self.dialect.body("capital of France", 1);
        self.caller.ask_each(Request::Post { path: "", body: &body }, read).await
    }

    /// The servers, to see how they fare.
    pub fn servers(&self) -> Arc<Servers> {
        self.caller.servers()
    }

    async fn answer(&self, query: &Query) -> Result<Vec<Document>, SearchError> {
        query.check(MOST_DOCUMENTS)?;
        let text: String = clean(&query.text).chars().take(MOST_QUERY_CHARS).collect();
        if text.is_empty() {
            return Err(SearchError::BadQuery("it has no visible characters".into()));
        }
        let body = self.dialect.body(&text, query.k);
        let replied = self.caller.ask(Request::Post { path: "", body: &body }, query.seed, read).await?;
        let documents = replied.reply.into_iter().map(document);
        Ok(documents.filter(|document| !document.text.is_empty()).take(query.k).collect())
    }
}

fn document(raw: Raw) -> Document {
    let provenance =
        Provenance { engine: ENGINE.into(), score: raw.score, id: raw.id, ..Provenance::default() };
    Document { title: clean(&raw.title), text: clean(&raw.text), provenance }
}

impl SearchEngine for RetrieveEngine {
    fn search<'a>(&'a self, query: &'a Query) -> Boxed<'a, Result<Vec<Document>, SearchError>> {
        Box::pin(self.answer(query))
    }

    fn name(&self) -> &str {
        ENGINE
    }

    fn identity(&self) -> String {
        self.identity.clone()
    }
}
