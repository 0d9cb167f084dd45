//! The built-in tokenizers: 256 bytes, the tags of the search protocol, and either the marks of a minimal chat or words.
//!
//! Random models small enough for a laptop's minute use them; they need no file and read any text.

use serde_json::{Map, Value, json};

use super::pieces::byte_character;
use super::{Text, TextParts};
use crate::{LearnerError, Result};

/// Marks of the chat; special, so that no document can spell them. The first ends a turn.
const MARKS: [&str; 4] = ["<|end|>", "<|system|>", "<|user|>", "<|assistant|>"];

/// The tags of the search protocol; each is one token of [`tiny_text`].
pub const PROTOCOL_TAGS: [&str; 8] = [
    "<think>",
    "</think>",
    "<search>",
    "</search>",
    "<information>",
    "</information>",
    "<answer>",
    "</answer>",
];

const TEMPLATE: &str = "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}\
                        {% if add_generation_prompt %}<|assistant|>{% endif %}";

/// The text of tiny models. Byte `b` is token `b`; the chat's marks and the protocol's tags follow from 256 on.
pub fn tiny_text() -> Text {
    let added = MARKS.map(|mark| (mark.to_owned(), true)).into_iter().chain(protocol_tags()).collect();
    let parts = parts(&[], added, Some(TEMPLATE));
    Text::new(parts).expect("the built-in tokenizer knows every byte")
}

/// The text of tiny models with words of their own. Byte `b` is token `b`; then come `words`, each a token where it stands
/// whole (with the space before it, if it is given with one), the end of a text, the protocol's tags, and `tags`, which
/// are tokens wherever they stand. There is no chat.
///
/// # Errors
/// A tag that is empty.
pub fn word_text(words: &[String], tags: &[String]) -> Result<Text> {
    if tags.iter().any(String::is_empty) {
        return Err(LearnerError::BadRequest("a tokenizer's tag is empty".into()));
    }
    let own = tags.iter().map(|tag| (tag.clone(), false));
    let added = [(MARKS[0].to_owned(), true)].into_iter().chain(protocol_tags()).chain(own).collect();
    Text::new(parts(words, added, None))
}

fn protocol_tags() -> impl Iterator<Item = (String, bool)> {
    PROTOCOL_TAGS.iter().map(|tag| ((*tag).to_owned(), false))
}

fn parts(words: &[String], added: Vec<(String, bool)>, chat_template: Option<&str>) -> TextParts {
    let tokenizer = serde_json::from_value(tokenizer_json(words, added));
    TextParts {
        origin: "the built-in tokenizer".into(),
        tokenizer: tokenizer.expect("the built-in tokenizer is valid JSON of a tokenizer"),
        chat_template: chat_template.map(Into::into),
        named_tokens: vec![("eos_token".into(), MARKS[0].into())],
        stop_tokens: Vec::new(),
        files: Vec::new(),
    }
}

/// `added` are tokens beside the vocabulary, and whether each is special. A word of the vocabulary is one token because
/// merges are ignored for what stands in it whole; there are none, so that anything else is spelled byte by byte.
fn tokenizer_json(words: &[String], added: Vec<(String, bool)>) -> Value {
    let mut vocabulary: Map<String, Value> =
        (0..=u8::MAX).map(|byte| (byte_character(byte).to_string(), byte.into())).collect();
    for word in words {
        let (id, spelled) = (vocabulary.len(), word.bytes().map(byte_character).collect::<String>());
        vocabulary.entry(spelled).or_insert_with(|| id.into());
    }
    let mut beside = Vec::new();
    for (content, special) in added {
        let id = vocabulary.len();
        vocabulary.insert(content.clone(), id.into());
        beside.push(json!({
            "id": id, "content": content, "special": special, "normalized": false,
            "single_word": false, "lstrip": false, "rstrip": false,
        }));
    }
    let level = json!({
        "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": !words.is_empty(),
    });
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": beside,
        "normalizer": null,
        "pre_tokenizer": level,
        "post_processor": null,
        "decoder": level,
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": !words.is_empty(),
            "vocab": vocabulary, "merges": [],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Message;

    #[test]
    fn bytes_are_their_own_tokens_and_tags_are_one() {
        let text = tiny_text();
        assert_eq!(text.vocabulary_size(), 268);
        assert_eq!(text.encode("a é<search>"), [97, 32, 0xC3, 0xA9, 262]);
        assert_eq!(text.decode(&[97, 32, 0xC3, 0xA9, 262, 256]), "a é<search><|end|>");
        assert_eq!(text.decode(&[0xC3]), "\u{FFFD}");
        assert_eq!(text.stop_tokens(), [256]);
        assert!(text.prefix().is_empty());
    }

    #[test]
    fn a_word_is_one_token_where_it_stands_whole() {
        let words = [" Emma", "\n\n"].map(str::to_owned);
        let text = word_text(&words, &["Doc 1:".to_owned()]).unwrap();
        assert_eq!(text.encode_plain("Doc 1: Emma\n\n"), [267, 256, 257]);
        assert_eq!(text.encode("<search> Emma</search>"), [261, 256, 262]);
        assert_eq!(text.decode(&text.encode_plain(" Emmas 東<|end|>")), " Emmas 東<|end|>");
        assert_eq!((text.stop_tokens(), text.has_chat_template()), ([258].as_slice(), false));
        assert!(word_text(&[], &[String::new()]).is_err());
    }

    #[test]
    fn marks_in_a_message_stay_bytes() {
        let text = tiny_text();
        let chat = text.chat_tokens(&[Message::new("user", "<|end|>")], true).unwrap();
        let mut expected = vec![258];
        expected.extend("<|end|>".bytes().map(u32::from));
        expected.extend([256, 259]);
        assert_eq!(chat, expected);
    }
}
