//! Rounding to bf16 and laying out in pairs, fast: what every factor of a bf16 product goes through.
//!
//! See [`Pair`] for what lies side by side.

use super::isa::{Isa, for_each_isa};
use super::pair::Pair;
use super::panels::PANEL;

/// Words that are turned over together.
const TILE: usize = 16;
/// Rows of which pieces are used: so many after the present one, its piece is brought near.
const FETCHED: usize = 16;

/// Rounds a row; the last pair of a row of odd length ends with a zero.
pub(super) fn narrow_row(isa: Isa, from: &[f32], to: &mut [Pair]) {
    #[cfg(target_arch = "x86_64")]
    if isa == Isa::Avx512Bf16 {
        // SAFETY: the instruction set is available.
        return unsafe { super::dot::narrow(from, to) };
    }
    narrow_plainly(isa, from, to);
}

for_each_isa! {
    fn narrow_plainly(from: &[f32], to: &mut [Pair]) = narrow_body;
}

#[inline(always)]
fn narrow_body<const FUSED: bool>(from: &[f32], to: &mut [Pair]) {
    let (pairs, last) = from.as_chunks::<2>();
    to.iter_mut().zip(pairs).for_each(|(to, pair)| *to = Pair::of(pair[0], pair[1]));
    if let ([last], Some(to)) = (last, to.last_mut()) {
        *to = Pair::of(*last, 0.0);
    }
}

/// One panel from rows that run along the inner dimension: `panel[i / 2][column] = pair(matrix[i][first + column], ..)`.
/// `matrix` has rows of `columns` numbers; `panel` is zero where the matrix ends.
pub(super) fn panel_of_inner_rows(
    isa: Isa,
    matrix: &[f32],
    columns: usize,
    first: usize,
    panel: &mut [Pair],
) {
    #[cfg(target_arch = "x86_64")]
    if isa == Isa::Avx512Bf16 {
        #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
        fn avx512(matrix: &[f32], columns: usize, first: usize, panel: &mut [Pair]) {
            inner_rows(matrix, (columns, first), panel, |first, second, to| {
                super::dot::fetch(first, FETCHED * columns);
                super::dot::fetch(second, FETCHED * columns);
                super::dot::narrow_both((first, second), to);
            });
        }
        // SAFETY: the instruction set is available.
        return unsafe { avx512(matrix, columns, first, panel) };
    }
    inner_rows_plainly(isa, matrix, columns, first, panel);
}

for_each_isa! {
    fn inner_rows_plainly(matrix: &[f32], columns: usize, first: usize, panel: &mut [Pair]) = inner_rows_body;
}

#[inline(always)]
fn inner_rows_body<const FUSED: bool>(matrix: &[f32], columns: usize, first: usize, panel: &mut [Pair]) {
    inner_rows(matrix, (columns, first), panel, |first, second, to| {
        let rows = first.iter().zip(second);
        to.iter_mut().zip(rows).for_each(|(to, (&first, &second))| *to = Pair::of(first, second));
    });
}

#[inline(always)]
fn inner_rows(
    matrix: &[f32],
    (columns, first): (usize, usize),
    panel: &mut [Pair],
    narrow_both: impl Fn(&[f32], &[f32], &mut [Pair]),
) {
    let count = PANEL.min(columns - first);
    let row = |at: usize| &matrix[at * columns + first..][..count];
    let inner = matrix.len() / columns;
    for (at, pairs) in panel.chunks_exact_mut(PANEL).enumerate() {
        if 2 * at + 1 < inner {
            narrow_both(row(2 * at), row(2 * at + 1), &mut pairs[..count]);
        } else {
            pairs.iter_mut().zip(row(2 * at)).for_each(|(pair, &first)| *pair = Pair::of(first, 0.0));
        }
    }
}

for_each_isa! {
    /// One panel from rows that are its columns: `panel[i / 2][column] = pair(matrix[column][i], matrix[column][i + 1])`.
    /// `rows` holds the panel's columns, each of `inner` numbers.
    pub(super) fn panel_of_column_rows(rows: &[f32], inner: usize, panel: &mut [Pair]) = column_rows_body;
}

#[inline(always)]
fn column_rows_body<const FUSED: bool>(rows: &[f32], inner: usize, panel: &mut [Pair]) {
    let count = rows.len() / inner;
    let whole = if count == PANEL { inner / (2 * TILE) * TILE } else { 0 };
    for first_pair in (0..whole).step_by(TILE) {
        for first_column in (0..PANEL).step_by(TILE) {
            let mut words = [[Pair(0); TILE]; TILE];
            for (column, words) in words.iter_mut().enumerate() {
                let from = (first_column + column) * inner + 2 * first_pair;
                let (numbers, _) = rows[from..from + 2 * TILE].as_chunks::<2>();
                words
                    .iter_mut()
                    .zip(numbers)
                    .for_each(|(word, numbers)| *word = Pair::of(numbers[0], numbers[1]));
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
            panel[at * PANEL + column] = Pair::of(row[2 * at], second);
        }
    }
}

/// One panel of a transpose. `panels` are those of the matrix, whose inner dimension is `inner` long; its stretch from
/// `first` on becomes the columns of `panel`, which is zero where they end.
pub(super) fn panel_of_panels(panels: &[Pair], inner: usize, first: usize, panel: &mut [Pair]) {
    let (pairs, first) = (inner.div_ceil(2), first / 2);
    let length = (PANEL / 2).min(pairs - first) * PANEL;
    for (block, to) in panel.chunks_mut(PANEL / 2 * PANEL).enumerate() {
        let from = &panels[(block * pairs + first) * PANEL..][..length];
        for (at, from) in from.chunks_exact(PANEL).enumerate() {
            for (to, [even, odd]) in to.chunks_exact_mut(PANEL).zip(from.as_chunks::<2>().0) {
                to[2 * at] = Pair(even.0 & 0xffff | odd.0 << 16);
                to[2 * at + 1] = Pair(even.0 >> 16 | odd.0 & 0xffff_0000);
            }
        }
    }
}
