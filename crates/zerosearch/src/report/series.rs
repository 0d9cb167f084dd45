//! A series: one number by step, as it was recorded and as the eye would follow it.
//!
//! ```text
//! smooth(t) = sum_i w_i y_i / sum_i w_i      w_i = exp(-(t - i)^2 / (2 s^2)),  s = a 25th of the steps, at least 1
//! ```

use crate::run::Row;

/// More points than this are put together, so many neighbours to one mean.
const MOST_POINTS: usize = 500;

/// Fewer points than this are not smoothed.
const LEAST_TO_SMOOTH: usize = 6;

/// What is shown of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quantity {
    /// A number as it stands.
    Number(&'static str),
    /// The first in units of the second.
    Share(&'static str, &'static str),
}

impl Quantity {
    /// Its value in `row`, where it has a finite one.
    pub(super) fn of(self, row: &Row) -> Option<f64> {
        let value = match self {
            Self::Number(name) => row.get(name)?,
            Self::Share(part, whole) => row.get(part)? / row.get(whole)?,
        };
        value.is_finite().then_some(value)
    }
}

/// Steps and numbers; none where the number is missing.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Series {
    points: Vec<(f64, Option<f64>)>,
}

impl Series {
    /// `quantity` in `rows`.
    pub(super) fn of(rows: &[Row], quantity: Quantity) -> Self {
        let points: Vec<_> = rows.iter().map(|row| (row.step() as f64, quantity.of(row))).collect();
        let together = points.len().div_ceil(MOST_POINTS).max(1);
        Self { points: points.chunks(together).map(mean_of).collect() }
    }

    /// The points that have a number.
    pub(super) fn known(&self) -> Vec<(f64, f64)> {
        self.points.iter().filter_map(|(step, value)| Some((*step, (*value)?))).collect()
    }

    /// Stretches of neighbours that all have a number. Of a number that most steps lack, such as an evaluation's, every
    /// two are neighbours.
    pub(super) fn stretches(&self) -> Vec<Vec<(f64, f64)>> {
        let known = self.known();
        if known.len() * 2 < self.points.len() {
            return vec![known];
        }
        let stretches = self.points.split(|(_, value)| value.is_none());
        let whole = |stretch: &[(f64, Option<f64>)]| Self { points: stretch.to_vec() }.known();
        stretches.filter(|stretch| !stretch.is_empty()).map(whole).collect()
    }

    /// The smoothed line; nothing where there is too little to smooth.
    pub(super) fn smooth(&self) -> Vec<(f64, f64)> {
        let known = self.known();
        let (Some(first), Some(last)) = (known.first(), known.last()) else { return known };
        if known.len() < LEAST_TO_SMOOTH {
            return Vec::new();
        }
        let spread = ((last.0 - first.0) / 25.0).max(1.0);
        known.iter().map(|(step, _)| (*step, weighted_mean(&known, *step, spread))).collect()
    }
}

/// One point for several neighbours: the middle of their steps, the mean of the numbers that are there.
fn mean_of(points: &[(f64, Option<f64>)]) -> (f64, Option<f64>) {
    let values: Vec<f64> = points.iter().filter_map(|(_, value)| *value).collect();
    let step = points.iter().map(|(step, _)| step).sum::<f64>() / points.len() as f64;
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    (step, (!values.is_empty()).then_some(mean))
}

fn weighted_mean(points: &[(f64, f64)], at: f64, spread: f64) -> f64 {
    let weight = |step: f64| (-(at - step).powi(2) / (2.0 * spread * spread)).exp();
    let weights: f64 = points.iter().map(|(step, _)| weight(*step)).sum();
    points.iter().map(|(step, value)| weight(*step) * value).sum::<f64>() / weights
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(values: &[f64]) -> Vec<Row> {
        let row = |(step, value): (usize, &f64)| {
            let mut row = Row::at(step as u64 + 1);
            row.put("a", *value).put("b", 2.0);
            row
        };
        values.iter().enumerate().map(row).collect()
    }

    #[test]
    fn a_null_is_a_gap() {
        let series = Series::of(&rows(&[1.0, 2.0, f64::NAN, 4.0]), Quantity::Number("a"));
        assert_eq!(series.stretches(), [vec![(1.0, 1.0), (2.0, 2.0)], vec![(4.0, 4.0)]]);
        assert_eq!(series.known().len(), 3);
        let share = Series::of(&rows(&[1.0]), Quantity::Share("a", "b"));
        assert_eq!(share.known(), [(1.0, 0.5)]);
        assert!(Series::of(&rows(&[1.0]), Quantity::Number("c")).known().is_empty());
    }

    #[test]
    fn a_number_of_few_steps_has_no_gaps() {
        let series = Series::of(&rows(&[1.0, f64::NAN, f64::NAN, f64::NAN, 5.0]), Quantity::Number("a"));
        assert_eq!(series.stretches(), [[(1.0, 1.0), (5.0, 5.0)]]);
    }

    /// A straight line stays one in the middle, where the weights left and right are the same.
    #[test]
    fn smoothing_keeps_what_is_straight() {
        let series = Series::of(&rows(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]), Quantity::Number("a"));
        let smooth = series.smooth();
        assert!((smooth[3].1 - 4.0).abs() < 1e-12 && smooth[0].1 > 1.0, "{smooth:?}");
        assert!(Series::of(&rows(&[1.0, 2.0]), Quantity::Number("a")).smooth().is_empty());
    }

    /// 1,100 steps: three to a point, 366 points of three and one of two.
    #[test]
    fn many_steps_are_put_together() {
        let series = Series::of(&rows(&vec![3.0; 1100]), Quantity::Number("a"));
        assert_eq!(series.known().len(), 367);
        assert_eq!(series.known()[0], (2.0, 3.0));
    }
}
