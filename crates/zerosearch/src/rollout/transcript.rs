//! A transcript: tokens with authors. Text is only a view of it; nothing is decoded and encoded again.

use serde::{Deserialize, Serialize};
use zerosearch_learner::TokenId;

/// Who put tokens into the transcript. Only the policy's own are trained on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Author {
    /// The prompt template and the question.
    Prompt,
    /// The policy.
    Policy,
    /// The search engine: documents and the tags around them.
    Search,
    /// The rollout: what it says about a turn without an action.
    Hint,
}

/// Consecutive tokens of one author.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Piece {
    /// Who wrote them.
    pub author: Author,
    /// The tokens.
    pub tokens: Vec<TokenId>,
    /// For the policy's pieces, the log-probability of each token as sampled; empty for everybody else's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logprobs: Vec<f32>,
}

/// A conversation from its first token to its last.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Transcript {
    /// In order.
    pub pieces: Vec<Piece>,
}

impl Transcript {
    /// Appends what somebody else than the policy wrote.
    pub fn show(&mut self, author: Author, tokens: Vec<TokenId>) {
        self.pieces.push(Piece { author, tokens, logprobs: Vec::new() });
    }

    /// Appends what the policy wrote, with the log-probability of each token.
    pub fn say(&mut self, tokens: Vec<TokenId>, logprobs: Vec<f32>) {
        self.pieces.push(Piece { author: Author::Policy, tokens, logprobs });
    }

    /// All tokens in order.
    pub fn tokens(&self) -> Vec<TokenId> {
        self.pieces.iter().flat_map(|piece| piece.tokens.iter().copied()).collect()
    }

    /// How many tokens there are.
    pub fn len(&self) -> usize {
        self.pieces.iter().map(|piece| piece.tokens.len()).sum()
    }

    /// Whether nothing has been written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many tokens the policy wrote.
    pub fn policy_tokens(&self) -> usize {
        self.pieces
            .iter()
            .filter(|piece| piece.author == Author::Policy)
            .map(|piece| piece.tokens.len())
            .sum()
    }

    /// One weight for each token: 1 for those of the authors that `counts`, 0 for everybody else's.
    pub fn loss_weights(&self, counts: impl Fn(Author) -> bool) -> Vec<f32> {
        self.for_each_token(|piece, _| if counts(piece.author) { 1.0 } else { 0.0 })
    }

    /// One number for each token: the log-probability it was sampled with, 0 for tokens of other authors.
    pub fn logprobs(&self) -> Vec<f32> {
        self.for_each_token(|piece, at| piece.logprobs.get(at).copied().unwrap_or(0.0))
    }

    fn for_each_token(&self, value: impl Fn(&Piece, usize) -> f32) -> Vec<f32> {
        let value = &value;
        self.pieces.iter().flat_map(|piece| (0..piece.tokens.len()).map(move |at| value(piece, at))).collect()
    }
}
