//! The losses that a learner offers, each with its formula.
//!
//! For a token with weight `w`, log-probability `lp` (of softmax(logits / temperature)), old log-probability `old`,
//! advantage `A` and ratio `r = exp(lp - old)`, the loss of a batch is
//!
//! ```text
//! L = 1/normalizer * sum over tokens of  w * ( objective + kl.coefficient * KL - entropy_bonus * H )
//! ```
//!
//! where `H` is the entropy of the token's whole distribution in nats.

use crate::{Example, LearnerError, Result};

/// What to minimise.
#[derive(Clone, Debug, PartialEq)]
pub struct Loss {
    /// The term that teaches.
    pub objective: Objective,
    /// A penalty for leaving the reference policy, added to the objective.
    pub kl: Option<KlPenalty>,
    /// How much entropy is rewarded; 0 for not at all.
    pub entropy_bonus: f32,
    /// The temperature the rows were sampled with; 1 for supervised training.
    pub temperature: f32,
    /// What the weighted sum is divided by: the sum of the weights of the whole optimizer batch, for a token mean.
    pub normalizer: f64,
    /// Rows of the whole optimizer batch, however many calls it takes. Learners that average over rows on their own undo that
    /// with it.
    pub rows: usize,
}

impl Loss {
    /// `objective` alone, at temperature 1, summed over the weighted tokens of a batch of `rows` rows.
    pub fn sum(objective: Objective, rows: usize) -> Self {
        Self { objective, kl: None, entropy_bonus: 0.0, temperature: 1.0, normalizer: 1.0, rows }
    }

    /// The same, as the mean over the weighted tokens of `batch`, which is a whole optimizer batch.
    pub fn mean(objective: Objective, batch: &[Example]) -> Self {
        let weights = batch.iter().flat_map(|row| &row.weights);
        let normalizer = weights.map(|&weight| f64::from(weight)).sum();
        Self { normalizer, ..Self::sum(objective, batch.len()) }
    }

    /// Refuses what cannot be computed: a temperature or a normalizer that is not above 0.
    pub fn check(&self) -> Result<()> {
        for (name, value) in [("temperature", f64::from(self.temperature)), ("normalizer", self.normalizer)] {
            if !(value.is_finite() && value > 0.0) {
                return Err(LearnerError::BadRequest(format!(
                    "the loss's {name} is {value}; it must be above 0"
                )));
            }
        }
        Ok(())
    }
}

/// The objective of one token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Objective {
    /// `-lp`
    CrossEntropy,
    /// `-A * r`: policy gradient with importance sampling. On-policy (`r = 1`) its gradient is REINFORCE's.
    ImportanceSampling,
    /// `max(-A * r, -A * clip(r, 1 - low, 1 + high))`: PPO's clipped surrogate (arXiv 1707.06347, equation 7).
    ClippedSurrogate {
        /// How far below 1 the ratio may fall.
        low: f32,
        /// How far above 1 the ratio may rise.
        high: f32,
    },
}

/// A penalty on the divergence from the reference policy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KlPenalty {
    /// How the divergence is estimated from the sampled token.
    pub estimator: KlEstimator,
    /// How much it counts. It is added: a larger coefficient keeps the policy closer to the reference.
    pub coefficient: f32,
}

/// Estimators of KL(policy || reference) from one sampled token, with `d = reference - lp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KlEstimator {
    /// `d^2 / 2`
    K2,
    /// `exp(d) - d - 1` with `d` clamped to [-10, 10]; the low-variance estimator, never negative.
    K3,
}

/// What one call of `accumulate` saw. Sums are over tokens with a weight other than 0 and are not normalised, so
/// that reports of several calls add up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LossReport {
    /// The batch's share of the loss as defined above (normalised).
    pub loss: f64,
    /// Sum of weights.
    pub weight: f64,
    /// Sum of `w * H`; 0 when the learner did not compute entropies.
    pub entropy: f64,
    /// Sum of `w * KL`; 0 without a KL penalty.
    pub kl: f64,
    /// Sum of `w` over tokens whose ratio was clipped.
    pub clipped: f64,
    /// One report for each row, in order.
    pub examples: Vec<ExampleReport>,
}

/// What the learner computed for one row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExampleReport {
    /// Training log-probability of each token; 0 where the weight is 0.
    pub logprobs: Vec<f32>,
}

impl LossReport {
    /// Adds another call's sums to these.
    pub fn absorb(&mut self, other: Self) {
        self.loss += other.loss;
        self.weight += other.weight;
        self.entropy += other.entropy;
        self.kl += other.kl;
        self.clipped += other.clipped;
        self.examples.extend(other.examples);
    }
}
