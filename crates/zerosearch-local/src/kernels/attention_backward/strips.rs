//! The gradient of one segment in f32, four queries at a time.

use super::super::exp::exp;
use super::super::isa::for_each_isa;
use super::super::strip::{LANES, Strided, strip};
use super::{BLOCK, Given, Segment, SharedPointer, padded, write};

/// Rows of the left factor that are computed together.
const ROWS: usize = 4;
/// Queries whose probabilities are held at a time.
const QUERIES: usize = 32;

for_each_isa! {
    /// Adds to `own`, the gradients of one head's keys and values, and writes the queries' gradients.
    pub(super) fn segment_gradient(
        given: &Given<'_>,
        segment: (&Segment<'_>, usize),
        own: &mut [f32],
        to: SharedPointer<f32>,
    ) = segment_gradient_body;
}

#[inline(always)]
fn segment_gradient_body<const FUSED: bool>(
    given: &Given<'_>,
    (segment, kv_head): (&Segment<'_>, usize),
    own: &mut [f32],
    to: SharedPointer<f32>,
) {
    let (shape, row) = (given.shape, segment.row);
    let group = shape.heads / shape.kv_heads;
    let mut head = Head::new(given, segment, kv_head);
    for query_head in kv_head * group..(kv_head + 1) * group {
        for from in (segment.from..segment.to).step_by(QUERIES) {
            let count = QUERIES.min(segment.to - from);
            let position = row.first_position + from;
            head.load_queries(given, (row.first_token + from, query_head), count);
            head.probabilities::<FUSED>(position, count);
            let query_gradient = head.query_gradient::<FUSED>(position, count);
            head.add_key_value_gradients::<FUSED>((position, count), own);
            for (index, gradient) in query_gradient.chunks_exact(head.padded).enumerate() {
                let token = row.first_token + from + index;
                let at = token * shape.fused_width() + query_head * shape.head_width;
                write(to, at, &gradient[..shape.head_width]);
            }
        }
    }
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

/// One key head of what a segment sees: its keys and values both ways round, and a tile of queries. Everything is padded
/// with zeros to whole vectors.
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
    fn new(given: &Given<'_>, segment: &Segment<'_>, kv_head: usize) -> Self {
        let (shape, width) = (given.shape, given.shape.head_width);
        let (padded, keys) = (padded(shape), segment.blocks().len() * BLOCK);
        let mut head = Self {
            width,
            padded,
            keys,
            scale: shape.scale(),
            key: vec![0.0; keys * padded],
            key_transposed: vec![0.0; width * keys],
            value_transposed: vec![0.0; width * keys],
            query: vec![0.0; QUERIES * padded],
            out_gradient: vec![0.0; QUERIES * padded],
            log_sums: vec![0.0; QUERIES],
            probability: vec![0.0; QUERIES * keys],
            score_gradient: vec![0.0; QUERIES * keys],
        };
        for (index, &block) in segment.blocks().iter().enumerate() {
            let stored = given.stored[block as usize];
            for slot in 0..stored.tokens {
                let (key, value) = given.key_value(stored.first_token + slot, kv_head);
                let position = index * BLOCK + slot;
                head.key[position * padded..][..width].copy_from_slice(key);
                for at in 0..width {
                    head.key_transposed[at * keys + position] = key[at];
                    head.value_transposed[at * keys + position] = value[at];
                }
            }
        }
        head
    }

    fn load_queries(&mut self, given: &Given<'_>, (first, query_head): (usize, usize), count: usize) {
        let width = self.width;
        for index in 0..count {
            let (query, out_gradient, log_sum) = given.query(first + index, query_head);
            self.query[index * self.padded..][..width].copy_from_slice(query);
            self.out_gradient[index * self.padded..][..width].copy_from_slice(out_gradient);
            self.log_sums[index] = log_sum;
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

    /// `dK += dS^T Q` and `dV += P^T dO` over the tile's queries.
    #[inline(always)]
    fn add_key_value_gradients<const FUSED: bool>(&self, (from, count): (usize, usize), own: &mut [f32]) {
        let (key_gradient, value_gradient) = own.split_at_mut(self.keys * self.padded);
        let visible = (from + count).next_multiple_of(ROWS).min(self.keys);
        for key in (0..visible).step_by(ROWS) {
            for column in (0..self.padded).step_by(LANES) {
                let probability = Strided { numbers: &self.probability[key..], row: 1, inner: self.keys };
                let score = Strided { numbers: &self.score_gradient[key..], ..probability };
                let stretch = |r: usize| (key + r) * self.padded + column;
                let (mut values, mut keys) = ([[0.0; LANES]; ROWS], [[0.0; LANES]; ROWS]);
                for r in 0..ROWS {
                    values[r].copy_from_slice(&value_gradient[stretch(r)..][..LANES]);
                    keys[r].copy_from_slice(&key_gradient[stretch(r)..][..LANES]);
                }
                let (gradient, query) = (&self.out_gradient[column..], &self.query[column..]);
                strip::<FUSED, ROWS>(&mut values, probability, gradient, self.padded, count);
                strip::<FUSED, ROWS>(&mut keys, score, query, self.padded, count);
                for r in 0..ROWS {
                    let at = (key + r) * self.padded + column;
                    value_gradient[at..][..LANES].copy_from_slice(&values[r]);
                    key_gradient[at..][..LANES].copy_from_slice(&keys[r]);
                }
            }
        }
    }
}
