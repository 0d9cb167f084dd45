//! Settings of OpenAI-compatible servers: where they are, what to ask for, how patient to be.

use std::time::Duration;

use serde_json::json;

use crate::SearchError;
use crate::http::{Caller, Credential, Key, KeyPlace, Patience, Share, Signs, addresses, names};

/// What has to be known to write with OpenAI-compatible servers.
#[derive(Clone, Debug)]
pub struct OpenAiSettings {
    /// Servers with the same model, such as `http://localhost:6001`; without a path `/v1` is meant. Calls go to the one
    /// with the fewest in flight for its weight: `http://localhost:6002=2` takes twice as many as another.
    pub base_urls: Vec<String>,
    /// The model's name as the servers know it.
    pub model: String,
    /// Sent as a bearer token.
    pub key: Option<Key>,
    /// Which address of the protocol is used.
    pub route: Route,
    /// How long one try may take, from connecting to the last byte.
    pub timeout: Duration,
    /// How many tries may be in flight at once, over all servers.
    pub concurrency: usize,
    /// How often a request is tried in all.
    pub tries: u32,
    /// The pause before the second try on the same server; it doubles with every further one.
    pub pause: Duration,
    /// No pause is longer, whatever a server's `Retry-After` asks for.
    pub longest_pause: Duration,
    /// A reply with more bytes is refused before it is read to its end.
    pub reply_limit: usize,
}

/// Where such servers say whether they are well: vLLM, SGLang, llama.cpp and ours beside `/v1`, all others by their models.
const SIGNS: Signs = &["health", "v1/models"];

/// Which address of the protocol is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// `/v1/chat/completions`: the server applies the chat template. A reply cannot be begun for the model.
    Chat,
    /// `/v1/completions`: the prompt goes to the model as it is, and a reply can be begun for it. A system message
    /// that is not empty stands before the prompt, with a blank line between.
    Completions,
}

impl Route {
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Chat => "/chat/completions",
            Self::Completions => "/completions",
        }
    }
}

impl OpenAiSettings {
    /// Settings for `model` on `base_urls`: chat, one minute a try, 64 in flight, 5 tries, replies up to 4 MiB.
    pub fn new(base_urls: Vec<String>, model: impl Into<String>) -> Self {
        Self {
            base_urls,
            model: model.into(),
            key: None,
            route: Route::Chat,
            timeout: Duration::from_secs(60),
            concurrency: 64,
            tries: 5,
            pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(30),
            reply_limit: 4 << 20,
        }
    }

    pub(super) fn identity(&self) -> Result<String, SearchError> {
        let servers = names(&self.addresses()?);
        Ok(json!({ "model": self.model, "route": self.route.path(), "servers": servers }).to_string())
    }

    fn addresses(&self) -> Result<Vec<Share>, SearchError> {
        addresses("base_urls", &self.base_urls, "/v1")
    }

    /// Who asks the servers, after all settings were found usable.
    pub(super) fn caller(&self) -> Result<Caller, SearchError> {
        let servers = self.addresses()?;
        if self.model.trim().is_empty() {
            let why = "it is empty; give the name that the server lists under /v1/models";
            return Err(SearchError::setting("model", why));
        }
        let patience = Patience {
            timeout: self.timeout,
            concurrency: self.concurrency,
            tries: self.tries,
            pause: self.pause,
            longest_pause: self.longest_pause,
            reply_limit: self.reply_limit,
        };
        let credential = |key| Credential { key, place: KeyPlace::Bearer };
        Caller::new(servers, SIGNS, patience, self.key.clone().map(credential))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_settings_are_refused_by_name() {
        let good = || OpenAiSettings::new(vec!["http://h:1".into()], "m");
        let cases = [
            ("base_urls", OpenAiSettings { base_urls: vec![], ..good() }),
            ("model", OpenAiSettings { model: " ".into(), ..good() }),
            ("concurrency", OpenAiSettings { concurrency: 0, ..good() }),
            ("tries", OpenAiSettings { tries: 0, ..good() }),
            ("timeout", OpenAiSettings { timeout: Duration::ZERO, ..good() }),
            ("reply_limit", OpenAiSettings { reply_limit: 0, ..good() }),
        ];
        for (name, settings) in cases {
            let why = settings.caller().unwrap_err().to_string();
            assert!(why.starts_with(name), "{why}");
        }
        assert!(good().caller().is_ok());
    }
}
