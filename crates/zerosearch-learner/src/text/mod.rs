//! Words to tokens and back: a tokenizer, its special tokens, and the chat template of a model.
//!
//! - [`Text`] is all of it, read from a model directory or put together in memory ([`TextParts`]).
//! - [`Message`] is one turn of a chat; [`Text::chat_tokens`] turns a chat into a prompt.
//! - [`StopMatcher`] finds the token that completes a stop string.
//! - [`tiny_text`] is the built-in tokenizer of tiny models: bytes and protocol tags; [`word_text`] knows words too.

mod builtin;
mod chat;
mod directory;
mod json;
mod mask;
mod pieces;
mod stop;
mod tokenizer;

pub use builtin::{PROTOCOL_TAGS, tiny_text, word_text};
pub use chat::Message;
pub use stop::StopMatcher;
pub use tokenizer::{Text, TextFile, TextParts};
