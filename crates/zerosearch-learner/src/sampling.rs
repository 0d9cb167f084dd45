//! A sampling request and its reply.

use crate::TokenId;

/// What to continue, how, and when to stop.
#[derive(Clone, Debug, PartialEq)]
pub struct SamplingRequest {
    /// The whole conversation so far; at least one token.
    pub prompt: Vec<TokenId>,
    /// Stop after this many new tokens.
    pub max_tokens: usize,
    /// Divides the logits; 0 takes the likeliest token (greedy, ties to the lowest id).
    pub temperature: f32,
    /// Draw only from the likeliest tokens whose probabilities, renormalised over what `top_k` leaves, reach this sum; 1
    /// for all.
    pub top_p: f32,
    /// Draw only from this many likeliest tokens; 0 for all.
    pub top_k: usize,
    /// Stop with the token that completes any of these strings in the newly written text. Strings may span tokens; an
    /// empty one is refused.
    pub stop_strings: Vec<String>,
    /// Stop with any of these tokens (end of text, end of turn). A token that also completes a stop string stops as a token.
    pub stop_tokens: Vec<TokenId>,
    /// The same request with the same seed gives the same reply.
    pub seed: u64,
}

impl SamplingRequest {
    /// A request for `max_tokens` tokens at temperature 1 that nothing but their number ends.
    pub fn of_length(prompt: Vec<TokenId>, max_tokens: usize, seed: u64) -> Self {
        Self {
            prompt,
            max_tokens,
            temperature: 1.0,
            top_p: 1.0,
            top_k: 0,
            stop_strings: Vec::new(),
            stop_tokens: Vec::new(),
            seed,
        }
    }
}

/// A continuation, as sampled: the token that stopped it is its last.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// The new tokens.
    pub tokens: Vec<TokenId>,
    /// ln p of each new token under softmax(logits / temperature), before top-p and top-k cut the tail. Greedy
    /// sampling reports temperature 1.
    pub logprobs: Vec<f32>,
    /// Why it ended.
    pub stop: StopReason,
}

/// Why a continuation ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StopReason {
    /// `max_tokens` were written, or the context is full.
    #[default]
    Length,
    /// The last token completed one of the stop strings and is no stop token; this is the string's index in the request.
    StopString(usize),
    /// The last token is one of the stop tokens.
    StopToken,
}
