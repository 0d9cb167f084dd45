//! GRPO (arXiv 2402.03300): each answer is measured against its group, in units of the group's spread.
//!
//! ```text
//! sample   A_i = (r_i - mean(r)) / (std(r) + 1e-6)      std with n - 1 in the denominator
//! none     A_i =  r_i - mean(r)                         as Dr. GRPO proposes (arXiv 2503.20783)
//! ```
//!
//! A group of one has nothing to compare: its advantage is 0. The reference systems use the reward itself there, which
//! mixes uncompared rewards of another scale into the batch.

use serde::{Deserialize, Serialize};

use super::compare::{all_equal, mean};

const EPSILON: f64 = 1e-6;

/// GRPO with one advantage for all tokens of a trajectory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grpo {
    /// What the difference from the mean is divided by.
    pub deviation: Deviation,
}

/// What GRPO divides by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deviation {
    /// The group's sample standard deviation: groups that are almost always right or wrong count more.
    #[default]
    Sample,
    /// Nothing: every group counts by its differences.
    None,
}

impl Grpo {
    /// One advantage for each reward of one group.
    pub fn advantages(&self, rewards: &[f64]) -> Vec<f64> {
        if all_equal(rewards) {
            return vec![0.0; rewards.len()];
        }
        let mean = mean(rewards);
        let scale = match self.deviation {
            Deviation::Sample => sample_deviation(rewards, mean) + EPSILON,
            Deviation::None => 1.0,
        };
        rewards.iter().map(|reward| (reward - mean) / scale).collect()
    }
}

/// For at least two values.
fn sample_deviation(values: &[f64], mean: f64) -> f64 {
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (squares / (values.len() - 1) as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: Grpo = Grpo { deviation: Deviation::Sample };

    /// The reference's golden vector: mean .3, sample deviation .447214. It was computed from rounded intermediate
    /// numbers, hence the tolerance: by hand, .7 / (.4472136 + 1e-6) = 1.565244.
    #[test]
    fn matches_the_golden_vector() {
        let computed = SAMPLE.advantages(&[1.0, 0.0, 0.5, 0.0, 0.0]);
        for (computed, expected) in
            computed.into_iter().zip([1.565_246, -0.670_820, 0.447_213, -0.670_820, -0.670_820])
        {
            assert!((computed - expected).abs() < 4e-6, "{computed} instead of {expected}");
        }
    }

    /// By hand: the mean of 1, 0, .5, 0, 0 is .3.
    #[test]
    fn without_the_deviation_only_the_mean_is_taken_off() {
        let computed = Grpo { deviation: Deviation::None }.advantages(&[1.0, 0.0, 0.5, 0.0, 0.0]);
        for (computed, expected) in computed.into_iter().zip([0.7, -0.3, 0.2, -0.3, -0.3]) {
            assert!((computed - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn equal_and_lone_rewards_have_no_advantage_and_no_nan() {
        for rewards in [&[][..], &[0.7], &[0.1, 0.1, 0.1], &[1.0; 5]] {
            for deviation in [Deviation::Sample, Deviation::None] {
                assert_eq!(Grpo { deviation }.advantages(rewards), vec![0.0; rewards.len()]);
            }
        }
    }
}
