//! Settings of OpenAI-compatible servers: where they are, what to ask for, how patient to be.

use std::fmt;
use std::time::Duration;

use reqwest::Url;

use crate::SearchError;

/// What has to be known to write with OpenAI-compatible servers.
#[derive(Clone, Debug)]
pub struct OpenAiSettings {
    /// Servers with the same model, such as `http://localhost:6001`. Without a path `/v1` is meant. Calls go to the
    /// one with the fewest in flight.
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
            Self::Chat => "chat/completions",
            Self::Completions => "completions",
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

    /// The servers' addresses, each ending in `/`, after all settings were found usable.
    pub(super) fn checked_urls(&self) -> Result<Vec<Url>, SearchError> {
        let refuse = |what: &str, why: &str| Err(SearchError::setting(what, why));
        if self.base_urls.is_empty() {
            return refuse(
                "base_urls",
                "it is empty; name at least one server, such as http://localhost:6001",
            );
        }
        if self.model.trim().is_empty() {
            return refuse("model", "it is empty; give the name that the server lists under /v1/models");
        }
        if self.concurrency == 0 || self.concurrency > MOST_IN_FLIGHT {
            return refuse(
                "concurrency",
                &format!("it is {}; choose 1 to {MOST_IN_FLIGHT}", self.concurrency),
            );
        }
        if self.tries == 0 || self.tries > MOST_TRIES {
            return refuse("tries", &format!("it is {}; choose 1 to {MOST_TRIES}", self.tries));
        }
        if self.timeout.is_zero() {
            return refuse("timeout", "it is 0 s; give a server at least the time to write a few documents");
        }
        if self.reply_limit == 0 {
            return refuse("reply_limit", "it is 0 bytes; the usual limit is 4 MiB");
        }
        self.base_urls.iter().map(|text| base_url(text)).collect()
    }
}

const MOST_IN_FLIGHT: usize = 65_536;
const MOST_TRIES: u32 = 100;

fn base_url(text: &str) -> Result<Url, SearchError> {
    // The text itself is not shown before it is known to hold no password.
    let refuse = |why: String| SearchError::setting("base_urls", why);
    let mut url = Url::parse(text.trim())
        .map_err(|why| refuse(format!("an address in it does not read as one: {why}")))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse("an address in it carries a password; give the key on its own".into()));
    }
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(refuse(format!("{url} is not an http or https address; write http://HOST:PORT")));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refuse("an address in it has a ? or # part; leave it out".into()));
    }
    let path = match url.path().trim_end_matches('/') {
        "" => "/v1/".to_owned(),
        path => format!("{path}/"),
    };
    url.set_path(&path);
    Ok(url)
}

/// A secret. It shows itself to the server and to nobody else.
#[derive(Clone)]
pub struct Key(String);

impl Key {
    /// The key `secret`, trimmed. Refused where it could not be sent: empty, or with anything but visible ASCII.
    pub fn new(secret: &str) -> Result<Self, SearchError> {
        let secret = secret.trim();
        if secret.is_empty() || !secret.chars().all(|c| c.is_ascii_graphic()) {
            return Err(SearchError::setting("key", "it is empty or holds characters that no key has"));
        }
        Ok(Self(secret.to_owned()))
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }

    /// `text` without the key, which a server may have echoed.
    pub(super) fn hide_in(&self, text: &str) -> String {
        text.replace(&self.0, "[key]")
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[key]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_without_a_path_mean_v1() {
        let given = ["http://h:6001", "http://h:6001/", "https://h/v1", "https://h/openai/v1/"];
        let meant = ["http://h:6001/v1/", "http://h:6001/v1/", "https://h/v1/", "https://h/openai/v1/"];
        for (given, meant) in given.iter().zip(meant) {
            assert_eq!(base_url(given).unwrap().as_str(), meant);
        }
    }

    #[test]
    fn addresses_that_cannot_work_are_refused_without_showing_passwords() {
        for bad in ["h:6001", "ftp://h", "http://", "", "http://me:hush@h", "http://h?key=hush"] {
            let why = base_url(bad).unwrap_err().to_string();
            assert!(why.starts_with("base_urls cannot be used: ") && !why.contains("hush"), "{why}");
        }
    }

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
            let why = settings.checked_urls().unwrap_err().to_string();
            assert!(why.starts_with(name), "{why}");
        }
        assert!(good().checked_urls().is_ok());
    }

    #[test]
    fn a_key_never_shows() {
        let key = Key::new(" hush-1 \n").unwrap();
        assert_eq!(
            (format!("{key:?}"), key.hide_in("bad key hush-1!")),
            ("[key]".into(), "bad key [key]!".into())
        );
        assert!(Key::new(" ").is_err() && Key::new("a\nb").is_err());
    }
}
