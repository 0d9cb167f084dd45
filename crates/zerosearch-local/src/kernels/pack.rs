//! Rounding to bf16 and laying out in pairs, fast: what every factor of a bf16 product goes through.
//!
//! A pair is two neighbours of the inner dimension in one 32-bit word, the first in its lower half.

use super::element::{Bf16, Element};
use super::isa::{Isa, for_each_isa};
use super::panels::PANEL;

/// Words that are turned over together.
const TILE: usize = 16;

#[inline(always)]
fn pair(first: f32, second: f32) -> u32 {
    u32::from(Bf16::narrow(first).0) | (u32::from(Bf16::narrow(second).0) << 16)
}

/// Rounds numbers; `to` has as many.
pub(super) fn narrow_all(isa: Isa, from: &[f32], to: &mut [Bf16]) {
    assert_eq!(from.len(), to.len(), "the rounded numbers have another length");
    #[cfg(target_arch = "x86_64")]
    if isa == Isa::Avx512Bf16 {
        // SAFETY: the instruction set is available, and the lengths were just compared.
        return unsafe { avx512::narrow_all(from, to) };
    }
    narrow_plainly(isa, from, to);
}

for_each_isa! {
    fn narrow_plainly(from: &[f32], to: &mut [Bf16]) = narrow_all_body;
}

#[inline(always)]
fn narrow_all_body<const FUSED: bool>(from: &[f32], to: &mut [Bf16]) {
    to.iter_mut().zip(from).for_each(|(to, &from)| *to = Bf16::narrow(from));
}

/// One panel from rows that run along the inner dimension: `panel[i / 2][column] = pair(matrix[i][first + column], ..)`.
/// `matrix` has rows of `columns` numbers; `panel` is zero where the matrix ends.
pub(super) fn panel_of_inner_rows(isa: Isa, matrix: &[f32], columns: usize, first: usize, panel: &mut [u32]) {
    #[cfg(target_arch = "x86_64")]
    if isa == Isa::Avx512Bf16 && columns - first >= PANEL && (matrix.len() / columns).is_multiple_of(2) {
        assert!(panel.len() >= matrix.len() / columns / 2 * PANEL, "the panel is too short");
        // SAFETY: the instruction set is available; all rows come in pairs and reach over the panel, as just checked.
        return unsafe { avx512::whole_panel_of_inner_rows(matrix, columns, first, panel) };
    }
    inner_rows_plainly(isa, matrix, columns, first, panel);
}

for_each_isa! {
    fn inner_rows_plainly(matrix: &[f32], columns: usize, first: usize, panel: &mut [u32]) = inner_rows_body;
}

#[inline(always)]
fn inner_rows_body<const FUSED: bool>(matrix: &[f32], columns: usize, first: usize, panel: &mut [u32]) {
    let count = PANEL.min(columns - first);
    let inner = matrix.len() / columns;
    for (at, words) in panel.chunks_exact_mut(PANEL).enumerate() {
        let upper = &matrix[2 * at * columns + first..][..count];
        if 2 * at + 1 < inner {
            let lower = &matrix[(2 * at + 1) * columns + first..][..count];
            for ((word, &upper), &lower) in words.iter_mut().zip(upper).zip(lower) {
                *word = pair(upper, lower);
            }
        } else {
            words.iter_mut().zip(upper).for_each(|(word, &upper)| *word = pair(upper, 0.0));
        }
    }
}

for_each_isa! {
    /// One panel from rows that are its columns: `panel[i / 2][column] = pair(matrix[column][i], matrix[column][i + 1])`.
    /// `rows` holds the panel's columns, each of `inner` numbers.
    pub(super) fn panel_of_column_rows(rows: &[f32], inner: usize, panel: &mut [u32]) = column_rows_body;
}

#[inline(always)]
fn column_rows_body<const FUSED: bool>(rows: &[f32], inner: usize, panel: &mut [u32]) {
    let count = rows.len() / inner;
    let whole = if count == PANEL { inner / (2 * TILE) * TILE } else { 0 };
    for first_pair in (0..whole).step_by(TILE) {
        for first_column in (0..PANEL).step_by(TILE) {
            let mut words = [[0_u32; TILE]; TILE];
            for (column, words) in words.iter_mut().enumerate() {
                let from = (first_column + column) * inner + 2 * first_pair;
                let (numbers, _) = rows[from..from + 2 * TILE].as_chunks::<2>();
                words
                    .iter_mut()
                    .zip(numbers)
                    .for_each(|(word, numbers)| *word = pair(numbers[0], numbers[1]));
            }
            for at in 0..TILE {
                let to = &mut panel[(first_pair + at) * PANEL + first_column..][..TILE];
                to.iter_mut().zip(&words).for_each(|(to, words)| *to = words[at]);
            }
        }
    }
    for column in 0..count {
        let row = &rows[column * inner..][..inner];
        for at in whole..inner.div_ceil(2) {
            let second = row.get(2 * at + 1).copied().unwrap_or(0.0);
            panel[at * PANEL + column] = pair(row[2 * at], second);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    //! The same with the instruction that rounds to bf16.

    use std::arch::x86_64::{
        __m256bh, __m256i, __m512bh, __m512i, _mm256_mask_storeu_epi16, _mm512_cvtepu16_epi32,
        _mm512_cvtne2ps_pbh, _mm512_cvtneps_pbh, _mm512_loadu_ps, _mm512_maskz_loadu_ps, _mm512_or_si512,
        _mm512_slli_epi32, _mm512_storeu_si512,
    };

    use super::{Bf16, PANEL, TILE};

    /// # Safety
    /// `to` is at least as long as `from`.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    pub(super) unsafe fn narrow_all(from: &[f32], to: &mut [Bf16]) {
        let whole = from.len() / (2 * TILE) * 2 * TILE;
        for at in (0..whole).step_by(2 * TILE) {
            // SAFETY: 32 numbers from `at` on lie inside both.
            unsafe {
                let [first, second] = [0, TILE].map(|offset| _mm512_loadu_ps(from.as_ptr().add(at + offset)));
                let rounded = _mm512_cvtne2ps_pbh(second, first);
                _mm512_storeu_si512(
                    to.as_mut_ptr().add(at).cast(),
                    std::mem::transmute::<__m512bh, __m512i>(rounded),
                );
            }
        }
        for at in (whole..from.len()).step_by(TILE) {
            let mask = u16::MAX >> TILE.saturating_sub(from.len() - at);
            // SAFETY: lanes beyond the end are masked out.
            unsafe {
                let rounded = _mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(mask, from.as_ptr().add(at)));
                _mm256_mask_storeu_epi16(
                    to.as_mut_ptr().add(at).cast(),
                    mask,
                    std::mem::transmute::<__m256bh, __m256i>(rounded),
                );
            }
        }
    }

    /// # Safety
    /// `matrix` has an even number of rows of `columns` numbers, at least [`PANEL`] from `first` on, and `panel` has
    /// room for all.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    pub(super) unsafe fn whole_panel_of_inner_rows(
        matrix: &[f32],
        columns: usize,
        first: usize,
        panel: &mut [u32],
    ) {
        for (at, upper) in (first..matrix.len()).step_by(2 * columns).enumerate() {
            for vector in (0..PANEL).step_by(TILE) {
                // SAFETY: promised by the caller.
                unsafe {
                    let [upper, lower] = [upper, upper + columns].map(|row| widened(matrix, row + vector));
                    let pair = _mm512_or_si512(upper, _mm512_slli_epi32::<16>(lower));
                    _mm512_storeu_si512(panel.as_mut_ptr().add(at * PANEL + vector).cast(), pair);
                }
            }
        }
    }

    /// Sixteen numbers, rounded, each in the lower half of its word.
    ///
    /// # Safety
    /// They must lie inside `numbers`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn widened(numbers: &[f32], at: usize) -> __m512i {
        // SAFETY: promised by the caller.
        unsafe {
            let rounded = _mm512_cvtneps_pbh(_mm512_loadu_ps(numbers.as_ptr().add(at)));
            _mm512_cvtepu16_epi32(std::mem::transmute::<__m256bh, __m256i>(rounded))
        }
    }
}
