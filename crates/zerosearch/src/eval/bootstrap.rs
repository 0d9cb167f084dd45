//! The bootstrap: how far a mean would have moved with other questions of the same kind.

use rand::RngExt;
use serde::{Deserialize, Serialize};
use zerosearch_learner::seed::Seed;

/// Resamples of the bootstrap.
const RESAMPLES: usize = 2000;

/// A mean over all conversations and its 95 % interval: percentiles of the means of 2,000 seeded resamples of the
/// questions, each with all its conversations.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The mean.
    pub mean: f64,
    /// 2.5 % of the resamples lie below.
    pub low: f64,
    /// 2.5 % of the resamples lie above.
    pub high: f64,
}

impl Interval {
    /// The interval in words.
    pub fn words(&self) -> String {
        format!("{:.3} [{:.3}, {:.3}]", self.mean, self.low, self.high)
    }

    /// The interval of a difference in words: with its sign.
    pub fn signed_words(&self) -> String {
        format!("{:+.3} [{:+.3}, {:+.3}]", self.mean, self.low, self.high)
    }
}

/// The percentile bootstrap (Efron 1979) of a mean.
pub fn bootstrap(values: &[f64], seed: Seed) -> Interval {
    if values.is_empty() {
        return Interval { mean: 0.0, low: 0.0, high: 0.0 };
    }
    let mut generator = seed.generator();
    middle(mean(values), || resampled(values, &mut generator))
}

/// The percentile bootstrap of the plain mean of the means of `sets`, each resampled within itself; nothing without
/// sets or with an empty one.
pub(crate) fn bootstrap_of_sets(sets: &[Vec<f64>], seed: Seed) -> Option<Interval> {
    if sets.is_empty() || sets.iter().any(Vec::is_empty) {
        return None;
    }
    let mut generator = seed.generator();
    let plain = |means: Vec<f64>| mean(&means);
    let resample = || plain(sets.iter().map(|set| resampled(set, &mut generator)).collect());
    Some(middle(plain(sets.iter().map(|set| mean(set)).collect()), resample))
}

/// The percentile bootstrap of the difference of two means; nothing where either has no values.
pub(crate) fn bootstrap_difference(more: &[f64], less: &[f64], seed: Seed) -> Option<Interval> {
    if more.is_empty() || less.is_empty() {
        return None;
    }
    let mut generator = seed.generator();
    let resample = || resampled(more, &mut generator) - resampled(less, &mut generator);
    Some(middle(mean(more) - mean(less), resample))
}

/// The mean of as many of `values` as there are, drawn with replacement.
fn resampled(values: &[f64], generator: &mut impl RngExt) -> f64 {
    let drawn = (0..values.len()).map(|_| values[generator.random_range(0..values.len())]);
    drawn.sum::<f64>() / values.len() as f64
}

/// `mean`, between the ends of the middle 95 % of what `resample` gives.
fn middle(mean: f64, mut resample: impl FnMut() -> f64) -> Interval {
    let mut resamples: Vec<f64> = (0..RESAMPLES).map(|_| resample()).collect();
    resamples.sort_by(f64::total_cmp);
    let at = |share: f64| resamples[((RESAMPLES - 1) as f64 * share).round() as usize];
    Interval { mean, low: at(0.025), high: at(0.975) }
}

/// The mean of `values`; 0 without any.
pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For 400 coin flips with 200 heads the normal interval is 0.5 +- 1.96 * sqrt(0.25 / 400) = [0.451, 0.549].
    #[test]
    fn intervals_agree_with_the_normal_approximation() {
        let values: Vec<f64> = (0..400).map(|index| f64::from(index % 2)).collect();
        let found = bootstrap(&values, Seed::run(3));
        assert_eq!(found.mean, 0.5);
        assert!((found.low - 0.451).abs() < 0.01 && (found.high - 0.549).abs() < 0.01, "{found:?}");
        // The difference from 400 ones has the same spread.
        let from_one = bootstrap_difference(&[1.0; 400], &values, Seed::run(3)).unwrap();
        assert!((from_one.low - 0.451).abs() < 0.01 && (from_one.high - 0.549).abs() < 0.01, "{from_one:?}");
        assert_eq!(bootstrap_difference(&values, &[], Seed::run(3)), None);
    }

    /// By hand: sets of 400 and 100 coin flips have means 0.5 and 0.2; their mean 0.35 has the deviation
    /// sqrt(0.25 / 400 + 0.16 / 100) / 2 = 0.0236, times 1.96 = 0.0462. All 500 together would have 0.44.
    #[test]
    fn sets_count_alike_and_each_is_resampled_within_itself() {
        let flips =
            |count: u32, one_in: u32| (0..count).map(|at| f64::from(at.is_multiple_of(one_in))).collect();
        let found = bootstrap_of_sets(&[flips(400, 2), flips(100, 5)], Seed::run(3)).unwrap();
        assert!((found.mean - 0.35).abs() < 1e-12);
        assert!((found.low - 0.304).abs() < 0.008 && (found.high - 0.396).abs() < 0.008, "{found:?}");
        assert_eq!(bootstrap_of_sets(&[], Seed::run(3)), None);
        assert_eq!(bootstrap_of_sets(&[vec![1.0], Vec::new()], Seed::run(3)), None);
    }

    #[test]
    fn words_tell_a_score_from_a_difference() {
        let it = Interval { mean: 0.25, low: -0.1, high: 0.5 };
        assert_eq!(it.words(), "0.250 [-0.100, 0.500]");
        assert_eq!(it.signed_words(), "+0.250 [-0.100, +0.500]");
    }
}
