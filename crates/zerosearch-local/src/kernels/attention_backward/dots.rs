//! The gradient of one segment with bf16 dot products: every factor is rounded to bf16, sums are f32.

use std::arch::x86_64::{__m512, _mm512_loadu_ps, _mm512_storeu_ps};

use super::super::attention::WIDEST_HEAD;
use super::super::dot::{Pairs, ROWS, Sums, dot, narrow, narrow_both, zero};
use super::super::exp::exp;
use super::super::pair::Pair;
use super::super::strip::{LANES, Lanes};
use super::{BLOCK, Given, Segment, SharedPointer, padded, write};

/// Vectors that are computed together.
const VECTORS: usize = 4;
/// Queries whose probabilities are held at a time, about.
const QUERIES: usize = 48;

/// Consecutive tokens of a segment with the query heads of one key head; the heads of a token follow one another.
struct Strip {
    first_token: usize,
    position: usize,
    first_head: usize,
    group: usize,
    /// How many queries there are.
    count: usize,
    /// Positions of the blocks that the last of them sees.
    keys: usize,
}

impl Strip {
    /// A query's token in the batch and its head.
    fn place(&self, query: usize) -> (usize, usize) {
        (self.first_token + query / self.group, self.first_head + query % self.group)
    }

    /// How many keys a query sees; none where there is no query.
    fn seen(&self, query: usize) -> usize {
        if query < self.count { self.position + query / self.group + 1 } else { 0 }
    }

    /// The count in whole tiles.
    fn padded_count(&self) -> usize {
        self.count.next_multiple_of(ROWS)
    }
}

/// Adds to `own`, the gradients of one head's keys and values, and writes the queries' gradients.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,fma")]
pub(super) fn segment_gradient(
    given: &Given<'_>,
    (segment, kv_head): (&Segment<'_>, usize),
    (own, to): (&mut [f32], SharedPointer<f32>),
    scratch: &mut Scratch,
) {
    let (shape, row) = (given.shape, segment.row);
    let group = shape.heads / shape.kv_heads;
    let tokens = (QUERIES / group).max(1);
    scratch.load_keys(given, segment, kv_head);
    for from in (segment.from..segment.to).step_by(tokens) {
        let tokens = tokens.min(segment.to - from);
        let position = row.first_position + from;
        let strip = Strip {
            first_token: row.first_token + from,
            position,
            first_head: kv_head * group,
            group,
            count: tokens * group,
            keys: (position + tokens).next_multiple_of(BLOCK),
        };
        scratch.load_queries(given, &strip);
        for first in (0..strip.count).step_by(ROWS) {
            scratch.products(given, &strip, first);
            scratch.probabilities(given, &strip, first);
        }
        scratch.query_gradients(given, &strip, to);
        scratch.key_value_gradients(&strip, padded(shape), own);
    }
}

/// What segments are computed with, one after another.
#[derive(Default)]
pub(super) struct Scratch {
    /// `[blocks][width / 2][BLOCK]`
    key: Vec<Pair>,
    /// `[blocks][width / 2][BLOCK]`
    value: Vec<Pair>,
    /// `[positions / 2][padded]`
    key_rows: Vec<Pair>,
    /// `[queries][width / 2]`
    query: Vec<Pair>,
    /// `[queries][width / 2]`
    out_gradient: Vec<Pair>,
    /// `[queries / 2][padded]`
    query_rows: Vec<Pair>,
    /// `[queries / 2][padded]`
    out_gradient_rows: Vec<Pair>,
    /// `[ROWS][keys]`: scores, then probabilities.
    probability: Vec<f32>,
    /// `[ROWS][keys]`: their gradients, then those of the scores.
    score_gradient: Vec<f32>,
    /// `[queries / 2][keys]`
    probability_rows: Vec<Pair>,
    /// `[queries / 2][keys]`
    score_gradient_rows: Vec<Pair>,
    /// `[queries][keys / 2]`
    score_gradient_pairs: Vec<Pair>,
}

impl Scratch {
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,fma")]
    fn load_keys(&mut self, given: &Given<'_>, segment: &Segment<'_>, kv_head: usize) {
        let (pairs, padded) = (given.shape.head_width / 2, padded(given.shape));
        let blocks = segment.blocks();
        for (numbers, length) in [
            (&mut self.key, blocks.len() * pairs * BLOCK),
            (&mut self.value, blocks.len() * pairs * BLOCK),
            (&mut self.key_rows, blocks.len() * BLOCK / 2 * padded),
        ] {
            numbers.clear();
            numbers.resize(length, Pair(0));
        }
        let mut row = [Pair(0); WIDEST_HEAD / 2];
        for (index, &block) in blocks.iter().enumerate() {
            let stored = given.stored[block as usize];
            for slot in 0..stored.tokens {
                let (key, value) = given.key_value(stored.first_token + slot, kv_head);
                for (numbers, to) in [(key, &mut self.key), (value, &mut self.value)] {
                    narrow(numbers, &mut row);
                    let to = to[index * pairs * BLOCK..][..pairs * BLOCK].chunks_exact_mut(BLOCK);
                    to.zip(&row).for_each(|(to, &pair)| to[slot] = pair);
                }
            }
            for slot in (0..stored.tokens).step_by(2) {
                let number = |slot: usize| match slot < stored.tokens {
                    true => given.key_value(stored.first_token + slot, kv_head).0,
                    false => &ZEROS[..2 * pairs],
                };
                let to = &mut self.key_rows[(index * BLOCK + slot) / 2 * padded..][..padded];
                narrow_both((number(slot), number(slot + 1)), to);
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,fma")]
    fn load_queries(&mut self, given: &Given<'_>, strip: &Strip) {
        let (pairs, padded, count) = (given.shape.head_width / 2, padded(given.shape), strip.padded_count());
        self.query.resize(count * pairs, Pair(0));
        self.out_gradient.resize(count * pairs, Pair(0));
        self.query_rows.resize(count / 2 * padded, Pair(0));
        self.out_gradient_rows.resize(count / 2 * padded, Pair(0));
        self.probability.resize(ROWS * strip.keys, 0.0);
        self.score_gradient.resize(ROWS * strip.keys, 0.0);
        self.probability_rows.resize(count / 2 * strip.keys, Pair(0));
        self.score_gradient_rows.resize(count / 2 * strip.keys, Pair(0));
        self.score_gradient_pairs.resize(count * strip.keys / 2, Pair(0));
        // Rows beyond the count take part in whole tiles; zeros there add nothing.
        let numbers = |query: usize| match query < strip.count {
            true => given.query(strip.place(query).0, strip.place(query).1),
            false => (&ZEROS[..2 * pairs], &ZEROS[..2 * pairs], 0.0),
        };
        for query in 0..count {
            let (numbers, out_gradient, _) = numbers(query);
            narrow(numbers, &mut self.query[query * pairs..][..pairs]);
            narrow(out_gradient, &mut self.out_gradient[query * pairs..][..pairs]);
        }
        for query in (0..count).step_by(2) {
            let (first, second) = (numbers(query), numbers(query + 1));
            let place = query / 2 * padded..(query / 2 + 1) * padded;
            narrow_both((first.0, second.0), &mut self.query_rows[place.clone()]);
            narrow_both((first.1, second.1), &mut self.out_gradient_rows[place]);
        }
    }

    /// `Q K^T` and `dO V^T` of one tile of queries.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,fma")]
    fn products(&mut self, given: &Given<'_>, strip: &Strip, first: usize) {
        let pairs = given.shape.head_width / 2;
        let whole = strip.keys - strip.keys % (VECTORS * BLOCK);
        for (left, right, to) in [
            (&self.query, &self.key, &mut self.probability),
            (&self.out_gradient, &self.value, &mut self.score_gradient),
        ] {
            let left = Pairs { words: &left[first * pairs..], row: pairs, inner: 1 };
            for key in (0..whole).step_by(VECTORS * BLOCK) {
                tile_of_blocks::<VECTORS>(left, (right, pairs), (to, strip.keys), key);
            }
            for key in (whole..strip.keys).step_by(BLOCK) {
                tile_of_blocks::<1>(left, (right, pairs), (to, strip.keys), key);
            }
        }
    }

    /// Probabilities and the gradients of the scores of one tile of queries, rounded to bf16 in pairs both ways.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,fma")]
    fn probabilities(&mut self, given: &Given<'_>, strip: &Strip, first: usize) {
        let keys = strip.keys;
        for r in 0..ROWS {
            let seen = strip.seen(first + r);
            let log_sum = if seen == 0 {
                0.0
            } else {
                let (token, head) = strip.place(first + r);
                given.query(token, head).2
            };
            let probability = &mut self.probability[r * keys..][..keys];
            let gradient = &mut self.score_gradient[r * keys..][..keys];
            softmax_backward(probability, gradient, (seen, log_sum, given.shape.scale()));
            narrow(gradient, &mut self.score_gradient_pairs[(first + r) * keys / 2..][..keys / 2]);
        }
        for r in (0..ROWS).step_by(2) {
            let to = (first + r) / 2 * keys..((first + r) / 2 + 1) * keys;
            for (from, rows) in [
                (&self.probability, &mut self.probability_rows),
                (&self.score_gradient, &mut self.score_gradient_rows),
            ] {
                narrow_both(from[r * keys..][..2 * keys].split_at(keys), &mut rows[to.clone()]);
            }
        }
    }

    /// `dS K`
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,fma")]
    fn query_gradients(&self, given: &Given<'_>, strip: &Strip, to: SharedPointer<f32>) {
        let (shape, padded, pairs) = (given.shape, padded(given.shape), strip.keys / 2);
        let mut tile = [[0.0; WIDEST_HEAD]; ROWS];
        for first in (0..strip.count).step_by(ROWS) {
            let left = Pairs { words: &self.score_gradient_pairs[first * pairs..], row: pairs, inner: 1 };
            let right = (self.key_rows.as_slice(), padded, pairs);
            tile.iter_mut().for_each(|row| row[..padded].fill(0.0));
            add_product::<ROWS>(left, right, (tile.as_flattened_mut(), WIDEST_HEAD));
            for (query, gradient) in (first..strip.count).zip(&tile) {
                let (token, head) = strip.place(query);
                let at = token * shape.fused_width() + head * shape.head_width;
                write(to, at, &gradient[..shape.head_width]);
            }
        }
    }

    /// `dK += dS^T Q` and `dV += P^T dO` over the strip's queries.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,fma")]
    fn key_value_gradients(&self, strip: &Strip, padded: usize, own: &mut [f32]) {
        let pairs = strip.padded_count() / 2;
        let (key_gradient, value_gradient) = own.split_at_mut(own.len() / 2);
        for (left, right, to) in [
            (&self.score_gradient_rows, &self.query_rows, key_gradient),
            (&self.probability_rows, &self.out_gradient_rows, value_gradient),
        ] {
            let right = (right.as_slice(), padded, pairs);
            for first in (0..strip.keys).step_by(ROWS) {
                let left = Pairs { words: &left[first..], row: 1, inner: strip.keys };
                let to = (&mut to[first * padded..], padded);
                // A multiple of sixteen leaves a remainder of two or four.
                match strip.keys - first {
                    2 => add_product::<2>(left, right, to),
                    4 => add_product::<4>(left, right, to),
                    _ => add_product::<ROWS>(left, right, to),
                }
            }
        }
    }
}

static ZEROS: [f32; WIDEST_HEAD] = [0.0; WIDEST_HEAD];

/// One tile of queries times `V` blocks from position `key` on.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn tile_of_blocks<const V: usize>(
    left: Pairs<'_>,
    (right, pairs): (&[Pair], usize),
    (to, keys): (&mut [f32], usize),
    key: usize,
) {
    let mut sums: Sums<ROWS, V> = zero();
    dot(&mut sums, left, std::array::from_fn(|v| &right[(key + v * BLOCK) * pairs..]), (BLOCK, pairs));
    for (r, sums) in sums.iter().enumerate() {
        store(sums, &mut to[r * keys + key..]);
    }
}

/// `to += left * right` for `R` rows of `to`; `right` comes with its columns and pairs, `to` with its row length.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn add_product<const R: usize>(
    left: Pairs<'_>,
    (right, columns, pairs): (&[Pair], usize, usize),
    (to, stride): (&mut [f32], usize),
) {
    let whole = columns - columns % (VECTORS * LANES);
    for column in (0..whole).step_by(VECTORS * LANES) {
        add_columns::<R, VECTORS>(left, (&right[column..], columns, pairs), (&mut to[column..], stride));
    }
    for column in (whole..columns).step_by(LANES) {
        add_columns::<R, 1>(left, (&right[column..], columns, pairs), (&mut to[column..], stride));
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn add_columns<const R: usize, const V: usize>(
    left: Pairs<'_>,
    (right, columns, pairs): (&[Pair], usize, usize),
    (to, stride): (&mut [f32], usize),
) {
    let mut sums: Sums<R, V> = zero();
    for (r, sums) in sums.iter_mut().enumerate() {
        let from = &to[r * stride..][..V * LANES];
        for (sum, from) in sums.iter_mut().zip(from.as_chunks::<LANES>().0) {
            // SAFETY: there are sixteen numbers.
            *sum = unsafe { _mm512_loadu_ps(from.as_ptr()) };
        }
    }
    dot(&mut sums, left, std::array::from_fn(|v| &right[v * LANES..]), (columns, pairs));
    for (r, sums) in sums.iter().enumerate() {
        store(sums, &mut to[r * stride..]);
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store<const V: usize>(sums: &[__m512; V], to: &mut [f32]) {
    for (&sum, to) in sums.iter().zip(to[..V * LANES].as_chunks_mut::<LANES>().0) {
        // SAFETY: there are sixteen numbers.
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), sum) };
    }
}

/// Replaces scores by probabilities, and the gradients of these by those of the scores: `dS = P * (dP - mean) * scale`, where
/// `mean` is that of `dP` under `P`. Beyond the keys that are `seen` both are zero.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,fma")]
fn softmax_backward(
    probability: &mut [f32],
    gradient: &mut [f32],
    (seen, log_sum, scale): (usize, f32, f32),
) {
    let (mut weights, mut products): (Lanes, Lanes) = ([0.0; LANES], [0.0; LANES]);
    let chunks = probability.as_chunks_mut::<LANES>().0.iter_mut().zip(gradient.as_chunks_mut::<LANES>().0);
    for (chunk, (probability, gradient)) in chunks.enumerate() {
        for lane in 0..LANES {
            let visible = chunk * LANES + lane < seen;
            let weight = exp(probability[lane] * scale - log_sum);
            probability[lane] = if visible { weight } else { 0.0 };
            gradient[lane] = if visible { gradient[lane] } else { 0.0 };
            weights[lane] += probability[lane];
            products[lane] += probability[lane] * gradient[lane];
        }
    }
    let weight: f32 = weights.into_iter().sum();
    let mean = if weight > 0.0 { products.into_iter().sum::<f32>() / weight } else { 0.0 };
    for (gradient, &probability) in gradient.iter_mut().zip(probability.iter()) {
        *gradient = probability * (*gradient - mean) * scale;
    }
}
