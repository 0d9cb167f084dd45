//! The loss of one token and its slope, as `zerosearch_learner::Loss` defines them.

use zerosearch_learner::{Example, KlEstimator, KlPenalty, Loss, Objective};

/// What one token adds to the loss, before its weight and the normaliser.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct TokenLoss {
    pub(crate) value: f64,
    /// d value / d log-probability.
    pub(crate) slope: f64,
    /// The divergence from the reference, without its coefficient.
    pub(crate) kl: f64,
    pub(crate) clipped: bool,
}

/// The loss of token `at` of `example`, predicted with log-probability `logprob`; the entropy bonus is not part of it.
pub(crate) fn token_loss(loss: &Loss, example: &Example, at: usize, logprob: f32) -> TokenLoss {
    let logprob = f64::from(logprob);
    let mut token = match loss.objective {
        Objective::CrossEntropy => TokenLoss { value: -logprob, slope: -1.0, ..TokenLoss::default() },
        Objective::ImportanceSampling => {
            let value = -f64::from(example.advantages[at]) * ratio(example, at, logprob);
            TokenLoss { value, slope: value, ..TokenLoss::default() }
        }
        Objective::ClippedSurrogate { low, high } => {
            let advantage = f64::from(example.advantages[at]);
            let ratio = ratio(example, at, logprob);
            let free = -advantage * ratio;
            let bounded = -advantage * ratio.clamp(1.0 - f64::from(low), 1.0 + f64::from(high));
            let clipped = bounded > free;
            let (value, slope) = if clipped { (bounded, 0.0) } else { (free, free) };
            TokenLoss { value, slope, kl: 0.0, clipped }
        }
    };
    if let Some(penalty) = loss.kl {
        let (kl, slope) = divergence(penalty, f64::from(example.reference_logprobs[at]) - logprob);
        token.kl = kl;
        token.value += f64::from(penalty.coefficient) * kl;
        token.slope += f64::from(penalty.coefficient) * slope;
    }
    token
}

fn ratio(example: &Example, at: usize, logprob: f64) -> f64 {
    (logprob - f64::from(example.old_logprobs[at])).exp()
}

/// The estimate and its slope by the log-probability, from `d = reference - logprob`.
fn divergence(penalty: KlPenalty, d: f64) -> (f64, f64) {
    match penalty.estimator {
        KlEstimator::K2 => (d * d / 2.0, -d),
        KlEstimator::K3 => {
            let bounded = d.clamp(-10.0, 10.0);
            let slope = if d == bounded { 1.0 - bounded.exp() } else { 0.0 };
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

    fn example(advantage: f32, old: f32, reference: f32) -> Example {
        Example {
            tokens: vec![0],
            weights: vec![0.0],
            advantages: vec![advantage],
            old_logprobs: vec![old],
            reference_logprobs: vec![reference],
        }
    }

    /// By hand, with clip 0.2: A = 1, r = 1.5 gives -1.2 and no slope; A = -1, r = 1.5 gives 1.5; A = -1, r = 0.5 gives 0.8.
    #[test]
    fn the_clipped_surrogate_matches_hand_arithmetic() {
        let clip = Objective::ClippedSurrogate { low: 0.2, high: 0.2 };
        for (advantage, ratio, value, clipped) in [
            (1.0, 1.5_f32, -1.2, true),
            (-1.0, 1.5, 1.5, false),
            (-1.0, 0.5, 0.8, true),
            (1.0, 1.1, -1.1, false),
        ] {
            let token = token_loss(&loss(clip, None), &example(advantage, 0.0, 0.0), 0, ratio.ln());
            assert!((token.value - value).abs() < 1e-6, "{token:?}");
            assert_eq!(token.clipped, clipped);
            assert_eq!(token.slope == 0.0, clipped);
        }
    }

    /// By hand: logp -1, reference -1.5: d = -0.5, e^-0.5 + 0.5 - 1 = 0.106531; k2 is 0.125.
    #[test]
    fn divergences_match_hand_arithmetic_and_pull_towards_the_reference() {
        for (estimator, expected) in [(KlEstimator::K3, 0.106_531), (KlEstimator::K2, 0.125)] {
            let penalty = KlPenalty { estimator, coefficient: 2.0 };
            let token = token_loss(
                &loss(Objective::ImportanceSampling, Some(penalty)),
                &example(0.0, -1.0, -1.5),
                0,
                -1.0,
            );
            assert!((token.kl - expected).abs() < 1e-6);
            assert!((token.value - 2.0 * expected).abs() < 1e-6);
            assert!(
                token.slope > 0.0,
                "descending must lower a log-probability that is above the reference's"
            );
        }
    }

    #[test]
    fn slopes_are_slopes() {
        let kl = |estimator| Some(KlPenalty { estimator, coefficient: 0.3 });
        let clip = Objective::ClippedSurrogate { low: 0.2, high: 0.3 };
        for objective in [Objective::CrossEntropy, Objective::ImportanceSampling, clip] {
            for kl in [None, kl(KlEstimator::K2), kl(KlEstimator::K3)] {
                for logprob in [-3.0_f32, -1.1, -0.9, -0.2] {
                    let (loss, example) = (loss(objective, kl), example(0.7, -1.0, -1.4));
                    let value = |logprob: f32| token_loss(&loss, &example, 0, logprob).value;
                    let step = 1.0 / 1024.0;
                    let slope = (value(logprob + step) - value(logprob - step)) / f64::from(2.0 * step);
                    let token = token_loss(&loss, &example, 0, logprob);
                    assert!((slope - token.slope).abs() < 1e-4, "{objective:?} {kl:?} {logprob}");
                }
            }
        }
    }
}
