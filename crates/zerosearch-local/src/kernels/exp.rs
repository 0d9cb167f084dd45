//! The exponential function, in a form that the compiler vectorises, with the same bits on every instruction set.

/// e^x for x <= 88, with a relative error below 2e-7; exactly 0 below -87 (so for a masked score of -inf too). NaN stays
/// NaN.
///
/// x = n ln 2 + r with |r| <= ln 2 / 2; e^r is a polynomial of degree 6 (Cephes' expf coefficients); 2^n is put together
/// from its exponent bits. No fused operations, so that every instruction set rounds alike.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    /// Adding and subtracting 1.5 * 2^23 rounds to an integer.
    const ROUND: f32 = 12_582_912.0;
    let clamped = if x < -87.0 { -87.0 } else { x };
    let n = (clamped * LOG2_E + ROUND) - ROUND;
    let r = (clamped - n * LN_2_HIGH) - n * LN_2_LOW;
    let mut polynomial = 1.987_569_1e-4;
    for coefficient in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        polynomial = polynomial * r + coefficient;
    }
    let e_to_r = polynomial * (r * r) + r + 1.0;
    let two_to_n = f32::from_bits(((n + ROUND).to_bits().wrapping_add(127)) << 23);
    if x <= -87.0 { 0.0 } else { e_to_r * two_to_n }
}

#[cfg(test)]
mod tests {
    use super::exp;

    #[test]
    fn agrees_with_the_library() {
        let mut worst = 0.0_f64;
        for step in 0..200_000 {
            let x = -86.9 + step as f32 * 8.5e-4;
            let expected = f64::from(x).exp();
            worst = worst.max(((f64::from(exp(x)) - expected) / expected).abs());
        }
        assert!(worst < 2e-7, "relative error {worst}");
    }

    #[test]
    fn is_exact_where_it_matters() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(f32::NEG_INFINITY).to_bits(), 0);
        assert_eq!(exp(-1000.0).to_bits(), 0);
        assert_eq!(exp(-87.0).to_bits(), 0);
        assert!(exp(f32::NAN).is_nan());
    }
}
