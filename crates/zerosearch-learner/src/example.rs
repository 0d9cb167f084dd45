//! A training example: one row of tokens and what the loss needs to know about each of them.

use crate::{LearnerError, Result, TokenId};

/// One row to train on.
///
/// All vectors have one entry for each token; entry `i` speaks about predicting `tokens[i]` from `tokens[..i]`. Entry 0,
/// which nothing precedes, must have weight 0. A vector that the loss does not use may be empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Example {
    /// The whole row, prompt included.
    pub tokens: Vec<TokenId>,
    /// How much each token's loss counts; 0 for prompts, documents and hints.
    pub weights: Vec<f32>,
    /// The advantage of each token. Unused by cross-entropy.
    pub advantages: Vec<f32>,
    /// Log-probabilities under the policy that sampled the row. Unused by cross-entropy.
    pub old_logprobs: Vec<f32>,
    /// Log-probabilities under the reference policy. Used only by a KL penalty.
    pub reference_logprobs: Vec<f32>,
}

impl Example {
    /// Refuses a row whose vectors do not fit `tokens` or hold numbers that are not finite, naming the vector.
    pub fn check(&self, needs_policy_gradient: bool, needs_reference: bool) -> Result<()> {
        let length = self.tokens.len();
        let vectors = [
            ("weights", &self.weights, true),
            ("advantages", &self.advantages, needs_policy_gradient),
            ("old_logprobs", &self.old_logprobs, needs_policy_gradient),
            ("reference_logprobs", &self.reference_logprobs, needs_reference),
        ];
        for (name, vector, needed) in vectors {
            if vector.len() != length && (needed || !vector.is_empty()) {
                return Err(LearnerError::BadExample(format!(
                    "`{name}` has {} entries, the row has {length} tokens",
                    vector.len()
                )));
            }
            if let Some(position) = vector.iter().position(|value| !value.is_finite()) {
                return Err(LearnerError::BadExample(format!(
                    "`{name}` holds {} at token {position}",
                    vector[position]
                )));
            }
        }
        match self.weights.first() {
            None => Err(LearnerError::BadExample("the row is empty".into())),
            Some(&weight) if weight != 0.0 => Err(LearnerError::BadExample(
                "the first token has a weight, but nothing precedes it that could predict it".into(),
            )),
            Some(_) => Ok(()),
        }
    }
}
