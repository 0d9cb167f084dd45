//! The built-in tokenizer: 256 bytes, the tags of the search protocol, and the marks of a minimal chat.
//!
//! Random models small enough for a laptop's minute use it; it needs no file and reads any text.

use serde_json::{Map, Value, json};
use tokenizers::Tokenizer;

use super::pieces::byte_character;
use super::{Text, TextParts};

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
    let tokenizer = serde_json::from_value(tokenizer_json()).map(TextParts::of);
    let parts = tokenizer.expect("the built-in tokenizer is valid JSON of a tokenizer");
    Text::new(parts).expect("the built-in tokenizer knows every byte")
}

impl TextParts {
    fn of(tokenizer: Tokenizer) -> Self {
        Self {
            origin: "the built-in tokenizer".into(),
            tokenizer,
            chat_template: Some(TEMPLATE.into()),
            named_tokens: vec![("eos_token".into(), MARKS[0].into())],
            stop_tokens: Vec::new(),
            files: Vec::new(),
        }
    }
}

fn tokenizer_json() -> Value {
    let mut vocabulary: Map<String, Value> =
        (0..=u8::MAX).map(|byte| (byte_character(byte).to_string(), byte.into())).collect();
    let mut added = Vec::new();
    for (content, special) in
        MARKS.map(|mark| (mark, true)).into_iter().chain(PROTOCOL_TAGS.map(|tag| (tag, false)))
    {
        let id = vocabulary.len();
        vocabulary.insert(content.into(), id.into());
        added.push(json!({
            "id": id, "content": content, "special": special, "normalized": false,
            "single_word": false, "lstrip": false, "rstrip": false,
        }));
    }
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": null,
        "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false },
        "post_processor": null,
        "decoder": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false },
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
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
    fn marks_in_a_message_stay_bytes() {
        let text = tiny_text();
        let chat = text.chat_tokens(&[Message::new("user", "<|end|>")], true).unwrap();
        let mut expected = vec![258];
        expected.extend("<|end|>".bytes().map(u32::from));
        expected.extend([256, 259]);
        assert_eq!(chat, expected);
    }
}
