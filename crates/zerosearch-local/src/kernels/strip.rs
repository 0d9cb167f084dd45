//! The inner loop that attention and the plain matrix product share: several rows times sixteen columns.

use super::isa::multiply_add;

/// Columns that are computed side by side.
pub(super) const LANES: usize = 16;

/// `LANES` sums.
pub(super) type Lanes = [f32; LANES];

/// A left factor addressed by row and inner index, each with its stride.
#[derive(Clone, Copy)]
pub(super) struct Strided<'a> {
    pub(super) numbers: &'a [f32],
    pub(super) row: usize,
    pub(super) inner: usize,
}

/// `sums[r][lane] += left[r][i] * right[i * stride + lane]` for `i` from 0 to `inner`, in this order.
#[inline(always)]
pub(super) fn strip<const FUSED: bool, const R: usize>(
    sums: &mut [Lanes; R],
    left: Strided<'_>,
    right: &[f32],
    stride: usize,
    inner: usize,
) {
    if inner == 0 {
        return;
    }
    assert!((R - 1) * left.row + (inner - 1) * left.inner < left.numbers.len());
    assert!((inner - 1) * stride + LANES <= right.len());
    let mut running = *sums;
    for i in 0..inner {
        // SAFETY: `i * stride + LANES` is at most the length, as asserted above.
        let lanes = unsafe { right.get_unchecked(i * stride..i * stride + LANES) };
        for (r, sums) in running.iter_mut().enumerate() {
            // SAFETY: `r < R` and `i < inner`, so the index is at most the one asserted above.
            let factor = unsafe { left.numbers.get_unchecked(r * left.row + i * left.inner) };
            for (sum, value) in sums.iter_mut().zip(lanes) {
                *sum = multiply_add::<FUSED>(*factor, *value, *sum);
            }
        }
    }
    *sums = running;
}
