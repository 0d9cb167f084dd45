//! The engine itself: a query goes to a provider, at most so many cleaned documents come back.

use std::time::Duration;

use serde_json::json;

use super::Provider;
use super::service::{Asked, Found, Wording};
use crate::http::{Caller, Credential, Key, Patience, Request, addresses, names};
use crate::{Boxed, Document, Provenance, Query, SearchEngine, SearchError, clean};

/// What has to be known to search the web.
#[derive(Clone, Debug)]
pub struct WebSettings {
    /// Who is asked.
    pub provider: Provider,
    /// Another address than the provider's own, such as that of a proxy, or of an instance of one's own. Without a path
    /// the provider's usual one is meant. Empty: the provider's.
    pub url: String,
    /// What the provider knows its customer by. Without it nothing is asked of one that wants a key.
    pub key: Option<Key>,
    /// The `cx` of a Programmable Search Engine; empty for all other providers.
    pub cse_id: String,
    /// How long one try may take, from connecting to the last byte.
    pub timeout: Duration,
    /// How many tries may be in flight at once.
    pub concurrency: usize,
    /// How often a query is tried in all.
    pub tries: u32,
    /// The pause before the second try; it doubles with every further one.
    pub pause: Duration,
    /// No pause is longer, whatever the provider's `Retry-After` asks for.
    pub longest_pause: Duration,
}

impl WebSettings {
    /// Settings for `provider` at its own address, without a key: 20 s a try, 8 in flight, 5 tries.
    pub fn new(provider: Provider) -> Self {
        Self {
            provider,
            url: String::new(),
            key: None,
            cse_id: String::new(),
            timeout: Duration::from_secs(20),
            concurrency: 8,
            tries: 5,
            pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(60),
        }
    }
}

/// A search engine on the web.
///
/// Titles and snippets are kept apart, and the address of a page is the id of its document. A try that times out,
/// breaks, is refused with 408, 425, 429 or 5xx, or brings something that is no reply is made again after a pause that
/// doubles each time, or that the provider asks for. Any other refusal is final. An empty result is a result; results
/// without a word are left out. Labels, seed and question stay here, and the key goes to the provider only: what it
/// sends back is searched for it.
#[derive(Debug)]
pub struct WebEngine {
    provider: Provider,
    caller: Caller,
    key: Option<Key>,
    cse_id: String,
    identity: String,
}

/// The longest query that is sent, in characters and in words: what the strictest provider takes.
const MOST_QUERY_CHARS: usize = 400;
const MOST_QUERY_WORDS: usize = 50;
/// The longest reply, in bytes.
const REPLY_LIMIT: usize = 16 << 20;
const ENGINE: &str = "web";

impl WebEngine {
    /// An engine with `settings`, all of them checked. Nothing is sent yet; see [`WebEngine::check`].
    pub fn new(settings: WebSettings) -> Result<Self, SearchError> {
        let WebSettings { provider, url, key, cse_id, .. } = settings;
        let service = provider.service();
        let url = if url.is_empty() { service.host.to_owned() } else { url };
        let urls = addresses("web.url", &[url], service.path)?;
        let server = names(&urls);
        let identity =
            json!({ "engine": ENGINE, "provider": service.name, "server": server, "cse_id": cse_id })
                .to_string();
        let patience = Patience {
            timeout: settings.timeout,
            concurrency: settings.concurrency,
            tries: settings.tries,
            pause: settings.pause,
            longest_pause: settings.longest_pause,
            reply_limit: REPLY_LIMIT,
        };
        let credential = key.clone().map(|key| Credential { key, place: service.key_place });
        Ok(Self { provider, caller: Caller::new(urls, &[], patience, credential)?, key, cse_id, identity })
    }

    /// Asks for one document: finds a wrong key before anything depends on it. It costs what a search costs.
    pub async fn check(&self) -> Result<(), SearchError> {
        self.ask("capital of France", 1, 0).await.map(drop)
    }

    async fn answer(&self, query: &Query) -> Result<Vec<Document>, SearchError> {
        query.check(self.provider.most_documents())?;
        let text = shortened(&clean(&query.text));
        if text.is_empty() {
            return Err(SearchError::BadQuery("it has no visible characters".into()));
        }
        let found = self.ask(&text, query.k, query.seed).await?;
        let documents = found.into_iter().map(|found| self.document(found));
        let has_words = |document: &Document| !(document.title.is_empty() && document.text.is_empty());
        Ok(documents.filter(has_words).take(query.k).collect())
    }

    async fn ask(&self, text: &str, k: usize, seed: u64) -> Result<Vec<Found>, SearchError> {
        let service = self.provider.service();
        if self.key.is_none() && !service.key_variables.is_empty() {
            let why = format!(
                "{} wants one; it is usually in {}",
                service.name,
                service.key_variables.join(" or ")
            );
            return Err(SearchError::setting("web.key_env", why));
        }
        let replied = match (service.ask)(&Asked { text, k, cse_id: &self.cse_id }) {
            Wording::Body(body) => {
                self.caller.ask(Request::Post { path: "", body: &body }, seed, service.read).await
            }
            Wording::Parameters(parameters) => {
                self.caller.ask(Request::Get { parameters: &parameters }, seed, service.read).await
            }
        };
        Ok(replied.map_err(|error| advised(error, service.forbidden))?.reply)
    }

    fn document(&self, found: Found) -> Document {
        let harmless = |text: &str| match &self.key {
            Some(key) => clean(&key.hide_in(text)),
            None => clean(text),
        };
        let link = harmless(&found.link);
        let provenance = Provenance {
            engine: ENGINE.into(),
            score: found.score,
            id: (!link.is_empty()).then_some(link),
            ..Provenance::default()
        };
        Document { title: harmless(&found.title), text: harmless(&found.text), provenance }
    }
}

/// The front of a query that every provider takes.
fn shortened(text: &str) -> String {
    let words = text.split_whitespace().take(MOST_QUERY_WORDS).collect::<Vec<_>>().join(" ");
    let front: String = words.chars().take(MOST_QUERY_CHARS).collect();
    front.trim_end().to_owned()
}

/// A refusal with what to look at first.
fn advised(error: SearchError, forbidden: &str) -> SearchError {
    match error {
        SearchError::Refused { url, status: 403, body } if !forbidden.is_empty() => {
            SearchError::Refused { url, status: 403, body: format!("{body}; {forbidden}") }
        }
        other => other,
    }
}

impl SearchEngine for WebEngine {
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
