//! What computes: an instruction set, an arithmetic and a pool of threads.

use std::ops::Range;
use std::sync::Arc;

use crate::kernels::{Addition, Arithmetic, Buffer, Isa, Operand, Panels, Product, Threads, multiply};

/// The means of computing that all versions of a model share.
#[derive(Clone)]
pub(crate) struct Machine {
    pub(crate) isa: Isa,
    pub(crate) arithmetic: Arithmetic,
    pub(crate) threads: Arc<Threads>,
}

impl Machine {
    /// What kernels are called with.
    pub(crate) fn kernels(&self) -> (Isa, &Threads) {
        (self.isa, &self.threads)
    }

    /// Room for `length` numbers, which are yet to be written.
    pub(super) fn take(&self, length: usize) -> Buffer {
        self.threads.workspace().take(length)
    }

    /// Room for `length` zeros.
    pub(super) fn zeroed(&self, length: usize) -> Buffer {
        self.threads.workspace().zeroed(length)
    }

    /// As [`Machine::take`], for what a layer leaves for its backward pass.
    pub(super) fn keep(&self, length: usize) -> Buffer {
        self.threads.kept().take(length)
    }

    /// As [`Machine::keep`], with the same numbers.
    pub(super) fn keep_copy(&self, numbers: &[f32]) -> Buffer {
        self.threads.kept().copy_of(numbers)
    }

    /// Some columns of every row (`[rows][width]`), end to end.
    pub(super) fn gather(&self, rows: &[f32], width: usize, columns: Range<usize>) -> Buffer {
        let mut out = self.take(rows.len() / width * columns.len());
        for (row, out) in rows.chunks_exact(width).zip(out.chunks_exact_mut(columns.len())) {
            out.copy_from_slice(&row[columns.clone()]);
        }
        out
    }

    /// The product of values and panels with what is added to it: put into `out`, or added to what that holds.
    pub(super) fn multiply(
        &self,
        (values, panels): (&[f32], &Panels),
        additions: Vec<Addition<'_>>,
        (out, accumulate): (&mut [f32], bool),
    ) {
        let operand = Operand::new(values, panels.inner());
        multiply(self.isa, &self.threads, Product { operand, panels, out, accumulate, additions });
    }

    /// `into += out_gradient^T * input`: the gradient of a matrix (`[outputs][inputs]`) that made `outputs` numbers from
    /// each row of `input`.
    pub(super) fn add_weight_gradient(
        &self,
        out_gradient: &[f32],
        input: &[f32],
        inputs: usize,
        into: &mut [f32],
    ) {
        let outputs = into.len() / inputs;
        let operand = Operand::transposed(out_gradient, outputs);
        let panels = Panels::of_columns(self.arithmetic, input, inputs, self.kernels());
        let product =
            Product { operand, panels: &panels, out: into, accumulate: true, additions: Vec::new() };
        multiply(self.isa, &self.threads, product);
    }

    /// Names what decides the bits of every result.
    pub(crate) fn numeric_path(&self) -> String {
        format!("local/{}/{}", self.arithmetic, self.isa)
    }
}
