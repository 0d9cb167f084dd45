//! The rules of a conversation: how long it may go on, how the policy speaks, and how documents are shown.

use super::{DistillationTemplate, DocumentStyle};
use crate::qa::Reward;

const HINT: &str = include_str!("prompts/hint.txt");

/// The rules that all conversations of a run share. All token counts are per row.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Turns, invalid ones included, before the last one. A search in the last turn ends the row. With none, the policy
    /// can only answer.
    pub max_turns: usize,
    /// What the policy may write in one turn.
    pub max_response_tokens: usize,
    /// What one search may add, the tags around the documents included. Longer results are cut inside the tags.
    pub max_document_tokens: usize,
    /// Everything together, prompt included. A row that cannot fit another turn ends.
    pub max_context_tokens: usize,
    /// Documents asked for in one search.
    pub documents: usize,
    /// How documents are shown.
    pub document_style: DocumentStyle,
    /// Has the policy read what a search found apart, and shows it its notes instead.
    pub distillation: Option<DistillationTemplate>,
    /// What the policy is told after a turn without an action.
    pub hint: String,
    /// What is rewarded.
    pub reward: Reward,
    /// How the next token is drawn.
    pub sampling: Sampling,
}

/// How the policy's next token is drawn from softmax(logits / temperature).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Divides the logits; 0 takes the likeliest token.
    pub temperature: f32,
    /// Draw only from the likeliest tokens whose probabilities reach this sum; 1 for all. Training needs 1: its
    /// log-probabilities are those of the whole distribution.
    pub top_p: f32,
    /// Draw only from this many likeliest tokens; 0 for all.
    pub top_k: usize,
}

impl Sampling {
    /// The whole distribution at temperature 1: what training uses unless told otherwise.
    pub const WHOLE: Self = Self { temperature: 1.0, top_p: 1.0, top_k: 0 };
}

/// The hint in our own words.
pub fn default_hint() -> &'static str {
    HINT.trim()
}
