//! Rounding to bf16 and laying out in pairs, fast: what every factor of a bf16 product goes through.
//!
//! A pair is two neighbours of the inner dimension in one 32-bit word, the first in its lower half.

use super::element::{Bf16, Element};
use super::isa::for_each_isa;
use super::panels::PANEL;

/// Words that are turned over together.
const TILE: usize = 16;

#[inline(always)]
fn pair(first: f32, second: f32) -> u32 {
    u32::from(Bf16::narrow(first).0) | (u32::from(Bf16::narrow(second).0) << 16)
}

for_each_isa! {
    /// Rounds whole rows of even length.
    pub(super) fn narrow_all(from: &[f32], to: &mut [Bf16]) = narrow_all_body;
}

#[inline(always)]
fn narrow_all_body<const FUSED: bool>(from: &[f32], to: &mut [Bf16]) {
    to.iter_mut().zip(from).for_each(|(to, &from)| *to = Bf16::narrow(from));
}

for_each_isa! {
    /// One panel from rows that run along the inner dimension: `panel[i / 2][column] = pair(matrix[i][first + column], ..)`.
    /// `matrix` has rows of `columns` numbers; `panel` is zero where the matrix ends.
    pub(super) fn panel_of_inner_rows(matrix: &[f32], columns: usize, first: usize, panel: &mut [u32]) = inner_rows_body;
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

for_each_isa! {
    /// Some columns of `values` (`[inner][columns]`), each as a row of pairs: `to[c][i / 2] = pair(values[i][first + c], ..)`.
    pub(super) fn turn_columns(values: &[f32], columns: usize, first: usize, to: &mut [u32]) = turn_columns_body;
}

#[inline(always)]
fn turn_columns_body<const FUSED: bool>(values: &[f32], columns: usize, first: usize, to: &mut [u32]) {
    let inner = values.len() / columns;
    let stride = inner.div_ceil(2);
    let count = to.len() / stride;
    let whole = if count == TILE { inner / (2 * TILE) * TILE } else { 0 };
    for first_pair in (0..whole).step_by(TILE) {
        let mut words = [[0_u32; TILE]; TILE];
        for (at, words) in words.iter_mut().enumerate() {
            let upper = &values[2 * (first_pair + at) * columns + first..][..TILE];
            let lower = &values[(2 * (first_pair + at) + 1) * columns + first..][..TILE];
            for ((word, &upper), &lower) in words.iter_mut().zip(upper).zip(lower) {
                *word = pair(upper, lower);
            }
        }
        for column in 0..TILE {
            let to = &mut to[column * stride + first_pair..][..TILE];
            to.iter_mut().zip(&words).for_each(|(to, words)| *to = words[column]);
        }
    }
    for column in 0..count {
        for at in whole..stride {
            let number = |i: usize| if i < inner { values[i * columns + first + column] } else { 0.0 };
            to[column * stride + at] = pair(number(2 * at), number(2 * at + 1));
        }
    }
}
