//! KL: what keeps the policy near the reference policy.
//!
//! Estimators of KL(policy || reference) from one sampled token, with `d = reference - lp` (Schulman 2020,
//! "Approximating KL Divergence"):
//!
//! ```text
//! k1 = -d        k2 = d^2 / 2        k3 = exp(d) - d - 1
//! ```
//!
//! In the loss (k2, k3) the learner adds `coefficient * k` for each of the policy's tokens: see
//! [`zerosearch_learner::KlPenalty`]. In the reward (k1) a trajectory's reward becomes, before any advantage is taken,
//!
//! ```text
//! r - coefficient * sum over the policy's tokens of (lp - reference)
//! ```
//!
//! with the log-probabilities it was sampled with. The whole sum goes to all tokens alike, as the reward does, because
//! these algorithms have one advantage for a trajectory; trainers with a critic give each token its own share.

use serde::{Deserialize, Serialize};
use zerosearch_learner::{KlEstimator, KlPenalty};

/// How far the policy may leave the reference policy, and where that is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Kl {
    /// Not at all: no reference policy is needed.
    #[default]
    Off,
    /// Taken off each trajectory's reward, estimated by k1.
    InReward {
        /// How much it counts; above 0.
        coefficient: f32,
    },
    /// Added to each token's loss.
    InLoss(KlPenalty),
}

/// How the divergence is estimated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KlKind {
    /// Unbiased, high variance, negative half the time.
    K1,
    /// Biased, low variance.
    K2,
    /// Unbiased, low variance, never negative.
    K3,
}

/// Where the divergence is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KlPlace {
    /// In the reward.
    Reward,
    /// In the loss.
    Loss,
}

/// Why there is no such penalty.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum KlError {
    /// A coefficient that would push the policy away from the reference, or no number.
    #[error(
        "the KL coefficient is {0}; it must be 0 or more (a negative one pushes the policy away from the reference)"
    )]
    BadCoefficient(f32),
    /// k1 as a loss.
    #[error(
        "k1 in the loss restrains nothing: its gradient is that of the sampled log-probability, whose mean under the \
         policy is 0; use k2 or k3 in the loss, or k1 in the reward"
    )]
    K1InLoss,
    /// k2 or k3 as a reward.
    #[error(
        "only k1 can be taken off the reward in this version; use k1 in the reward, or k2 or k3 in the loss"
    )]
    OnlyK1InReward,
}

impl Kl {
    /// The penalty with this estimator in this place; [`Kl::Off`] when the coefficient is 0.
    pub fn new(kind: KlKind, place: KlPlace, coefficient: f32) -> Result<Self, KlError> {
        if !(coefficient.is_finite() && coefficient >= 0.0) {
            return Err(KlError::BadCoefficient(coefficient));
        }
        let in_loss = |estimator| Self::InLoss(KlPenalty { estimator, coefficient });
        let penalty = match (place, kind) {
            (KlPlace::Loss, KlKind::K1) => return Err(KlError::K1InLoss),
            (KlPlace::Loss, KlKind::K2) => in_loss(KlEstimator::K2),
            (KlPlace::Loss, KlKind::K3) => in_loss(KlEstimator::K3),
            (KlPlace::Reward, KlKind::K1) => Self::InReward { coefficient },
            (KlPlace::Reward, KlKind::K2 | KlKind::K3) => return Err(KlError::OnlyK1InReward),
        };
        Ok(if coefficient == 0.0 { Self::Off } else { penalty })
    }

    /// Whether log-probabilities under the reference policy are needed.
    pub fn needs_reference(&self) -> bool {
        *self != Self::Off
    }

    /// The part that the learner's loss counts.
    pub fn penalty(&self) -> Option<KlPenalty> {
        match self {
            Self::InLoss(penalty) => Some(*penalty),
            Self::Off | Self::InReward { .. } => None,
        }
    }
}

/// The sum of k1 over the policy's tokens (those whose weight is not 0), in nats.
pub(super) fn k1_sum(weights: &[f32], logprobs: &[f32], reference: &[f32]) -> f64 {
    let of_policy = weights.iter().zip(logprobs.iter().zip(reference)).filter(|(weight, _)| **weight != 0.0);
    of_policy.map(|(_, (&lp, &reference))| f64::from(lp) - f64::from(reference)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_estimator_has_its_place() {
        let k3 = KlPenalty { estimator: KlEstimator::K3, coefficient: 0.001 };
        assert_eq!(Kl::new(KlKind::K3, KlPlace::Loss, 0.001), Ok(Kl::InLoss(k3)));
        assert_eq!(Kl::new(KlKind::K1, KlPlace::Reward, 0.5), Ok(Kl::InReward { coefficient: 0.5 }));
        assert_eq!(Kl::new(KlKind::K2, KlPlace::Reward, 0.5), Err(KlError::OnlyK1InReward));
        let refusal = Kl::new(KlKind::K1, KlPlace::Loss, 0.0).unwrap_err().to_string();
        assert!(refusal.contains("whose mean under the policy is 0"), "{refusal}");
    }

    #[test]
    fn a_coefficient_of_zero_needs_no_reference_and_a_negative_one_is_refused() {
        let off = Kl::new(KlKind::K3, KlPlace::Loss, 0.0).unwrap();
        assert_eq!((off, off.needs_reference()), (Kl::Off, false));
        for coefficient in [-0.001, f32::NAN, f32::INFINITY] {
            assert!(Kl::new(KlKind::K2, KlPlace::Loss, coefficient).is_err(), "{coefficient}");
        }
    }

    /// By hand: tokens 1 and 3 are the policy's; (-1 - -1.5) + (-2 - -1.75) = .25.
    #[test]
    fn k1_is_summed_over_the_policys_tokens_alone() {
        let sum = k1_sum(&[0.0, 1.0, 0.0, 1.0], &[0.0, -1.0, 9.0, -2.0], &[0.0, -1.5, -9.0, -1.75]);
        assert_eq!(sum, 0.25);
    }
}
