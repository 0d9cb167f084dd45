//! Activations: the functions between matrix products, as polynomials without branches, which compilers turn into
//! vector instructions.

use ndarray::{ArrayViewMut1, ArrayViewMut2};

/// The error function as a quotient of polynomials (Eigen's for 32 bits), right to 4e-7 of 1.
fn erf(x: f32) -> f32 {
    const UP: [f32; 7] = [
        -2.726_142_4e-10,
        2.770_681_4e-8,
        -2.101_024e-6,
        -5.692_506_6e-5,
        -7.349_906_3e-4,
        -2.954_6e-3,
        -1.609_603_3e-2,
    ];
    const DOWN: [f32; 5] = [-1.456_607_2e-5, -2.133_740_6e-4, -1.682_827e-3, -7.373_329e-3, -1.426_473_9e-2];
    let x = x.clamp(-4.0, 4.0);
    let square = x * x;
    let value = |factors: &[f32]| factors.iter().fold(0.0, |sum, factor| sum * square + factor);
    x * value(&UP) / value(&DOWN)
}

/// `x (1 + erf(x / sqrt 2)) / 2` of every number.
pub(super) fn gelu(numbers: &mut [f32]) {
    for x in numbers {
        *x *= 0.5 * (1.0 + erf(*x * std::f32::consts::FRAC_1_SQRT_2));
    }
}

/// e to the power of `x`, which is at most 0 (after Cephes): 2^n e^r with |r| at most ln(2) / 2.
fn exp(x: f32) -> f32 {
    /// Added to a small number, it leaves the nearest whole number in the lowest bits.
    const WHOLE: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    const FACTORS: [f32; 6] =
        [1.987_569_2e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_66, 0.5];
    let x = x.max(-87.0);
    let shifted = x * std::f32::consts::LOG2_E + WHOLE;
    let n = shifted - WHOLE;
    let r = x - n * LN_2_HIGH - n * LN_2_LOW;
    let tail = FACTORS.iter().fold(0.0, |sum, factor| sum * r + factor);
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0_f32.to_bits()));
    (tail * r * r + r + 1.0) * power
}

/// Every row becomes positive numbers whose sum is 1: e to each, divided by their sum.
pub(super) fn softmax(mut rows: ArrayViewMut2<'_, f32>) {
    for mut row in rows.rows_mut() {
        let Some(row) = row.as_slice_mut() else { continue };
        let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        row.iter_mut().for_each(|x| *x = exp(*x - most));
        let scale = 1.0 / row.iter().sum::<f32>();
        row.iter_mut().for_each(|x| *x *= scale);
    }
}

/// Every row is shifted and scaled to mean 0 and variance 1, then by `weight` and `bias`.
pub(super) fn layer_norm(mut rows: ArrayViewMut2<'_, f32>, weight: &[f32], bias: &[f32], epsilon: f32) {
    for mut row in rows.rows_mut() {
        let count = row.len() as f32;
        let mean = row.sum() / count;
        row.mapv_inplace(|x| x - mean);
        let variance = row.iter().map(|x| x * x).sum::<f32>() / count;
        let scale = 1.0 / (variance + epsilon).sqrt();
        for ((x, weight), bias) in row.iter_mut().zip(weight).zip(bias) {
            *x = *x * scale * weight + bias;
        }
    }
}

/// `vector` becomes as long as 1; one of zeros stays.
pub(super) fn normalize(mut vector: ArrayViewMut1<'_, f32>) {
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    if length > 0.0 {
        vector.mapv_inplace(|x| x / length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// erf from Abramowitz and Stegun, table 7.1.
    #[test]
    fn erf_is_that_of_the_tables() {
        for (x, value) in
            [(0.0, 0.0), (0.1, 0.112_462_916), (0.5, 0.520_499_9), (1.0, 0.842_700_8), (2.0, 0.995_322_3)]
        {
            assert!((erf(x) - value).abs() < 4e-7 && (erf(-x) + value).abs() < 4e-7, "{x}: {}", erf(x));
        }
        assert!((erf(9.0) - 1.0).abs() < 4e-7);
    }

    #[test]
    fn exp_is_that_of_the_system() {
        for step in 0..8_700 {
            let x = step as f32 / -100.0;
            assert!((exp(x) / x.exp() - 1.0).abs() < 4e-7, "{x}: {} and {}", exp(x), x.exp());
        }
        assert!(exp(-1e30) < 1e-37);
    }
}
