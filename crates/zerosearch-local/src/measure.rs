//! What this machine reaches: its dot products, its memory, and single matrix products as training computes them.

use std::hint::black_box;
use std::time::Instant;

use crate::kernels::{Arithmetic, Isa, Operand, Panels, Product, Threads, dot_products, multiply, read};
use crate::options::PolicyOptions;

/// Bytes that a reading of memory covers: far more than caches hold.
const READ: usize = 1 << 30;
/// Pieces that work is cut into for each thread.
const PIECES: usize = 8;

/// Operations in a second, of all threads, when nothing but multiplications and additions in registers is done: the best of
/// ten times.
pub fn peak(threads: &Threads, isa: Isa, arithmetic: Arithmetic) -> f64 {
    let pieces = PIECES * threads.count();
    let operations = dot_products(isa, arithmetic) * pieces as f64;
    let seconds = best_of_ten(|| {
        threads.each(pieces, &|_| {
            dot_products(isa, arithmetic);
        });
    });
    operations / seconds
}

/// Bytes in a second that all threads read from memory: the best of ten readings of 1 GiB.
pub fn read_bandwidth(threads: &Threads, isa: Isa) -> f64 {
    let words: Vec<u64> = (0..READ as u64 / 8).collect();
    let piece = words.len().div_ceil(PIECES * threads.count());
    let seconds = best_of_ten(|| {
        threads.each(words.len().div_ceil(piece), &|index| {
            let mut sum = 0;
            read(isa, &words[index * piece..words.len().min((index + 1) * piece)], &mut sum);
            black_box(sum);
        });
    });
    READ as f64 / seconds
}

fn best_of_ten(work: impl Fn()) -> f64 {
    let seconds = || {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64()
    };
    (0..10).map(|_| seconds()).fold(f64::INFINITY, f64::min)
}

/// Which of a linear layer's three products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// `y = x W^T`
    Forward,
    /// `dW = dy^T x`
    WeightGradient,
    /// `dx = dy W`
    InputGradient,
}

impl Pass {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Forward, Self::WeightGradient, Self::InputGradient];

    /// What figures call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::WeightGradient => "weight_gradient",
            Self::InputGradient => "input_gradient",
        }
    }
}

/// One of a layer's products with made-up numbers, to be computed again and again.
pub struct MatrixProduct {
    options: PolicyOptions,
    pass: Pass,
    /// `x`, or `dy` backwards, and its width.
    values: (Vec<f32>, usize),
    /// `x` for the gradient of the weights; else `W`, which is laid out once.
    other: (Vec<f32>, usize),
    panels: Panels,
    out: Vec<f32>,
}

impl MatrixProduct {
    /// Of a layer that makes `outer` numbers of `inner` in each of `rows` rows.
    pub fn new(options: PolicyOptions, [rows, inner, outer]: [usize; 3], pass: Pass) -> Self {
        let (values, other, out) = match pass {
            Pass::Forward => ((rows, inner), (outer, inner), rows * outer),
            Pass::WeightGradient => ((rows, outer), (rows, inner), outer * inner),
            Pass::InputGradient => ((rows, outer), (outer, inner), rows * inner),
        };
        let numbers = |(height, width): (usize, usize)| (made_up(height * width), width);
        let (values, other) = (numbers(values), numbers(other));
        let panels = panels(&options, pass, &other);
        Self { options, pass, values, other, panels, out: vec![0.0; out] }
    }

    /// Computes it as training does: weights are laid out already, activations and gradients are laid out now.
    pub fn compute(&mut self) {
        match self.pass {
            Pass::Forward | Pass::InputGradient => self.multiply(),
            Pass::WeightGradient => self.compute_with_weights(),
        }
    }

    /// Computes it with both factors laid out now.
    pub fn compute_with_weights(&mut self) {
        self.panels = panels(&self.options, self.pass, &self.other);
        self.multiply();
    }

    fn multiply(&mut self) {
        let Self { options, pass, values: (values, width), panels, out, .. } = self;
        let operand = match pass {
            Pass::WeightGradient => Operand::transposed(values, *width),
            Pass::Forward | Pass::InputGradient => Operand::new(values, *width),
        };
        let product = Product { operand, panels, out, accumulate: false, additions: Vec::new() };
        multiply(options.isa, &options.threads, product);
        black_box(&self.out);
    }
}

fn panels(options: &PolicyOptions, pass: Pass, (values, width): &(Vec<f32>, usize)) -> Panels {
    let kernels = (options.isa, &*options.threads);
    match pass {
        Pass::Forward => Panels::of_rows(options.arithmetic, values, *width, kernels),
        Pass::WeightGradient | Pass::InputGradient => {
            Panels::of_columns(options.arithmetic, values, *width, kernels)
        }
    }
}

/// Numbers between -1 and 1 without a pattern that a machine could use.
fn made_up(count: usize) -> Vec<f32> {
    let number = |at: usize| (at as u32).wrapping_mul(2_654_435_761) as i32 as f32 / 2_f32.powi(31);
    (0..count).map(number).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// The products of the definitions, summed in f64.
    #[test]
    fn the_three_products_are_those_of_a_linear_layer() {
        let [rows, inner, outer] = [5, 6, 7];
        let threads = Arc::new(Threads::new(2));
        for pass in Pass::ALL {
            let options =
                PolicyOptions { arithmetic: Arithmetic::F32, ..PolicyOptions::new(Arc::clone(&threads)) };
            let mut product = MatrixProduct::new(options, [rows, inner, outer], pass);
            product.compute();
            let (left, right) = (&product.values.0, &product.other.0);
            let expected = |at: usize| -> f64 {
                let pair = |left: f32, right: f32| f64::from(left) * f64::from(right);
                match pass {
                    Pass::Forward => {
                        let (row, column) = (at / outer, at % outer);
                        (0..inner).map(|i| pair(left[row * inner + i], right[column * inner + i])).sum()
                    }
                    Pass::WeightGradient => {
                        let (row, column) = (at / inner, at % inner);
                        (0..rows).map(|i| pair(left[i * outer + row], right[i * inner + column])).sum()
                    }
                    Pass::InputGradient => {
                        let (row, column) = (at / inner, at % inner);
                        (0..outer).map(|i| pair(left[row * outer + i], right[i * inner + column])).sum()
                    }
                }
            };
            for (at, number) in product.out.iter().enumerate() {
                assert!((f64::from(*number) - expected(at)).abs() < 1e-5, "{pass:?} at {at}");
            }
        }
    }
}
