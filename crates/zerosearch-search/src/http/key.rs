//! A key: a secret that shows itself to the server and to nobody else.

use std::fmt;

use reqwest::Url;

use crate::SearchError;

/// A secret. It shows itself to the server and to nobody else.
#[derive(Clone)]
pub struct Key {
    secret: String,
    /// Other spellings in which a server may echo it: as part of an address, and inside JSON.
    spellings: Vec<String>,
    /// The environment variable that it came from, which messages may name.
    variable: Option<String>,
}

impl Key {
    /// The key `secret`, trimmed. Refused where it could not be sent: empty, or with anything but visible ASCII.
    pub fn new(secret: &str) -> Result<Self, SearchError> {
        let secret = secret.trim();
        if secret.is_empty() || !secret.chars().all(|c| c.is_ascii_graphic()) {
            return Err(SearchError::setting("key", "it is empty or holds characters that no key has"));
        }
        let spellings = [in_address(secret), in_json(secret)].into_iter().flatten();
        let spellings = spellings.filter(|spelling| spelling != secret).collect();
        Ok(Self { secret: secret.to_owned(), spellings, variable: None })
    }

    /// The key with the name of the environment variable that it came from: a server that refuses it is told of with
    /// that name.
    #[must_use]
    pub fn of_variable(self, name: &str) -> Self {
        Self { variable: Some(name.to_owned()), ..self }
    }

    pub(super) fn reveal(&self) -> &str {
        &self.secret
    }

    /// What a person is told about the key when a server refuses a request that carried it.
    pub(super) fn origin(&self) -> String {
        match &self.variable {
            Some(name) => format!(" (asked with the key in the environment variable {name})"),
            None => String::new(),
        }
    }

    /// `text` without the key, which a server may have echoed.
    pub(crate) fn hide_in(&self, text: &str) -> String {
        // The plain form last: it may be a part of the others.
        let spellings = self.spellings.iter().chain([&self.secret]);
        spellings.fold(text.to_owned(), |text, spelling| text.replace(spelling, "[key]"))
    }
}

/// As a parameter of an address has it.
fn in_address(secret: &str) -> Option<String> {
    let url = Url::parse_with_params("http://localhost", [("", secret)]).ok()?;
    url.query().map(|query| query.trim_start_matches('=').to_owned())
}

/// As a JSON text has it, without the quotes.
fn in_json(secret: &str) -> Option<String> {
    let text = serde_json::to_string(secret).ok()?;
    Some(text[1..text.len() - 1].to_owned())
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
    fn a_key_never_shows() {
        let key = Key::new(" hush-1 \n").unwrap();
        assert_eq!(
            (format!("{key:?}"), key.hide_in("bad key hush-1!")),
            ("[key]".into(), "bad key [key]!".into())
        );
        assert!(Key::new(" ").is_err() && Key::new("a\nb").is_err());
    }

    #[test]
    fn a_key_is_hidden_however_it_is_spelled() {
        let key = Key::new("a+b/\"c").unwrap().of_variable("NAME");
        for echo in ["a+b/\"c", "q=1&k=a%2Bb%2F%22c", r#"{"k":"a+b/\"c"}"#] {
            let hidden = key.hide_in(echo);
            assert!(
                hidden.contains("[key]") && !hidden.contains("a+b") && !hidden.contains("a%2B"),
                "{hidden}"
            );
        }
        assert!(key.origin().contains("NAME"));
    }
}
