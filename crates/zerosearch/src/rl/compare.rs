//! What rewards are compared with: their mean, if there is anything to compare.

/// The mean of `values`, of which there is at least one.
pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Whether a comparison among these rewards can tell anything. Equal rewards are caught before any arithmetic:
/// rounding must not make differences where there are none.
pub(super) fn all_equal(values: &[f64]) -> bool {
    values.windows(2).all(|pair| pair[0] == pair[1])
}
