//! What computes: an instruction set, an arithmetic and a pool of threads.

use std::sync::Arc;

use crate::kernels::{Arithmetic, Isa, Operand, Panels, Product, Threads, multiply};

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

    /// `values * panels`, where `values` is `[rows][inner]`.
    pub(super) fn product(&self, values: &[f32], panels: &Panels) -> Vec<f32> {
        let operand = Operand::new(self.arithmetic, values, panels.inner(), self.kernels());
        let mut out = vec![0.0; values.len() / panels.inner() * panels.columns()];
        let product = Product { operand: &operand, panels, out: &mut out, accumulate: false };
        multiply(self.isa, &self.threads, product);
        out
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
        let operand = Operand::transposed(self.arithmetic, out_gradient, outputs, self.kernels());
        let panels = Panels::of_columns(self.arithmetic, input, inputs, self.kernels());
        let product = Product { operand: &operand, panels: &panels, out: into, accumulate: true };
        multiply(self.isa, &self.threads, product);
    }

    /// Names what decides the bits of every result.
    pub(crate) fn numeric_path(&self) -> String {
        format!("local/{}/{}", self.arithmetic, self.isa)
    }
}
