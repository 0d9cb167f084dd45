//! Words to tokens and back: a tokenizer, its special tokens, and the chat template of a model.

use crate::{LearnerError, Result, TokenId};

/// One message of a chat.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Message {
    /// `system`, `user`, `assistant` or `tool`.
    pub role: String,
    /// What was said.
    pub content: String,
}
