//! A projection: a matrix of the network, and the low-rank factors that an adapter adds to it.
//!
//! ```text
//! y = x W^T + scale * (x A^T) B^T
//! ```
//!
//! `W` is `[outputs][inputs]`, `A` is `[rank][inputs]`, `B` is `[outputs][rank]` (LoRA, arXiv 2106.09685). Where several
//! projections are computed as one (queries, keys and values; gates and ups), their `A`s stand one below the other, and
//! the common `B` holds each one's in its own rows and columns and zeros elsewhere.

use std::ops::Range;
use std::sync::Arc;

use super::Machine;
use super::layout::{Factors, ProjectionLayout};
use crate::kernels::{Addition, Buffer, Panels};

/// A matrix, frozen, and what is added to it. Versions of an adapter share the matrix.
#[derive(Clone)]
pub(super) struct Projection {
    pub(super) matrix: Arc<Panels>,
    low_rank: Option<Arc<LowRank>>,
}

struct LowRank {
    a: Panels,
    /// Times the scale.
    b: Panels,
    /// Where `b` holds more than zeros.
    stretches: Vec<Range<usize>>,
    scale: f32,
}

impl Projection {
    /// A matrix without an adapter.
    pub(super) fn new(matrix: Panels) -> Self {
        Self { matrix: Arc::new(matrix), low_rank: None }
    }

    /// The same matrix with the factors that lie in `weights`, if any do.
    pub(super) fn adapted(
        &self,
        machine: &Machine,
        place: &ProjectionLayout,
        (weights, scale): (&[f32], f32),
    ) -> Self {
        let low_rank = (!place.factors.is_empty()).then(|| {
            let (kernels, outputs) = (machine.kernels(), self.matrix.columns());
            let rows = |rows, inner| Panels::of_rows(machine.arithmetic, rows, inner, kernels);
            let ranks = ranks(&place.factors, self.matrix.inner());
            let stretches = Addition::stretches(outputs, &blocks_of_b(&place.factors));
            let mut b = machine.zeroed(outputs * ranks);
            for_each_row_of_b(&place.factors, ranks, |inside, common| {
                let from = &weights[inside];
                b[common].iter_mut().zip(from).for_each(|(b, from)| *b = scale * from);
            });
            let a = rows(&weights[span_of_a(&place.factors)], self.matrix.inner());
            Arc::new(LowRank { a, b: rows(&b, ranks), stretches, scale })
        });
        Self { matrix: Arc::clone(&self.matrix), low_rank }
    }

    /// Puts `y` for each row of `values` into `out`, or adds it to what that holds. `versions` are projections with the same matrix, and
    /// the rows to which each adds. Returns what lies between the factors, where there is one version.
    pub(super) fn multiply(
        &self,
        machine: &Machine,
        versions: &[(Range<usize>, &Self)],
        values: &[f32],
        out: (&mut [f32], bool),
    ) -> Between {
        let room = |rows: &Range<usize>, it: &LowRank| machine.keep(rows.len() * it.a.columns());
        let mut betweens: Vec<Between> =
            versions.iter().map(|(rows, it)| Some(room(rows, it.low_rank.as_deref()?))).collect();
        let additions = versions.iter().zip(&mut betweens).filter_map(|((rows, it), between)| {
            let LowRank { a, b, stretches, .. } = it.low_rank.as_deref()?;
            Some(Addition { rows: rows.clone(), a, b, stretches, between: between.as_deref_mut()? })
        });
        machine.multiply((values, &self.matrix), additions.collect(), out);
        if versions.len() == 1 { betweens.pop().flatten() } else { None }
    }

    /// Lays it out for the way back. That is done where it is needed: it takes little beside the products, and keeping
    /// it would take as much memory as the model.
    pub(super) fn turned(&self, machine: &Machine) -> Turned<'_> {
        let turn = |panels: &Panels| panels.transposed(&machine.threads);
        let low_rank =
            self.low_rank.as_deref().map(|it| TurnedLowRank { it, a: turn(&it.a), b: turn(&it.b) });
        Turned { matrix: turn(&self.matrix), low_rank }
    }

    /// Bytes of the packed matrix, and of what an adapter adds.
    pub(super) fn bytes(&self) -> usize {
        let low_rank = self.low_rank.as_deref();
        self.matrix.bytes() + low_rank.map_or(0, |it| it.a.bytes() + it.b.bytes())
    }
}

/// A projection that gradients flow back through.
pub(super) struct Turned<'a> {
    matrix: Panels,
    low_rank: Option<TurnedLowRank<'a>>,
}

struct TurnedLowRank<'a> {
    it: &'a LowRank,
    a: Panels,
    b: Panels,
}

/// What lies between an adapter's factors, `x A^T`, where there is an adapter.
pub(super) type Between = Option<Buffer>;

/// The gradient of a projection's input.
pub(super) struct InputGradient {
    pub(super) numbers: Buffer,
    /// That of what lies between the factors, `scale * dy B`.
    between: Between,
}

impl Turned<'_> {
    /// `dx = dy W + scale * (dy B) A`
    pub(super) fn input_gradient(&self, machine: &Machine, out_gradient: &[f32]) -> InputGradient {
        let rows = out_gradient.len() / self.matrix.inner();
        let mut between = self.low_rank.as_ref().map(|it| machine.take(rows * it.b.columns()));
        let addition = self.low_rank.as_ref().zip(between.as_deref_mut()).map(|(it, between)| {
            // The way back goes through the factors in the other order.
            Addition { rows: 0..rows, a: &it.b, b: &it.a, stretches: &[], between }
        });
        let mut numbers = machine.take(rows * self.matrix.columns());
        let additions = addition.into_iter().collect();
        machine.multiply((out_gradient, &self.matrix), additions, (&mut numbers, false));
        InputGradient { numbers, between }
    }

    /// Adds to the gradients of whatever has a place, from `dy` and what it became: `dW += dy^T x`,
    /// `dA += scale * (dy B)^T x`, `dB += scale * dy^T (x A^T)`; of the way there, `x` and `x A^T`.
    pub(super) fn add_gradients(
        &self,
        machine: &Machine,
        (out_gradient, back): (&[f32], &InputGradient),
        (input, between): (&[f32], &Between),
        (place, gradients): (&ProjectionLayout, &mut [f32]),
    ) {
        let (outputs, inputs) = (self.matrix.inner(), self.matrix.columns());
        if !place.matrix.is_empty() {
            machine.add_weight_gradient(out_gradient, input, inputs, &mut gradients[place.matrix.clone()]);
        }
        let Some(TurnedLowRank { it, .. }) = &self.low_rank else { return };
        let (Some(between), Some(between_gradient)) = (between, &back.between) else { return };
        machine.add_weight_gradient(
            between_gradient,
            input,
            inputs,
            &mut gradients[span_of_a(&place.factors)],
        );
        let ranks = ranks(&place.factors, inputs);
        let mut gradient = machine.zeroed(outputs * ranks);
        machine.add_weight_gradient(out_gradient, between, ranks, &mut gradient);
        for_each_row_of_b(&place.factors, ranks, |inside, common| {
            let to = &mut gradients[inside];
            to.iter_mut().zip(&gradient[common]).for_each(|(to, from)| *to += it.scale * from);
        });
    }
}

/// Where all `A`s lie together.
fn span_of_a(factors: &[Factors]) -> Range<usize> {
    match (factors.first(), factors.last()) {
        (Some(first), Some(last)) => first.a.start..last.a.end,
        _ => 0..0,
    }
}

/// The ranks of all factors together.
fn ranks(factors: &[Factors], inputs: usize) -> usize {
    span_of_a(factors).len() / inputs
}

/// Which outputs each `B` makes, and of which ranks.
fn blocks_of_b(factors: &[Factors]) -> Vec<(Range<usize>, Range<usize>)> {
    let mut ranks = 0;
    let block = |Factors { b, outputs, .. }: &Factors| {
        let from = ranks;
        ranks += b.len() / outputs.len();
        (outputs.clone(), from..ranks)
    };
    factors.iter().map(block).collect()
}

/// Calls `row` with the place of each row of each `B` in the flat vector, and in the common `B`.
fn for_each_row_of_b(factors: &[Factors], ranks: usize, mut row: impl FnMut(Range<usize>, Range<usize>)) {
    for (Factors { b, .. }, (outputs, columns)) in factors.iter().zip(blocks_of_b(factors)) {
        for (at, output) in outputs.enumerate() {
            let (inside, common) = (b.start + at * columns.len(), output * ranks);
            row(inside..inside + columns.len(), common + columns.start..common + columns.end);
        }
    }
}
