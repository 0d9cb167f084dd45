//! The left factor of a matrix product, and how its rows are laid out, some at a time, for it.
//!
//! In bf16 two neighbours of the inner dimension lie side by side, as bf16 dot products want them.

use std::ops::Range;

use super::isa::Isa;
use super::pack::{narrow_row, panel_of_inner_rows};
use super::pair::Pair;
use super::panels::PANEL;
use super::threads::Threads;
use super::workspace::Buffer;

/// Rows that are laid out together: where the factor is transposed, they lie as a panel would.
pub(super) const BLOCK: usize = PANEL;
/// Rows that one item of work lays out, where each is laid out by itself.
const ROWS: usize = 16;

/// The left factor: activations or gradients.
#[derive(Clone, Copy)]
pub(crate) struct Operand<'a> {
    values: &'a [f32],
    pub(super) rows: usize,
    pub(super) inner: usize,
    transposed: bool,
}

/// How far it is to the next row and to the next pair (f32: number) of the inner dimension, in pairs (numbers).
#[derive(Clone, Copy)]
pub(super) struct Steps {
    pub(super) row: usize,
    pub(super) inner: usize,
}

impl<'a> Operand<'a> {
    /// `values` is `[rows][inner]`.
    pub(crate) fn new(values: &'a [f32], inner: usize) -> Self {
        Self { values, rows: values.len() / inner, inner, transposed: false }
    }

    /// The transpose of `values`, which is `[inner][rows]`.
    pub(crate) fn transposed(values: &'a [f32], rows: usize) -> Self {
        Self { values, rows, inner: values.len() / rows, transposed: true }
    }

    /// Some of its rows. Panics when it is transposed.
    pub(super) fn part(&self, rows: &Range<usize>) -> Self {
        assert!(!self.transposed, "rows of a transposed factor do not lie together");
        let values = &self.values[rows.start * self.inner..rows.end * self.inner];
        Self { values, rows: rows.len(), ..*self }
    }

    /// The numbers from a row and a place of the inner dimension on, as they are.
    pub(super) fn plain(&self, row: usize, at: usize) -> (&'a [f32], Steps) {
        let steps = if self.transposed {
            Steps { row: 1, inner: self.rows }
        } else {
            Steps { row: self.inner, inner: 1 }
        };
        (&self.values[row * steps.row + at * steps.inner..], steps)
    }

    /// How rows lie that are laid out over `inner` numbers of the inner dimension, and where the one that is `row` rows after the
    /// first of its block does.
    pub(super) fn laid_out(&self, row: usize, inner: usize) -> (usize, Steps) {
        let pairs = inner.div_ceil(2);
        if self.transposed {
            (row / BLOCK * BLOCK * pairs + row % BLOCK, Steps { row: 1, inner: PANEL })
        } else {
            (row * pairs, Steps { row: pairs, inner: 1 })
        }
    }

    /// Lays out the rows from `first` on, as many as there is room for and at most a block, over a stretch of the inner
    /// dimension that starts at an even place. The last pair of a stretch of odd length ends with a zero.
    pub(super) fn lay_out(&self, isa: Isa, first: usize, inner: Range<usize>, to: &mut [Pair]) {
        if self.transposed {
            let values = &self.values[inner.start * self.rows..inner.end * self.rows];
            return panel_of_inner_rows(isa, values, self.rows, first, to);
        }
        let rows = self.values[first * self.inner..].chunks_exact(self.inner);
        let to = to.chunks_exact_mut(inner.len().div_ceil(2));
        rows.zip(to).for_each(|(row, to)| narrow_row(isa, &row[inner.clone()], to));
    }

    /// Lays out all rows from `first` on, which starts a block.
    pub(super) fn lay_out_from(&self, first: usize, (isa, threads): (Isa, &Threads)) -> Buffer {
        let pairs = self.inner.div_ceil(2);
        let (rows, together) = match self.rows - first {
            rows if self.transposed => (rows.next_multiple_of(BLOCK), BLOCK),
            rows => (rows, ROWS),
        };
        let mut laid_out = threads.workspace().take(rows * pairs);
        threads.each_chunk(laid_out.numbers_mut(), together * pairs, |index, to| {
            self.lay_out(isa, first + index * together, 0..self.inner, to);
        });
        laid_out
    }
}
