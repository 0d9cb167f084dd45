//! A bigram model: the next token's distribution depends on the last token alone.
//!
//! ```text
//! p(next | last) = softmax(table[last] / T)
//! ```

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::{SamplingRequest, TokenId};

/// One row of next-token logits for each token.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Table {
    /// Tokens in the vocabulary.
    pub(super) vocabulary: usize,
    /// `vocabulary` rows of `vocabulary` logits.
    pub(super) logits: Vec<f32>,
}

impl Table {
    /// Every token equally likely after every token.
    pub(super) fn uniform(vocabulary: usize) -> Self {
        Self { vocabulary, logits: vec![0.0; vocabulary * vocabulary] }
    }

    /// Where the row of `last` lies in the table.
    pub(super) fn row(&self, last: TokenId) -> std::ops::Range<usize> {
        let start = last as usize * self.vocabulary;
        start..start + self.vocabulary
    }

    /// The log-probability of every next token. Sampling, scoring and training all read this, so they agree bit for
    /// bit.
    pub(super) fn logprobs(&self, last: TokenId, temperature: f32) -> Vec<f32> {
        let scaled: Vec<f64> = self.logits[self.row(last)]
            .iter()
            .map(|&logit| f64::from(logit) / f64::from(temperature))
            .collect();
        let peak = scaled.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = scaled.iter().map(|logit| (logit - peak).exp()).sum();
        scaled.iter().map(|logit| (logit - peak - sum.ln()) as f32).collect()
    }
}

/// Draws a token as `request` says.
pub(super) fn pick(logprobs: &[f32], request: &SamplingRequest, generator: &mut ChaCha8Rng) -> TokenId {
    let mut ids: Vec<usize> = (0..logprobs.len()).collect();
    // The sort is stable: tokens that are equally likely stay in the order of their ids.
    ids.sort_by(|&a, &b| logprobs[b].total_cmp(&logprobs[a]));
    if request.temperature == 0.0 {
        return ids[0] as TokenId;
    }
    if request.top_k > 0 {
        ids.truncate(request.top_k);
    }
    let total: f64 = ids.iter().map(|&id| f64::from(logprobs[id]).exp()).sum();
    let mut sum = 0.0;
    let reached = |&id: &usize| {
        let before = sum;
        sum += f64::from(logprobs[id]).exp();
        before < f64::from(request.top_p) * total
    };
    let ids: Vec<usize> = ids.into_iter().take_while(reached).collect();
    draw(&ids, logprobs, generator) as TokenId
}

/// One of `ids`, of which there is at least one, as likely as its share of their probability.
fn draw(ids: &[usize], logprobs: &[f32], generator: &mut ChaCha8Rng) -> usize {
    let weight = |id: usize| f64::from(logprobs[id]).exp();
    let total: f64 = ids.iter().map(|&id| weight(id)).sum();
    let mut left = generator.random::<f64>() * total;
    for &id in ids {
        left -= weight(id);
        if left < 0.0 {
            return id;
        }
    }
    ids[ids.len() - 1]
}
