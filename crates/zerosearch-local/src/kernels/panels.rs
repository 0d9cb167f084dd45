//! The right factor of a matrix product, laid out for it.
//!
//! It is cut into panels of [`PANEL`] columns, inside which the inner dimension runs slowest. In bf16 two neighbours of the
//! inner dimension lie side by side, as bf16 dot products want them.

use super::element::{Arithmetic, Bf16, Element};
use super::isa::Isa;
use super::pack::{panel_of_column_rows, panel_of_inner_rows, panel_of_panels};
use super::pair::Pair;
use super::threads::Threads;
use super::workspace::Buffer;

/// Columns of one panel.
pub(super) const PANEL: usize = 64;

/// bf16 numbers, two in a word.
pub(super) struct Pairs(Buffer);

impl Pairs {
    fn take(numbers: usize, threads: &Threads) -> Self {
        Self(threads.workspace().take(numbers.div_ceil(2)))
    }

    pub(super) fn pairs(&self) -> &[Pair] {
        self.0.numbers()
    }

    pub(super) fn numbers(&self) -> &[Bf16] {
        self.0.numbers()
    }
}

/// The right factor, in panels.
pub(crate) struct Panels {
    pub(super) numbers: PanelNumbers,
    pub(super) inner: usize,
    pub(super) columns: usize,
}

pub(super) enum PanelNumbers {
    Bf16(Pairs),
    F32(Buffer),
}

impl Panels {
    /// Whether products with it are made of bf16 dot products.
    pub(super) fn have_dot_products(&self, isa: Isa) -> bool {
        isa == Isa::Avx512Bf16 && matches!(self.numbers, PanelNumbers::Bf16(_))
    }

    /// For `operand * matrix^T`: `matrix` is `[columns][inner]`, as weights are stored.
    pub(crate) fn of_rows(
        arithmetic: Arithmetic,
        matrix: &[f32],
        inner: usize,
        kernels: (Isa, &Threads),
    ) -> Self {
        let columns = matrix.len() / inner;
        let (isa, threads) = kernels;
        let numbers = match arithmetic {
            Arithmetic::F32 => {
                PanelNumbers::F32(fill(inner, columns, threads, |at, column| matrix[column * inner + at]))
            }
            Arithmetic::Bf16 => PanelNumbers::Bf16(fill_pairs(inner, columns, threads, |first, panel| {
                let last = (first + PANEL).min(columns);
                panel_of_column_rows(isa, &matrix[first * inner..last * inner], inner, panel);
            })),
        };
        Self { numbers, inner, columns }
    }

    /// For `operand * matrix`: `matrix` is `[inner][columns]`.
    pub(crate) fn of_columns(
        arithmetic: Arithmetic,
        matrix: &[f32],
        columns: usize,
        kernels: (Isa, &Threads),
    ) -> Self {
        let inner = matrix.len() / columns;
        let numbers = match arithmetic {
            Arithmetic::F32 => {
                PanelNumbers::F32(fill(inner, columns, kernels.1, |at, column| matrix[at * columns + column]))
            }
            Arithmetic::Bf16 => PanelNumbers::Bf16(pairs_of_columns(matrix, columns, kernels)),
        };
        Self { numbers, inner, columns }
    }

    /// The transpose, with the very same numbers: what multiplies by `matrix^T` becomes what multiplies by `matrix`.
    pub(crate) fn transposed(&self, threads: &Threads) -> Self {
        let (inner, columns) = (self.columns, self.inner);
        let numbers = match &self.numbers {
            PanelNumbers::F32(numbers) => PanelNumbers::F32(fill(inner, columns, threads, |at, column| {
                numbers[position(column, at, self.inner, 1)]
            })),
            PanelNumbers::Bf16(pairs) => {
                PanelNumbers::Bf16(fill_pairs(inner, columns, threads, |first, panel| {
                    panel_of_panels(pairs.pairs(), self.inner, first, panel);
                }))
            }
        };
        Self { numbers, inner, columns }
    }

    /// Columns of the right factor.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// Length of the inner dimension.
    pub(crate) fn inner(&self) -> usize {
        self.inner
    }

    /// Bytes that the numbers take.
    pub(crate) fn bytes(&self) -> usize {
        match &self.numbers {
            PanelNumbers::Bf16(pairs) => pairs.0.len() * 4,
            PanelNumbers::F32(numbers) => numbers.len() * 4,
        }
    }

    /// Copies one column (for panels made by [`Panels::of_rows`]: one row of the matrix) into `out`.
    pub(crate) fn column(&self, column: usize, out: &mut [f32]) {
        match &self.numbers {
            PanelNumbers::Bf16(pairs) => copy_column(pairs.numbers(), 2, self.inner, column, out),
            PanelNumbers::F32(numbers) => copy_column(numbers, 1, self.inner, column, out),
        }
    }
}

/// Where a number lies: `group` neighbours of the inner dimension side by side.
#[inline(always)]
fn position(at: usize, column: usize, padded: usize, group: usize) -> usize {
    let panel = column / PANEL * (padded * PANEL);
    panel + (at / group) * (PANEL * group) + column % PANEL * group + at % group
}

fn fill(
    inner: usize,
    columns: usize,
    threads: &Threads,
    value: impl Fn(usize, usize) -> f32 + Sync,
) -> Buffer {
    let mut numbers = threads.workspace().zeroed(columns.div_ceil(PANEL) * PANEL * inner);
    threads.each_chunk(&mut numbers, PANEL * inner, |panel, piece| {
        let first = panel * PANEL;
        for column in 0..PANEL.min(columns - first) {
            for at in 0..inner {
                piece[at * PANEL + column] = value(at, first + column);
            }
        }
    });
    numbers
}

/// `values` is `[inner][columns]`.
fn pairs_of_columns(values: &[f32], columns: usize, (isa, threads): (Isa, &Threads)) -> Pairs {
    fill_pairs(values.len() / columns, columns, threads, |first, panel| {
        panel_of_inner_rows(isa, values, columns, first, panel);
    })
}

/// Fills each panel's pairs by a call with its first column.
fn fill_pairs(
    inner: usize,
    columns: usize,
    threads: &Threads,
    panel: impl Fn(usize, &mut [Pair]) + Sync,
) -> Pairs {
    let padded = inner.next_multiple_of(2);
    let mut pairs = Pairs::take(columns.next_multiple_of(PANEL) * padded, threads);
    threads.each_chunk(pairs.0.numbers_mut(), PANEL * padded / 2, |index, piece| {
        if (index + 1) * PANEL > columns {
            piece.fill(Pair(0));
        }
        panel(index * PANEL, piece);
    });
    pairs
}

fn copy_column<E: Element>(numbers: &[E], group: usize, inner: usize, column: usize, out: &mut [f32]) {
    let padded = inner.next_multiple_of(group);
    for (at, out) in out.iter_mut().enumerate() {
        *out = numbers[position(at, column, padded, group)].widen();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Odd sizes, whole panels and both: what was laid out the other way from the start is the independent computation.
    #[test]
    fn a_transpose_is_the_other_layout_of_the_same_matrix() {
        let threads = Threads::new(2);
        for (inner, columns) in [(1, 1), (2, 3), (64, 64), (65, 130), (128, 64), (37, 191), (576, 70)] {
            let matrix: Vec<f32> = (0..inner * columns).map(|at| (at as f32 * 0.37).sin()).collect();
            for arithmetic in [Arithmetic::Bf16, Arithmetic::F32] {
                let kernels = (Isa::detect(), &threads);
                let transposed = Panels::of_rows(arithmetic, &matrix, inner, kernels).transposed(&threads);
                let expected = Panels::of_columns(arithmetic, &matrix, inner, kernels);
                assert_eq!((transposed.inner, transposed.columns), (expected.inner, expected.columns));
                let same = match (&transposed.numbers, &expected.numbers) {
                    (PanelNumbers::Bf16(got), PanelNumbers::Bf16(expected)) => {
                        got.pairs() == expected.pairs()
                    }
                    (PanelNumbers::F32(got), PanelNumbers::F32(expected)) => got[..] == expected[..],
                    _ => false,
                };
                assert!(same, "{inner} x {columns} in {arithmetic}");
            }
        }
    }
}
