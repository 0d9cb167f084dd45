//! The gradient of attention for whole rows.
//!
//! With `P = softmax(Q K^T * scale)` and `O = P V`: `dV = P^T dO`, `dP = dO V^T`, `dS = P * (dP - rowsum(P * dP)) * scale`,
//! `dQ = dS K`, `dK = dS^T Q` (arXiv 2205.14135, appendix B.2). `P` is made again from the scores and the logarithms of
//! their sums. One item of work is one key head of one row, so nothing is added up across threads.

use super::attention::{AttentionRow, AttentionShape, assert_disjoint};
use super::exp::exp;
use super::isa::{Isa, for_each_isa};
use super::strip::{LANES, Strided, strip};
use super::threads::{SharedPointer, Threads};

/// Rows of the left factor that are computed together.
const ROWS: usize = 4;
/// Queries whose probabilities are held at a time.
const QUERIES: usize = 32;

/// What the forward pass left and what flows back into it. Widths: `fused` and its gradient `fused_width`, the others
/// `heads * head_width` (`log_sums`: `heads`).
pub(crate) struct AttentionGradients<'a> {
    /// Projections with turned queries and keys; keys and values rounded as attention saw them.
    pub(crate) fused: &'a [f32],
    /// Logarithm of each softmax's denominator.
    pub(crate) log_sums: &'a [f32],
    /// Gradient of `out`.
    pub(crate) out_gradient: &'a [f32],
    /// Gradient of `fused`, overwritten.
    pub(crate) fused_gradient: &'a mut [f32],
}

impl AttentionGradients<'_> {
    /// Panics unless everything has its length for the same number of tokens, and no two rows share one.
    fn assert_lengths(&self, shape: AttentionShape, rows: &[AttentionRow]) {
        let tokens = self.fused.len() / shape.fused_width();
        assert_disjoint(rows, tokens);
        assert_eq!(self.fused.len(), tokens * shape.fused_width(), "projections are not whole");
        assert_eq!(self.fused.len(), self.fused_gradient.len(), "the gradient has another size");
        assert_eq!(self.out_gradient.len(), tokens * shape.heads * shape.head_width, "out has another size");
        assert_eq!(self.log_sums.len(), tokens * shape.heads, "the logarithms have another size");
    }
}

/// Rows must start at position 0; their blocks are not used. Panics when lengths do not belong together.
pub(crate) fn attention_backward(
    (isa, threads): (Isa, &Threads),
    shape: AttentionShape,
    rows: &[AttentionRow],
    gradients: AttentionGradients<'_>,
) {
    gradients.assert_lengths(shape, rows);
    let fused_gradient = SharedPointer(gradients.fused_gradient.as_mut_ptr());
    let given = Given {
        shape,
        fused: gradients.fused,
        log_sums: gradients.log_sums,
        out_gradient: gradients.out_gradient,
    };
    threads.each(rows.len() * shape.kv_heads, &|item| {
        head_gradient(isa, &given, &rows[item / shape.kv_heads], item % shape.kv_heads, fused_gradient);
    });
}

struct Given<'a> {
    shape: AttentionShape,
    fused: &'a [f32],
    log_sums: &'a [f32],
    out_gradient: &'a [f32],
}

for_each_isa! {
    fn head_gradient(given: &Given<'_>, row: &AttentionRow, kv_head: usize, to: SharedPointer<f32>) = head_gradient_body;
}

#[inline(always)]
fn head_gradient_body<const FUSED: bool>(
    given: &Given<'_>,
    row: &AttentionRow,
    kv_head: usize,
    to: SharedPointer<f32>,
) {
    let shape = given.shape;
    let group = shape.heads / shape.kv_heads;
    let mut head = Head::new(given, row, kv_head);
    for query_head in kv_head * group..(kv_head + 1) * group {
        for from in (0..row.tokens).step_by(QUERIES) {
            let count = QUERIES.min(row.tokens - from);
            head.load_queries(given, row, query_head, (from, count));
            head.probabilities::<FUSED>(from, count);
            let query_gradient = head.query_gradient::<FUSED>(from, count);
            head.add_key_value_gradients::<FUSED>(from, count);
            for (index, gradient) in query_gradient.chunks_exact(head.padded).enumerate() {
                let at =
                    (row.first_token + from + index) * shape.fused_width() + query_head * shape.head_width;
                write(to, at, &gradient[..shape.head_width]);
            }
        }
    }
    for token in 0..row.tokens {
        let start = (row.first_token + token) * shape.fused_width();
        let [keys, values] = [shape.heads + kv_head, shape.heads + shape.kv_heads + kv_head];
        let stretch = token * head.padded..token * head.padded + shape.head_width;
        write(to, start + keys * shape.head_width, &head.key_gradient[stretch.clone()]);
        write(to, start + values * shape.head_width, &head.value_gradient[stretch]);
    }
}

#[inline(always)]
fn write(to: SharedPointer<f32>, at: usize, numbers: &[f32]) {
    // SAFETY: inside the gradient, as its length was asserted; each head of each token is written by the one item that owns it.
    let place = unsafe { std::slice::from_raw_parts_mut(to.get().add(at), numbers.len()) };
    place.copy_from_slice(numbers);
}

/// Replaces `dP` by `dS = P * (dP - mean) * scale`, where `mean` is that of `dP` under `P`. Dividing by the sum of `P` takes out its
/// own rounding, so that `dS` sums to zero as closely as it can: what a key bias learns is that sum.
#[inline(always)]
fn softmax_backward(probability: &[f32], gradient: &mut [f32], scale: f32) {
    let (mut weights, mut products) = ([0.0_f64; LANES], [0.0_f64; LANES]);
    for (probability, gradient) in probability.chunks_exact(LANES).zip(gradient.chunks_exact(LANES)) {
        for lane in 0..LANES {
            let weight = f64::from(probability[lane]);
            weights[lane] += weight;
            products[lane] += weight * f64::from(gradient[lane]);
        }
    }
    let weight: f64 = weights.into_iter().sum();
    let mean = if weight > 0.0 { products.into_iter().sum::<f64>() / weight } else { 0.0 };
    for (gradient, &probability) in gradient.iter_mut().zip(probability) {
        *gradient = probability * (f64::from(*gradient) - mean) as f32 * scale;
    }
}

/// One key head of one row: its keys and values both ways round, and a tile of queries. Everything is padded with
/// zeros to whole vectors.
struct Head {
    width: usize,
    padded: usize,
    /// Positions, padded.
    keys: usize,
    scale: f32,
    /// `[keys][padded]`
    key: Vec<f32>,
    /// `[width][keys]`
    key_transposed: Vec<f32>,
    /// `[width][keys]`
    value_transposed: Vec<f32>,
    /// `[keys][padded]`
    key_gradient: Vec<f32>,
    /// `[keys][padded]`
    value_gradient: Vec<f32>,
    /// `[QUERIES][padded]`
    query: Vec<f32>,
    /// `[QUERIES][padded]`
    out_gradient: Vec<f32>,
    log_sums: Vec<f32>,
    /// `[QUERIES][keys]`
    probability: Vec<f32>,
    /// `[QUERIES][keys]`
    score_gradient: Vec<f32>,
}

impl Head {
    fn new(given: &Given<'_>, row: &AttentionRow, kv_head: usize) -> Self {
        let shape = given.shape;
        let width = shape.head_width;
        let padded = width.next_multiple_of(LANES);
        let keys = row.tokens.next_multiple_of(LANES);
        let mut head = Self {
            width,
            padded,
            keys,
            scale: shape.scale(),
            key: vec![0.0; keys * padded],
            key_transposed: vec![0.0; width * keys],
            value_transposed: vec![0.0; width * keys],
            key_gradient: vec![0.0; keys * padded],
            value_gradient: vec![0.0; keys * padded],
            query: vec![0.0; QUERIES * padded],
            out_gradient: vec![0.0; QUERIES * padded],
            log_sums: vec![0.0; QUERIES],
            probability: vec![0.0; QUERIES * keys],
            score_gradient: vec![0.0; QUERIES * keys],
        };
        for token in 0..row.tokens {
            let fused =
                &given.fused[(row.first_token + token) * shape.fused_width()..][..shape.fused_width()];
            let key = &fused[(shape.heads + kv_head) * width..][..width];
            let value = &fused[(shape.heads + shape.kv_heads + kv_head) * width..][..width];
            head.key[token * padded..][..width].copy_from_slice(key);
            for at in 0..width {
                head.key_transposed[at * keys + token] = key[at];
                head.value_transposed[at * keys + token] = value[at];
            }
        }
        head
    }

    fn load_queries(
        &mut self,
        given: &Given<'_>,
        row: &AttentionRow,
        query_head: usize,
        (from, count): (usize, usize),
    ) {
        let (shape, width) = (given.shape, self.width);
        for index in 0..count {
            let token = row.first_token + from + index;
            let query = &given.fused[token * shape.fused_width() + query_head * width..][..width];
            let at = (token * shape.heads + query_head) * width;
            let out_gradient = &given.out_gradient[at..at + width];
            self.query[index * self.padded..][..width].copy_from_slice(query);
            self.out_gradient[index * self.padded..][..width].copy_from_slice(out_gradient);
            self.log_sums[index] = given.log_sums[token * shape.heads + query_head];
        }
        // Rows beyond the count take part in whole tiles; zeros there add nothing.
        self.query[count * self.padded..].fill(0.0);
        self.out_gradient[count * self.padded..].fill(0.0);
    }

    /// Fills `probability` and `score_gradient` for the keys that these queries can see.
    #[inline(always)]
    fn probabilities<const FUSED: bool>(&mut self, from: usize, count: usize) {
        let visible = (from + count).next_multiple_of(LANES);
        for first in (0..count).step_by(ROWS) {
            let query = Strided { numbers: &self.query[first * self.padded..], row: self.padded, inner: 1 };
            let gradient = Strided { numbers: &self.out_gradient[first * self.padded..], ..query };
            for block in (0..visible).step_by(LANES) {
                let (mut scores, mut products) = ([[0.0; LANES]; ROWS], [[0.0; LANES]; ROWS]);
                strip::<FUSED, ROWS>(
                    &mut scores,
                    query,
                    &self.key_transposed[block..],
                    self.keys,
                    self.width,
                );
                strip::<FUSED, ROWS>(
                    &mut products,
                    gradient,
                    &self.value_transposed[block..],
                    self.keys,
                    self.width,
                );
                for r in 0..ROWS {
                    let query = first + r;
                    let at = query * self.keys + block;
                    for lane in 0..LANES {
                        let seen = query < count && block + lane <= from + query;
                        let weight = exp(scores[r][lane] * self.scale - self.log_sums[query]);
                        let weight = if seen { weight } else { 0.0 };
                        self.probability[at + lane] = weight;
                        self.score_gradient[at + lane] = products[r][lane];
                    }
                }
            }
            for query in first..first + ROWS {
                let stretch = query * self.keys..query * self.keys + visible;
                let probability = &self.probability[stretch.clone()];
                softmax_backward(probability, &mut self.score_gradient[stretch], self.scale);
            }
        }
    }

    /// `dS K`, `[QUERIES][padded]`.
    #[inline(always)]
    fn query_gradient<const FUSED: bool>(&self, from: usize, count: usize) -> Vec<f32> {
        let mut out = vec![0.0; count.next_multiple_of(ROWS) * self.padded];
        for first in (0..count).step_by(ROWS) {
            let left =
                Strided { numbers: &self.score_gradient[first * self.keys..], row: self.keys, inner: 1 };
            for column in (0..self.padded).step_by(LANES) {
                let mut sums = [[0.0; LANES]; ROWS];
                strip::<FUSED, ROWS>(&mut sums, left, &self.key[column..], self.padded, from + count);
                for (r, sums) in sums.iter().enumerate() {
                    out[(first + r) * self.padded + column..][..LANES].copy_from_slice(sums);
                }
            }
        }
        out.truncate(count * self.padded);
        out
    }

    /// `dV += P^T dO` and `dK += dS^T Q` over the tile's queries.
    #[inline(always)]
    fn add_key_value_gradients<const FUSED: bool>(&mut self, from: usize, count: usize) {
        let visible = (from + count).next_multiple_of(ROWS).min(self.keys);
        for key in (0..visible).step_by(ROWS) {
            for column in (0..self.padded).step_by(LANES) {
                let probability = Strided { numbers: &self.probability[key..], row: 1, inner: self.keys };
                let score = Strided { numbers: &self.score_gradient[key..], ..probability };
                let stretch = |r: usize| (key + r) * self.padded + column;
                let (mut values, mut keys) = ([[0.0; LANES]; ROWS], [[0.0; LANES]; ROWS]);
                for r in 0..ROWS {
                    values[r].copy_from_slice(&self.value_gradient[stretch(r)..][..LANES]);
                    keys[r].copy_from_slice(&self.key_gradient[stretch(r)..][..LANES]);
                }
                let (gradient, query) = (&self.out_gradient[column..], &self.query[column..]);
                strip::<FUSED, ROWS>(&mut values, probability, gradient, self.padded, count);
                strip::<FUSED, ROWS>(&mut keys, score, query, self.padded, count);
                for r in 0..ROWS {
                    let at = (key + r) * self.padded + column;
                    self.value_gradient[at..][..LANES].copy_from_slice(&values[r]);
                    self.key_gradient[at..][..LANES].copy_from_slice(&keys[r]);
                }
            }
        }
    }
}
