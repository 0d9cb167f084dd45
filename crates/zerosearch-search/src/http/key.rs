//! A key: a secret that shows itself to the server and to nobody else.

use std::fmt;

use crate::SearchError;

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
    fn a_key_never_shows() {
        let key = Key::new(" hush-1 \n").unwrap();
        assert_eq!(
            (format!("{key:?}"), key.hide_in("bad key hush-1!")),
            ("[key]".into(), "bad key [key]!".into())
        );
        assert!(Key::new(" ").is_err() && Key::new("a\nb").is_err());
    }
}
