//! An axis: a range of numbers with round marks, and its place in an image.

/// From the least number to the greatest, with marks at 1, 2 or 5 times a power of ten.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    marks: Vec<f64>,
}

impl Axis {
    /// An axis for quantities: it starts at 0 where nothing lies below, and ends at a mark.
    pub(super) fn of_values(values: impl Iterator<Item = f64>, most_marks: usize) -> Self {
        let (low, high) = extent(values);
        let (low, high) = (low.min(0.0), high.max(0.0));
        let high = if high > low { high } else { low + 1.0 };
        let gap = gap_of(high - low, most_marks);
        Self::between((low / gap).floor() * gap, (high / gap - 1e-9).ceil() * gap, gap)
    }

    /// An axis for steps: it starts and ends with them.
    pub(super) fn of_steps(steps: impl Iterator<Item = f64>, most_marks: usize) -> Self {
        let (low, high) = extent(steps);
        if low == high {
            return Self { low: low - 1.0, high: high + 1.0, marks: vec![low] };
        }
        Self::between(low, high, gap_of(high - low, most_marks).max(1.0))
    }

    fn between(low: f64, high: f64, gap: f64) -> Self {
        let first = (low / gap - 1e-9).ceil() as i64;
        let last = (high / gap + 1e-9).floor() as i64;
        Self { low, high, marks: (first..=last).map(|mark| mark as f64 * gap).collect() }
    }

    /// Where the marks are.
    pub(super) fn marks(&self) -> &[f64] {
        &self.marks
    }

    /// Where `value` lies between `start` and `end`.
    pub(super) fn place(&self, value: f64, (start, end): (f64, f64)) -> f64 {
        start + (value - self.low) / (self.high - self.low) * (end - start)
    }

    /// `mark` in words, as precise as the gap between marks asks for.
    pub(super) fn words(&self, mark: f64) -> String {
        let gap = self.marks.windows(2).map(|pair| pair[1] - pair[0]).next().unwrap_or(1.0);
        let reach = self.low.abs().max(self.high.abs());
        if mark == 0.0 {
            return "0".into();
        }
        if !(1e-3..1e7).contains(&reach) {
            return format!("{mark:.0e}");
        }
        if gap >= 1000.0 {
            return format!("{}k", mark / 1000.0);
        }
        let decimals = (-gap.log10().floor()).max(0.0) as usize;
        format!("{mark:.decimals$}")
    }
}

/// The least and the greatest of `values`; 0 and 0 without any.
fn extent(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let ends = values.fold(None, |ends: Option<(f64, f64)>, value| {
        Some(ends.map_or((value, value), |(low, high)| (low.min(value), high.max(value))))
    });
    ends.unwrap_or((0.0, 0.0))
}

/// The smallest of 1, 2, 5 times a power of ten that cuts `range` into no more than `most` parts.
fn gap_of(range: f64, most: usize) -> f64 {
    let least = range / most.max(1) as f64;
    let power = 10f64.powf(least.log10().floor());
    let factors = [1.0, 2.0, 5.0];
    factors
        .into_iter()
        .map(|factor| factor * power)
        .find(|gap| *gap >= least * (1.0 - 1e-9))
        .unwrap_or(10.0 * power)
}

/// A number in about three digits, for a label.
pub(super) fn figure(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 {
        "0".into()
    } else if !(1e-3..1e7).contains(&size) {
        format!("{value:.1e}")
    } else if size >= 99_950.0 {
        format!("{:.0}k", value / 1000.0)
    } else {
        let decimals = (2.0 - size.log10().floor()).clamp(0.0, 4.0) as usize;
        format!("{value:.decimals$}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(axis: &Axis) -> Vec<String> {
        axis.marks().iter().map(|mark| axis.words(*mark)).collect()
    }

    #[test]
    fn values_get_round_marks_from_zero_on() {
        assert_eq!(words(&Axis::of_values([0.03, 0.27].into_iter(), 4)), ["0", "0.1", "0.2", "0.3"]);
        assert_eq!(words(&Axis::of_values([-1.0, 2.5].into_iter(), 4)), ["-1", "0", "1", "2", "3"]);
        assert_eq!(words(&Axis::of_values([0.0, 0.0].into_iter(), 2)), ["0", "0.5", "1.0"]);
        assert_eq!(words(&Axis::of_values([9500.0].into_iter(), 2)), ["0", "5k", "10k"]);
        assert_eq!(words(&Axis::of_values([1e-5].into_iter(), 2)), ["0", "5e-6", "1e-5"]);
        assert_eq!(words(&Axis::of_values(std::iter::empty(), 1)), ["0", "1"]);
    }

    #[test]
    fn one_step_has_an_axis() {
        let axis = Axis::of_steps([7.0].into_iter(), 5);
        assert_eq!((words(&axis), axis.place(7.0, (0.0, 10.0))), (vec!["7".to_owned()], 5.0));
        assert_eq!(words(&Axis::of_steps([1.0, 40.0].into_iter(), 4)), ["10", "20", "30", "40"]);
    }

    #[test]
    fn figures_have_about_three_digits() {
        let figures = [0.0, 1.234, 0.012_34, 27_593.1, 271.86, 3.3e-6, 184_321.0].map(figure);
        assert_eq!(figures, ["0", "1.23", "0.0123", "27593", "272", "3.3e-6", "184k"]);
    }
}
