//! A key: equal for searches that must find the same, and for no others.

use sha2::{Digest, Sha256};

use crate::corpus::hex;
use crate::{Query, SearchEngine};

/// Names one search of one engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key(pub(super) [u8; 32]);

impl Key {
    /// The key of `query` to the engine with `identity`. An engine that makes documents up has labels, seed, question
    /// and golden answers in it: what was written for one question is never given for another. A real engine knows
    /// nothing of them.
    pub(super) fn of(engine: &dyn SearchEngine, identity: &str, query: &Query) -> Self {
        let mut hash = Parts::default();
        hash.add(identity.as_bytes());
        hash.add(query.text.as_bytes());
        hash.add(&(query.k as u64).to_le_bytes());
        if engine.makes_up() {
            hash.add(&serde_json::to_vec(&query.labels).unwrap_or_default());
            hash.add(&query.seed.to_le_bytes());
            if let Some(context) = &query.context {
                hash.add(context.question.as_bytes());
                context.golden_answers.iter().for_each(|gold| hash.add(gold.as_bytes()));
            }
        }
        Self(hash.0.finalize().into())
    }

    /// The key that a file has as hexadecimal digits.
    pub(super) fn from_hex(digits: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if digits.len() != 2 * bytes.len() || !digits.is_ascii() {
            return None;
        }
        for (byte, place) in bytes.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(&digits[place..place + 2], 16).ok()?;
        }
        Some(Self(bytes))
    }

    pub(super) fn to_hex(self) -> String {
        hex(&self.0)
    }
}

/// The first 16 hexadecimal digits of a text's SHA-256.
pub(super) fn short_hash(text: &[u8]) -> String {
    hex(&Sha256::digest(text)[..8])
}

/// A hash over parts, each with its length, so that no two lists of parts look alike.
#[derive(Default)]
struct Parts(Sha256);

impl Parts {
    fn add(&mut self, part: &[u8]) {
        self.0.update((part.len() as u64).to_le_bytes());
        self.0.update(part);
    }
}
