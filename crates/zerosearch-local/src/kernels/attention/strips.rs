//! Attention in f32, four queries at a time.

use super::super::isa::for_each_isa;
use super::super::strip::{LANES, Lanes, Strided, strip};
use super::{BLOCK, Pair, QueryAt, Store, WIDEST_HEAD, Word, Work, exponentials, head};

/// Queries that walk the keys together.
const QUERIES: usize = 4;

for_each_isa! {
    pub(super) fn attend_item_bf16(work: &Work<'_>, store: Store<'_, Pair>, scratch: &mut Scratch) = item_body_bf16;
}
for_each_isa! {
    pub(super) fn attend_item_f32(work: &Work<'_>, store: Store<'_, f32>, scratch: &mut Scratch) = item_body_f32;
}

#[inline(always)]
fn item_body_bf16<const FUSED: bool>(work: &Work<'_>, store: Store<'_, Pair>, scratch: &mut Scratch) {
    item_body::<FUSED, _>(work, store, scratch);
}

#[inline(always)]
fn item_body_f32<const FUSED: bool>(work: &Work<'_>, store: Store<'_, f32>, scratch: &mut Scratch) {
    item_body::<FUSED, _>(work, store, scratch);
}

/// What items are computed with, one after another.
#[derive(Default)]
pub(super) struct Scratch {
    queries: Vec<f32>,
    scores: Vec<f32>,
    /// One block's keys or values, widened.
    block: Vec<f32>,
}

#[inline(always)]
fn item_body<const FUSED: bool, W: Word>(work: &Work<'_>, store: Store<'_, W>, scratch: &mut Scratch) {
    let keys = (work.row.first_position + work.item.to).next_multiple_of(BLOCK);
    scratch.queries.resize(QUERIES * work.shape.head_width, 0.0);
    scratch.scores.resize(QUERIES * keys, 0.0);
    scratch.block.resize(BLOCK * store.1.padded(), 0.0);
    let count = work.queries();
    for first in (0..count).step_by(QUERIES) {
        match count - first {
            1 => attend::<FUSED, 1, W>(work, first, store, scratch),
            2 => attend::<FUSED, 2, W>(work, first, store, scratch),
            3 => attend::<FUSED, 3, W>(work, first, store, scratch),
            _ => attend::<FUSED, QUERIES, W>(work, first, store, scratch),
        }
    }
}

#[inline(always)]
fn attend<const FUSED: bool, const R: usize, W: Word>(
    work: &Work<'_>,
    first: usize,
    (store, layout): Store<'_, W>,
    scratch: &mut Scratch,
) {
    let (width, padded) = (work.shape.head_width, layout.padded());
    let queries: [QueryAt; R] = std::array::from_fn(|r| work.query_at(first + r));
    for (r, &query) in queries.iter().enumerate() {
        scratch.queries[r * width..][..width].copy_from_slice(work.query(query));
    }
    let seen = work.blocks_seen(&queries);
    let keys = seen.len() * BLOCK;
    let left = Strided { numbers: &scratch.queries, row: width, inner: 1 };
    for (index, &block) in seen.iter().enumerate() {
        let (key, _) = head(&store[block as usize], layout, work.layer, work.item.kv_head);
        let key = W::unpack(key, BLOCK, &mut scratch.block);
        let mut sums = [[0.0; LANES]; R];
        strip::<FUSED, R>(&mut sums, left, key, BLOCK, width);
        for (r, sums) in sums.iter().enumerate() {
            let scores = &mut scratch.scores[r * keys + index * BLOCK..][..BLOCK];
            for (lane, (score, sum)) in scores.iter_mut().zip(sums).enumerate() {
                let visible = index * BLOCK + lane <= queries[r].position;
                *score = if visible { sum * work.shape.scale() } else { f32::NEG_INFINITY };
            }
        }
    }
    let denominators: [(f32, f32); R] =
        std::array::from_fn(|r| exponentials(&mut scratch.scores[r * keys..][..keys]));
    let chunks = padded / LANES;
    let mut totals = [[[0.0; LANES]; R]; WIDEST_HEAD / LANES];
    for (index, &block) in seen.iter().enumerate() {
        let (_, value) = head(&store[block as usize], layout, work.layer, work.item.kv_head);
        let value = W::unpack(value, padded, &mut scratch.block);
        let weights = Weights { numbers: &scratch.scores, keys, from: index * BLOCK };
        add_values::<FUSED, R>(&mut totals[..chunks], &queries, weights, (value, padded));
    }
    for (r, &query) in queries.iter().enumerate() {
        let mut total = [0.0; WIDEST_HEAD];
        for (to, from) in total.chunks_exact_mut(LANES).zip(&totals) {
            to.copy_from_slice(&from[r]);
        }
        work.write(query, &total, denominators[r]);
    }
}

/// The weights of one block's keys: `[queries][keys]` from column `from` on.
#[derive(Clone, Copy)]
struct Weights<'a> {
    numbers: &'a [f32],
    keys: usize,
    from: usize,
}

/// Adds one block's values to the queries' totals, to each only the values that it sees.
#[inline(always)]
fn add_values<const FUSED: bool, const R: usize>(
    totals: &mut [[Lanes; R]],
    queries: &[QueryAt; R],
    weights: Weights<'_>,
    (value, padded): (&[f32], usize),
) {
    let seen: [usize; R] = queries.map(|query| (query.position + 1).saturating_sub(weights.from).min(BLOCK));
    let by_all = seen.iter().copied().min().unwrap_or(0);
    let left = Strided { numbers: &weights.numbers[weights.from..], row: weights.keys, inner: 1 };
    if by_all == BLOCK {
        for (chunk, totals) in totals.iter_mut().enumerate() {
            strip::<FUSED, R>(totals, left, &value[chunk * LANES..], padded, BLOCK);
        }
        return;
    }
    for (chunk, totals) in totals.iter_mut().enumerate() {
        strip::<FUSED, R>(totals, left, &value[chunk * LANES..], padded, by_all);
        for (r, total) in totals.iter_mut().enumerate().filter(|&(r, _)| seen[r] > by_all) {
            let numbers = &weights.numbers[r * weights.keys + weights.from + by_all..];
            let value = &value[by_all * padded + chunk * LANES..];
            let left = Strided { numbers, ..left };
            strip::<FUSED, 1>(std::array::from_mut(total), left, value, padded, seen[r] - by_all);
        }
    }
}
