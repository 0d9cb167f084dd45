//! Seconds, measured again and again.

use std::time::Instant;

use zerosearch_local::weights::peak_bytes;

/// What rounds took, each in `N` parts. The first round does not count.
#[derive(Default)]
pub(super) struct Rounds<const N: usize> {
    seen: Vec<[f64; N]>,
}

impl<const N: usize> Rounds<N> {
    /// The numbers of the rounds to be made for `repeats` that count.
    pub(super) fn numbers(repeats: usize) -> std::ops::RangeInclusive<u64> {
        0..=repeats as u64
    }

    pub(super) fn push(&mut self, seconds: [f64; N]) {
        self.seen.push(seconds);
    }

    /// The median of each part.
    pub(super) fn medians(&self) -> [f64; N] {
        std::array::from_fn(|part| median(self.seen.iter().skip(1).map(|seconds| seconds[part]).collect()))
    }
}

/// The number in the middle, or between the two there; NaN of none.
pub(super) fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    match numbers.len() {
        0 => f64::NAN,
        count => (numbers[(count - 1) / 2] + numbers[count / 2]) / 2.0,
    }
}

/// GiB that the process has held at once, at most.
pub(super) fn peak_gib() -> Option<f64> {
    peak_bytes().map(|bytes| bytes as f64 / f64::from(1 << 30))
}

/// What `work` gives, and the seconds it took.
pub(super) async fn timed<T>(work: impl Future<Output = T>) -> (T, f64) {
    let start = Instant::now();
    let done = work.await;
    (done, start.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn the_first_round_does_not_count() {
        let mut rounds = Rounds::default();
        Rounds::<2>::numbers(3).for_each(|round| rounds.push([round as f64, -(round as f64)]));
        assert_eq!(rounds.medians(), [2.0, -2.0]);
    }
}
