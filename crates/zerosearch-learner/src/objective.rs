//! The loss of one token and its derivative, as [`crate::Loss`] defines them.

use crate::{Example, KlEstimator, KlPenalty, Loss, Objective};

/// What is known about a token besides its weight.
#[derive(Clone, Copy)]
pub(crate) struct Facts {
    pub(crate) logprob: f32,
    pub(crate) old_logprob: f32,
    pub(crate) reference_logprob: f32,
    pub(crate) advantage: f32,
}

impl Facts {
    /// Those of the token at `position` of `example`, whose log-probability is `logprob`.
    pub(crate) fn of(example: &Example, position: usize, logprob: f32) -> Self {
        let at = |vector: &[f32]| vector.get(position).copied().unwrap_or(0.0);
        Self {
            logprob,
            old_logprob: at(&example.old_logprobs),
            reference_logprob: at(&example.reference_logprobs),
            advantage: at(&example.advantages),
        }
    }
}

/// One token's loss (before weight, normaliser and entropy) and what it is made of.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct TokenLoss {
    /// `objective + coefficient * KL`
    pub(crate) value: f64,
    /// d value / d logprob.
    pub(crate) slope: f64,
    /// The KL estimate.
    pub(crate) kl: f64,
    /// Whether the clipped ratio decided the objective.
    pub(crate) clipped: bool,
}

pub(crate) fn token_loss(loss: &Loss, facts: Facts) -> TokenLoss {
    let mut token = objective(loss.objective, facts);
    if let Some(KlPenalty { estimator, coefficient }) = loss.kl {
        let (kl, slope) =
            divergence(estimator, f64::from(facts.reference_logprob) - f64::from(facts.logprob));
        token.kl = kl;
        token.value += f64::from(coefficient) * kl;
        token.slope += f64::from(coefficient) * slope;
    }
    token
}

fn objective(objective: Objective, facts: Facts) -> TokenLoss {
    let advantage = f64::from(facts.advantage);
    let ratio = (f64::from(facts.logprob) - f64::from(facts.old_logprob)).exp();
    let plain = -advantage * ratio;
    match objective {
        Objective::CrossEntropy => {
            TokenLoss { value: -f64::from(facts.logprob), slope: -1.0, ..TokenLoss::default() }
        }
        Objective::ImportanceSampling => TokenLoss { value: plain, slope: plain, ..TokenLoss::default() },
        Objective::ClippedSurrogate { low, high } => {
            let bounded = -advantage * ratio.clamp(1.0 - f64::from(low), 1.0 + f64::from(high));
            let clipped = bounded > plain;
            let slope = if clipped { 0.0 } else { plain };
            TokenLoss { value: plain.max(bounded), slope, kl: 0.0, clipped }
        }
    }
}

/// The estimate for `d = reference - logprob` and its derivative with respect to the log-probability.
fn divergence(estimator: KlEstimator, d: f64) -> (f64, f64) {
    match estimator {
        KlEstimator::K2 => (d * d / 2.0, -d),
        KlEstimator::K3 => {
            let bounded = d.clamp(-10.0, 10.0);
            let slope = if bounded == d { 1.0 - d.exp() } else { 0.0 };
            (bounded.exp() - bounded - 1.0, slope)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loss(objective: Objective, kl: Option<KlPenalty>) -> Loss {
        Loss { kl, ..Loss::sum(objective, 1) }
    }

    fn facts(ratio: f64, advantage: f32) -> Facts {
        Facts { logprob: ratio.ln() as f32, old_logprob: 0.0, reference_logprob: 0.0, advantage }
    }

    /// The reference's vectors for a clip of .2: (advantage, ratio) to (loss, clipped).
    #[test]
    fn the_clipped_surrogate_matches_its_vectors() {
        let clipped = loss(Objective::ClippedSurrogate { low: 0.2, high: 0.2 }, None);
        for (advantage, ratio, value, is_clipped) in
            [(1.0, 1.5, -1.2, true), (-1.0, 1.5, 1.5, false), (-1.0, 0.5, 0.8, true), (1.0, 0.5, -0.5, false)]
        {
            let token = token_loss(&clipped, facts(ratio, advantage));
            assert!((token.value - value).abs() < 1e-6, "A {advantage}, ratio {ratio}: {}", token.value);
            assert_eq!((token.clipped, token.slope == 0.0), (is_clipped, is_clipped));
        }
    }

    /// The reference's vector: log-probability -1 and reference -1.5 give k3 = e^-.5 + .5 - 1 = .106531; k2 is
    /// .5^2 / 2. The penalty is added: it pulls a token that the policy likes too much back down.
    #[test]
    fn the_penalty_pulls_towards_the_reference() {
        for (estimator, expected) in [(KlEstimator::K3, 0.106_531), (KlEstimator::K2, 0.125)] {
            let penalty = KlPenalty { estimator, coefficient: 2.0 };
            let at = |logprob: f32| {
                let facts = Facts { logprob, old_logprob: logprob, reference_logprob: -1.5, advantage: 0.0 };
                token_loss(&loss(Objective::ImportanceSampling, Some(penalty)), facts)
            };
            assert!((at(-1.0).kl - expected).abs() < 1e-6);
            assert!((at(-1.0).value - 2.0 * expected).abs() < 1e-6);
            assert!(at(-1.0).slope > 0.0 && at(-2.0).slope < 0.0 && at(-1.5).slope == 0.0);
        }
    }
}
