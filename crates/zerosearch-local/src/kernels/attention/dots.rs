//! Attention with bf16 dot products: queries and weights are rounded to bf16, as keys and values are; sums are f32.

use std::arch::x86_64::{
    __m512, __m512i, _MM_HINT_T1, _mm_prefetch, _mm512_and_si512, _mm512_loadu_si512, _mm512_mask_mov_ps,
    _mm512_mul_ps, _mm512_set1_epi32, _mm512_set1_ps, _mm512_storeu_ps,
};

use super::super::dot::{Pairs, ROWS, Sums, dot, multiply_add, narrow, zero};
use super::{BLOCK, LANES, Pair, QueryAt, Store, WIDEST_HEAD, Work, exponentials, head};

/// Blocks whose scores are computed together, and vectors of a head's width.
const VECTORS: usize = 4;

/// What items are computed with, one after another.
#[derive(Default)]
pub(super) struct Scratch {
    /// `[queries][head_width / 2]`
    queries: Vec<Pair>,
    /// `[queries][keys]`
    scores: Vec<f32>,
    /// `[queries][keys / 2]`
    weights: Vec<Pair>,
}

/// Cuts the item's queries into tiles of about the same size.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,fma")]
pub(super) fn attend_item(work: &Work<'_>, store: Store<'_, Pair>, scratch: &mut Scratch) {
    let keys = (work.row.first_position + work.item.to).next_multiple_of(BLOCK);
    scratch.queries.resize(ROWS * work.shape.head_width / 2, Pair(0));
    scratch.scores.resize(ROWS * keys, 0.0);
    scratch.weights.resize(ROWS * keys / 2, Pair(0));
    let count = work.queries();
    let tiles = count.div_ceil(ROWS);
    for tile in 0..tiles {
        let (first, end) = (tile * count / tiles, (tile + 1) * count / tiles);
        match end - first {
            1 => attend::<1>(work, first, store, scratch),
            2 => attend::<2>(work, first, store, scratch),
            3 => attend::<3>(work, first, store, scratch),
            4 => attend::<4>(work, first, store, scratch),
            5 => attend::<5>(work, first, store, scratch),
            _ => attend::<ROWS>(work, first, store, scratch),
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,fma")]
fn attend<const R: usize>(work: &Work<'_>, first: usize, store: Store<'_, Pair>, scratch: &mut Scratch) {
    let queries: [QueryAt; R] = std::array::from_fn(|r| work.query_at(first + r));
    let pairs = work.shape.head_width / 2;
    for (query, to) in queries.iter().zip(scratch.queries.chunks_exact_mut(pairs)) {
        narrow(work.query(*query), to);
    }
    let seen = work.blocks_seen(&queries);
    let keys = seen.len() * BLOCK;
    let (mut whole, mut index) = (seen.chunks_exact(VECTORS), 0);
    for blocks in whole.by_ref() {
        if work.queries() <= ROWS {
            // The only tile: nothing was here before to have read the next blocks.
            fetch(work, &seen[index + VECTORS..seen.len().min(index + 2 * VECTORS)], store);
        }
        let blocks: [u32; VECTORS] = std::array::from_fn(|v| blocks[v]);
        scores(work, (&queries, keys), (blocks, index), store, scratch);
        index += VECTORS;
    }
    for &block in whole.remainder() {
        scores(work, (&queries, keys), ([block], index), store, scratch);
        index += 1;
    }
    let denominators: [(f32, f32); R] = std::array::from_fn(|r| {
        let scores = &mut scratch.scores[r * keys..][..keys];
        let denominator = exponentials(scores);
        narrow(scores, &mut scratch.weights[r * keys / 2..][..keys / 2]);
        denominator
    });
    let mut totals = [[0.0; WIDEST_HEAD]; R];
    let padded = store.1.padded();
    let whole = padded - padded % (VECTORS * LANES);
    for column in (0..whole).step_by(VECTORS * LANES) {
        values::<R, VECTORS>(work, &queries, (store, &scratch.weights), (column, &mut totals));
    }
    for column in (whole..padded).step_by(LANES) {
        values::<R, 1>(work, &queries, (store, &scratch.weights), (column, &mut totals));
    }
    for (r, &query) in queries.iter().enumerate() {
        work.write(query, &totals[r], denominators[r]);
    }
}

/// Brings keys and values near.
#[inline]
#[target_feature(enable = "sse")]
fn fetch(work: &Work<'_>, blocks: &[u32], (store, layout): Store<'_, Pair>) {
    for &block in blocks {
        let (keys, values) = head(&store[block as usize], layout, work.layer, work.item.kv_head);
        for line in keys.chunks(LANES).chain(values.chunks(LANES)) {
            _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().cast());
        }
    }
}

/// The scaled scores of the keys in `V` blocks, of which the first is the row's block `index`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn scores<const R: usize, const V: usize>(
    work: &Work<'_>,
    (queries, keys): (&[QueryAt; R], usize),
    (blocks, index): ([u32; V], usize),
    (store, layout): Store<'_, Pair>,
    scratch: &mut Scratch,
) {
    let pairs = work.shape.head_width / 2;
    let key = blocks.map(|block| head(&store[block as usize], layout, work.layer, work.item.kv_head).0);
    let mut sums: Sums<R, V> = zero();
    let left = Pairs { words: &scratch.queries, row: pairs, inner: 1 };
    dot(&mut sums, left, key, (BLOCK, pairs));
    let scale = _mm512_set1_ps(work.shape.scale());
    let masked = _mm512_set1_ps(f32::NEG_INFINITY);
    for (r, sums) in sums.iter().enumerate() {
        let to = &mut scratch.scores[r * keys + index * BLOCK..][..V * BLOCK];
        for (v, (&sum, to)) in sums.iter().zip(to.as_chunks_mut::<BLOCK>().0).enumerate() {
            let visible = (queries[r].position + 1).saturating_sub((index + v) * BLOCK).min(BLOCK);
            let visible = ((1_u32 << visible) - 1) as u16;
            let score = _mm512_mask_mov_ps(masked, visible, _mm512_mul_ps(sum, scale));
            // SAFETY: there are sixteen numbers.
            unsafe { _mm512_storeu_ps(to.as_mut_ptr(), score) };
        }
    }
}

/// The weighted sums of `V` vectors of values from `column` on. To each query are added the values that it sees, two
/// positions at a time; where it sees only the first of the two, the second is an exact zero.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn values<const R: usize, const V: usize>(
    work: &Work<'_>,
    queries: &[QueryAt; R],
    ((store, layout), weights): (Store<'_, Pair>, &[Pair]),
    (column, totals): (usize, &mut [[f32; WIDEST_HEAD]; R]),
) {
    let (padded, pairs) = (layout.padded(), BLOCK / 2);
    let seen = work.blocks_seen(queries);
    let value = |index: usize| head(&store[seen[index] as usize], layout, work.layer, work.item.kv_head).1;
    let keys = seen.len() * pairs;
    // Queries are in the order of their positions.
    let by_all = queries[0].position.div_ceil(2);
    let mut sums: Sums<R, V> = zero();
    for index in 0..by_all.div_ceil(pairs) {
        let value = value(index);
        let right: [&[Pair]; V] = std::array::from_fn(|v| &value[column + v * LANES..]);
        let left = Pairs { words: &weights[index * pairs..], row: keys, inner: 1 };
        dot(&mut sums, left, right, (padded, pairs.min(by_all - index * pairs)));
    }
    for (r, query) in queries.iter().enumerate() {
        for pair in by_all..(query.position + 2) / 2 {
            let value = &value(pair / pairs)[pair % pairs * padded + column..][..V * LANES];
            let mask = if 2 * pair < query.position { u32::MAX } else { 0xffff };
            let weight = weights[r * keys + pair].0 & mask;
            add_pair(&mut sums[r], weight, (value, mask));
        }
        for (v, &sum) in sums[r].iter().enumerate() {
            let to = &mut totals[r][column + v * LANES..][..LANES];
            // SAFETY: there are sixteen numbers.
            unsafe { _mm512_storeu_ps(to.as_mut_ptr(), sum) };
        }
    }
}

/// Adds one pair of positions, as far as `mask` lets the values through.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
fn add_pair<const V: usize>(sums: &mut [__m512; V], weight: u32, (value, mask): (&[Pair], u32)) {
    let weight = _mm512_set1_epi32(weight.cast_signed());
    let mask = _mm512_set1_epi32(mask.cast_signed());
    for (sum, value) in sums.iter_mut().zip(value.as_chunks::<LANES>().0) {
        // SAFETY: there are sixteen words.
        let value: __m512i = unsafe { _mm512_loadu_si512(value.as_ptr().cast()) };
        *sum = multiply_add(*sum, weight, _mm512_and_si512(value, mask));
    }
}
