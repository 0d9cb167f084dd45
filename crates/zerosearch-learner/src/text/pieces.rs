//! The bytes that each vocabulary entry stands for.
//!
//! Byte-level BPE spells every byte as one printable character (the table of GPT-2's `encoder.py`); tokenizers in the
//! manner of SentencePiece write a space as `▁` and a lone byte as `<0xE2>`. Added tokens are spelled as they are.

use std::collections::HashMap;

use serde_json::Value;
use tokenizers::Tokenizer;

use crate::TokenId;

/// 2^24: larger than any vocabulary.
const LARGEST_ID: TokenId = 1 << 24;

/// The bytes of all tokens, end to end in one allocation.
#[derive(Debug)]
pub(super) struct Pieces {
    bytes: Vec<u8>,
    /// Entry `i` is where token `i` starts; one more entry than there are tokens.
    starts: Vec<usize>,
}

impl Pieces {
    /// Spells out the whole vocabulary of `tokenizer`, or says which part of it is unknown or would lose text.
    pub(super) fn of(tokenizer: &Tokenizer) -> Result<Self, String> {
        let spelling = Spelling::of(tokenizer)?;
        let added = tokenizer.get_added_tokens_decoder();
        let vocabulary = tokenizer.get_vocab(true);
        spelling.refuse_gaps(&vocabulary)?;
        refuse_far_ids(&vocabulary)?;
        let length = vocabulary.values().max().map_or(0, |&last| last as usize + 1);
        let mut spelled: Vec<Option<&str>> = vec![None; length];
        for (token, &id) in &vocabulary {
            spelled[id as usize] = Some(token);
        }
        let mut pieces = Self { bytes: Vec::new(), starts: vec![0] };
        for (id, token) in spelled.into_iter().enumerate() {
            match added.get(&(id as TokenId)) {
                Some(token) => pieces.bytes.extend_from_slice(token.content.as_bytes()),
                None => spelling.append_bytes(token.unwrap_or_default(), &mut pieces.bytes),
            }
            pieces.starts.push(pieces.bytes.len());
        }
        Ok(pieces)
    }

    /// How many tokens there are, counting unused ids below the last one.
    pub(super) fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// The bytes of `token`; none for an id that nothing has.
    pub(super) fn get(&self, token: TokenId) -> &[u8] {
        let token = token as usize;
        match self.starts.get(token..token.saturating_add(2)) {
            Some(span) => &self.bytes[span[0]..span[1]],
            None => &[],
        }
    }
}

/// Room is made for every id up to the largest, so one that no real vocabulary reaches is refused first.
fn refuse_far_ids(vocabulary: &HashMap<String, TokenId>) -> Result<(), String> {
    match vocabulary.values().max() {
        Some(&last) if last > LARGEST_ID => Err(format!(
            "it has an entry with the id {last}; ids go up to {LARGEST_ID}, and no real vocabulary comes near"
        )),
        _ => Ok(()),
    }
}

/// How a vocabulary writes bytes as text.
enum Spelling {
    ByteLevel { byte_of: HashMap<char, u8> },
    SentencePiece,
}

impl Spelling {
    fn of(tokenizer: &Tokenizer) -> Result<Self, String> {
        let mut kinds = Vec::new();
        collect_kinds(&serde_json::to_value(tokenizer.get_decoder()).unwrap_or_default(), &mut kinds);
        collect_kinds(&serde_json::to_value(tokenizer.get_pre_tokenizer()).unwrap_or_default(), &mut kinds);
        let has = |name: &str| kinds.iter().any(|kind| kind == name);
        if has("ByteLevel") {
            let byte_of = (0..=u8::MAX).map(|byte| (byte_character(byte), byte)).collect();
            Ok(Self::ByteLevel { byte_of })
        } else if has("Metaspace") || has("ByteFallback") {
            Ok(Self::SentencePiece)
        } else {
            Err(format!(
                "its pre-tokenizer and decoder ({}) do not say how tokens spell bytes; known are ByteLevel, and \
                 Metaspace or ByteFallback",
                if kinds.is_empty() { "none".into() } else { kinds.join(", ") }
            ))
        }
    }

    /// Byte-level BPE drops a byte that it has no symbol for without a word; a tokenizer that would do so to ordinary
    /// text is refused.
    fn refuse_gaps(&self, vocabulary: &HashMap<String, TokenId>) -> Result<(), String> {
        let Self::ByteLevel { .. } = self else { return Ok(()) };
        let absent =
            |byte: &u8| !vocabulary.contains_key(byte_character(*byte).encode_utf8(&mut [0; 4]) as &str);
        let missing: Vec<String> = (0..=u8::MAX)
            .filter(|&byte| occurs_in_text(byte))
            .filter(absent)
            .map(|byte| format!("0x{byte:02X}"))
            .collect();
        match missing.as_slice() {
            [] => Ok(()),
            [first, ..] => Err(format!(
                "it has no entry for {} of the bytes that text is made of (the first is {first}), so text would be \
                 lost; train it with the byte-level alphabet as `initial_alphabet`",
                missing.len()
            )),
        }
    }

    fn append_bytes(&self, token: &str, bytes: &mut Vec<u8>) {
        match self {
            Self::ByteLevel { byte_of } => {
                for character in token.chars() {
                    match byte_of.get(&character) {
                        Some(&byte) => bytes.push(byte),
                        None => bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
                    }
                }
            }
            Self::SentencePiece => match fallback_byte(token) {
                Some(byte) => bytes.push(byte),
                None => bytes.extend_from_slice(token.replace('▁', " ").as_bytes()),
            },
        }
    }
}

/// Gathers the `type` of a tokenizer part and of the parts inside it.
fn collect_kinds(part: &Value, kinds: &mut Vec<String>) {
    match part {
        Value::Object(fields) => {
            if let Some(kind) = fields.get("type").and_then(Value::as_str) {
                kinds.push(kind.to_owned());
            }
            fields.values().for_each(|field| collect_kinds(field, kinds));
        }
        Value::Array(items) => items.iter().for_each(|item| collect_kinds(item, kinds)),
        _ => {}
    }
}

/// The character that stands for `byte` in byte-level BPE: itself if it is printable Latin-1, else the next free
/// character from U+0100 on.
pub(super) fn byte_character(byte: u8) -> char {
    let printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    if printable(byte) {
        return char::from(byte);
    }
    let before = (0..byte).filter(|&byte| !printable(byte)).count() as u32;
    char::from_u32(0x100 + before).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// Whether ordinary text uses this byte. UTF-8 never uses 0xC0, 0xC1 and 0xF5 to 0xFF; control characters and 0xF1 to
/// 0xF4 (planes 4 to 16, which hold no letters) are missing from vocabularies in wide use, SmolLM2's for one.
fn occurs_in_text(byte: u8) -> bool {
    matches!(byte, b'\n' | b' '..=b'~' | 0x80..=0xBF | 0xC2..=0xF0)
}

/// The byte that SentencePiece writes as `<0xE2>`.
fn fallback_byte(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    let is_hex = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_hex.then(|| u8::from_str_radix(digits, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From GPT-2's table: a space is Ġ, a line feed Ċ, a tab ĉ, 0xAD is ł's neighbour Ń; letters are themselves.
    #[test]
    fn bytes_have_the_characters_of_gpt2() {
        let spelled: String = [b' ', b'\n', b'\t', 0xAD, b'a', 0xE9].map(byte_character).iter().collect();
        assert_eq!(spelled, "ĠĊĉŃaé");
        let all: std::collections::HashSet<char> = (0..=u8::MAX).map(byte_character).collect();
        assert_eq!(all.len(), 256);
    }

    #[test]
    fn ids_beyond_any_vocabulary_are_refused() {
        let vocabulary = |id| HashMap::from([("a".to_owned(), 0), ("b".to_owned(), id)]);
        assert_eq!(refuse_far_ids(&vocabulary(LARGEST_ID)), Ok(()));
        assert!(refuse_far_ids(&vocabulary(4_000_000_000)).unwrap_err().contains("the id 4000000000"));
    }

    #[test]
    fn only_two_hex_digits_are_a_byte() {
        assert_eq!(fallback_byte("<0xE2>"), Some(0xE2));
        assert_eq!(fallback_byte("<0xE>"), None);
        assert_eq!(fallback_byte("<0xE2"), None);
        assert_eq!(fallback_byte("<0x+1>"), None);
    }
}
