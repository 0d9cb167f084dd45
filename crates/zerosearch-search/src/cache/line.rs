//! A line of the cache's file: one result in JSON, which begins with the checksum of the rest.

use serde::{Deserialize, Serialize};

use super::key::short_hash;
use crate::Document;

/// One result as it is kept.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Line {
    /// The key, in hexadecimal digits.
    pub(super) key: String,
    /// The first 16 hexadecimal digits of the SHA-256 of the engine's identity.
    pub(super) engine: String,
    /// The words that were searched for.
    pub(super) query: String,
    /// How many documents were wanted.
    pub(super) k: usize,
    pub(super) documents: Vec<Document>,
}

/// What an index needs of a line.
#[derive(Deserialize)]
pub(super) struct Head {
    pub(super) key: String,
    pub(super) engine: String,
}

/// Before the checksum and behind it.
const FRONT: &str = "{\"sum\":\"";
const BEHIND: &str = "\",";
const SUM: usize = 16;

impl Line {
    /// The bytes of the line, line end included.
    pub(super) fn to_bytes(&self) -> serde_json::Result<Vec<u8>> {
        let json = serde_json::to_vec(self)?;
        let rest = &json[1..];
        Ok([FRONT.as_bytes(), short_hash(rest).as_bytes(), BEHIND.as_bytes(), rest, b"\n"].concat())
    }

    /// The line in `bytes`, which [`is_whole`].
    pub(super) fn from_bytes(bytes: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(bytes)
    }
}

/// Whether `bytes`, without a line end, are what was written.
pub(super) fn is_whole(bytes: &[u8]) -> bool {
    let rest = bytes
        .strip_prefix(FRONT.as_bytes())
        .and_then(|bytes| bytes.split_at_checked(SUM))
        .and_then(|(sum, rest)| Some((sum, rest.strip_prefix(BEHIND.as_bytes())?)));
    rest.is_some_and(|(sum, rest)| short_hash(rest).as_bytes() == sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_any_byte_changed_or_missing_is_not_whole() {
        let line =
            Line { key: "k".into(), engine: "e".into(), query: "a\nb".into(), k: 2, documents: vec![] };
        let bytes = line.to_bytes().unwrap();
        let (end, body) = bytes.split_last().unwrap();
        assert!(*end == b'\n' && is_whole(body) && !body.contains(&b'\n'));
        assert_eq!(Line::from_bytes(body).unwrap(), line);
        for at in 0..body.len() {
            let mut other = body.to_vec();
            other[at] ^= 1;
            assert!(!is_whole(&other) && !is_whole(&body[..at]), "{at}");
        }
    }
}
