//! The two factors of a matrix product, laid out for it.
//!
//! A product is `out[row][column] = sum over i of operand[row][i] * panels[i][column]`. The operand keeps its rows; the
//! right factor is cut into panels of [`PANEL`] columns, inside which the inner dimension runs slowest. In bf16 two
//! neighbours of the inner dimension lie side by side, as bf16 dot products want them.

use bytemuck::zeroed_vec;

use super::element::{Arithmetic, Bf16, Element};
use super::threads::Threads;

/// Columns of one panel.
pub(super) const PANEL: usize = 64;

/// The left factor: activations or gradients, row by row, each row padded with a zero to an even length in bf16.
pub(crate) struct Operand {
    pub(super) numbers: OperandNumbers,
    pub(super) rows: usize,
    pub(super) inner: usize,
}

pub(super) enum OperandNumbers {
    Bf16(Vec<Bf16>),
    F32(Vec<f32>),
}

impl Operand {
    /// `values` is `[rows][inner]`.
    pub(crate) fn new(arithmetic: Arithmetic, values: &[f32], inner: usize, threads: &Threads) -> Self {
        let rows = values.len() / inner;
        let numbers = match arithmetic {
            Arithmetic::F32 => OperandNumbers::F32(values.to_vec()),
            Arithmetic::Bf16 => OperandNumbers::Bf16(narrow_rows(values, inner, threads)),
        };
        Self { numbers, rows, inner }
    }

    /// The transpose of `values`, which is `[inner][rows]`.
    pub(crate) fn transposed(arithmetic: Arithmetic, values: &[f32], rows: usize, threads: &Threads) -> Self {
        let inner = values.len() / rows;
        let numbers = match arithmetic {
            Arithmetic::F32 => OperandNumbers::F32(transpose(values, rows, inner, threads)),
            Arithmetic::Bf16 => {
                OperandNumbers::Bf16(transpose(values, rows, inner.next_multiple_of(2), threads))
            }
        };
        Self { numbers, rows, inner }
    }
}

fn narrow_rows(values: &[f32], inner: usize, threads: &Threads) -> Vec<Bf16> {
    let padded = inner.next_multiple_of(2);
    let mut numbers: Vec<Bf16> = zeroed_vec(values.len() / inner * padded);
    threads.each_chunk(&mut numbers, 16 * padded, |chunk, piece| {
        for (row, to) in piece.chunks_exact_mut(padded).enumerate() {
            let from = &values[(chunk * 16 + row) * inner..][..inner];
            to.iter_mut().zip(from).for_each(|(to, &from)| *to = Bf16::narrow(from));
        }
    });
    numbers
}

/// `[inner][rows]` to `[rows][stride]`.
fn transpose<E: Element + bytemuck::Zeroable>(
    values: &[f32],
    rows: usize,
    stride: usize,
    threads: &Threads,
) -> Vec<E> {
    const TILE: usize = 16;
    let inner = values.len() / rows;
    let mut numbers: Vec<E> = zeroed_vec(rows * stride);
    threads.each_chunk(&mut numbers, TILE * stride, |chunk, piece| {
        let first = chunk * TILE;
        let count = piece.len() / stride;
        for from in (0..inner).step_by(TILE) {
            let to = (from + TILE).min(inner);
            for row in 0..count {
                for at in from..to {
                    piece[row * stride + at] = E::narrow(values[at * rows + first + row]);
                }
            }
        }
    });
    numbers
}

/// The right factor, in panels.
pub(crate) struct Panels {
    pub(super) numbers: PanelNumbers,
    pub(super) inner: usize,
    pub(super) columns: usize,
}

pub(super) enum PanelNumbers {
    Bf16(Vec<Bf16>),
    F32(Vec<f32>),
}

/// Which way a row-major matrix enters the panels.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Orientation {
    /// Rows of the matrix are columns of the panels: the product computes `operand * matrix^T`.
    RowsAreColumns,
    /// Rows of the matrix run along the inner dimension: the product computes `operand * matrix`.
    RowsAreInner,
}

impl Panels {
    /// For `operand * matrix^T`: `matrix` is `[columns][inner]`, as weights are stored.
    pub(crate) fn of_rows(arithmetic: Arithmetic, matrix: &[f32], inner: usize, threads: &Threads) -> Self {
        let shape = (inner, matrix.len() / inner);
        Self::pack(arithmetic, matrix, shape, Orientation::RowsAreColumns, threads)
    }

    /// For `operand * matrix`: `matrix` is `[inner][columns]`.
    pub(crate) fn of_columns(
        arithmetic: Arithmetic,
        matrix: &[f32],
        columns: usize,
        threads: &Threads,
    ) -> Self {
        let shape = (matrix.len() / columns, columns);
        Self::pack(arithmetic, matrix, shape, Orientation::RowsAreInner, threads)
    }

    fn pack(
        arithmetic: Arithmetic,
        matrix: &[f32],
        (inner, columns): (usize, usize),
        orientation: Orientation,
        threads: &Threads,
    ) -> Self {
        let value = |at: usize, column: usize| match orientation {
            Orientation::RowsAreColumns => matrix[column * inner + at],
            Orientation::RowsAreInner => matrix[at * columns + column],
        };
        let numbers = match arithmetic {
            Arithmetic::F32 => PanelNumbers::F32(fill(inner, columns, 1, threads, value)),
            Arithmetic::Bf16 => PanelNumbers::Bf16(fill(inner, columns, 2, threads, value)),
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
            PanelNumbers::Bf16(numbers) => numbers.len() * 2,
            PanelNumbers::F32(numbers) => numbers.len() * 4,
        }
    }

    /// Copies one column (for panels made by [`Panels::of_rows`]: one row of the matrix) into `out`.
    pub(crate) fn column(&self, column: usize, out: &mut [f32]) {
        match &self.numbers {
            PanelNumbers::Bf16(numbers) => copy_column(numbers, 2, self.inner, column, out),
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

fn fill<E: Element + bytemuck::Zeroable>(
    inner: usize,
    columns: usize,
    group: usize,
    threads: &Threads,
    value: impl Fn(usize, usize) -> f32 + Sync,
) -> Vec<E> {
    let padded = inner.next_multiple_of(group);
    let mut numbers: Vec<E> = zeroed_vec(columns.div_ceil(PANEL) * PANEL * padded);
    threads.each_chunk(&mut numbers, PANEL * padded, |panel, piece| {
        let first = panel * PANEL;
        let count = PANEL.min(columns - first);
        // Tiles keep both the matrix's and the panel's cache lines in use, whichever way the matrix runs.
        for from in (0..inner).step_by(32) {
            for column in 0..count {
                for at in from..(from + 32).min(inner) {
                    piece[position(at, column, padded, group)] = E::narrow(value(at, first + column));
                }
            }
        }
    });
    numbers
}

fn copy_column<E: Element>(numbers: &[E], group: usize, inner: usize, column: usize, out: &mut [f32]) {
    let padded = inner.next_multiple_of(group);
    for (at, out) in out.iter_mut().enumerate() {
        *out = numbers[position(at, column, padded, group)].widen();
    }
}
