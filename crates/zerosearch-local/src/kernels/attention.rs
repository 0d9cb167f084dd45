//! Causal attention with grouped heads over keys and values in blocks.
//!
//! `out = sum_j softmax_j(q . k_j * scale) v_j` over the positions `j` up to the query's own. Scores are kept for the whole
//! row, so there is one maximum and one sum; keys are walked in blocks cut at absolute positions. A masked key's weight is
//! an exact zero, and its value is not looked at: it may be left over, or not finite. A query's result therefore depends on
//! the keys and values that it sees alone.

use super::block::{BLOCK, BlockLayout, BlockNumbers, KeyValueBlocks, head};
use super::element::Element;
use super::exp::exp;
use super::isa::{Isa, for_each_isa};
use super::strip::{LANES, Lanes, Strided, strip};
use super::threads::{SharedPointer, Threads};

/// Queries that walk the keys together.
const QUERIES: usize = 4;
/// Numbers of one head at most.
pub(crate) const WIDEST_HEAD: usize = 256;
/// Tokens of one item of work.
const TOKENS: usize = 8;

/// The heads of a model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AttentionShape {
    /// Query heads.
    pub(crate) heads: usize,
    /// Key and value heads; a divisor of `heads`.
    pub(crate) kv_heads: usize,
    /// Numbers of one head.
    pub(crate) head_width: usize,
}

impl AttentionShape {
    /// Numbers of one token in the fused projection: queries, then keys, then values.
    pub(crate) fn fused_width(self) -> usize {
        (self.heads + 2 * self.kv_heads) * self.head_width
    }

    /// `1 / sqrt(head_width)`
    pub(super) fn scale(self) -> f32 {
        1.0 / (self.head_width as f32).sqrt()
    }
}

/// New tokens of one row.
#[derive(Clone, Debug)]
pub(crate) struct AttentionRow {
    /// Where they start among the batch's tokens.
    pub(crate) first_token: usize,
    /// How many there are.
    pub(crate) tokens: usize,
    /// Position of the first of them in its row.
    pub(crate) first_position: usize,
    /// The row's blocks, from position 0 on.
    pub(crate) blocks: Vec<u32>,
}

/// Writes `[tokens][heads * head_width]` into `out` and, if wanted, the logarithm of each softmax's denominator
/// (`[tokens][heads]`) into `log_sums`. `fused` holds the projections, `[tokens][fused_width]`. Panics when lengths do not
/// belong together or rows share tokens.
pub(crate) fn attention(
    (isa, threads): (Isa, &Threads),
    shape: AttentionShape,
    (rows, fused): (&[AttentionRow], &[f32]),
    (blocks, layer): (&KeyValueBlocks, usize),
    (out, log_sums): (&mut [f32], Option<&mut [f32]>),
) {
    let tokens = fused.len() / shape.fused_width();
    assert_disjoint(rows, tokens);
    assert_eq!(out.len(), tokens * shape.heads * shape.head_width, "the result has another size");
    if let Some(sums) = &log_sums {
        assert_eq!(sums.len(), tokens * shape.heads, "the logarithms have another size");
    }
    assert!(shape.head_width <= WIDEST_HEAD && shape.heads.is_multiple_of(shape.kv_heads));
    let items = items_of(rows, shape.kv_heads);
    let out_pointer = SharedPointer(out.as_mut_ptr());
    let sums_pointer = log_sums.map(|sums| SharedPointer(sums.as_mut_ptr()));
    threads.each(items.len(), &|item| {
        let item = Item { shape, layer, out: out_pointer, log_sums: sums_pointer, ..items[item] };
        match &blocks.numbers {
            BlockNumbers::Bf16(numbers) => {
                item_bf16(isa, &item, &rows[item.row], fused, (numbers, blocks.layout))
            }
            BlockNumbers::F32(numbers) => {
                item_f32(isa, &item, &rows[item.row], fused, (numbers, blocks.layout))
            }
        }
    });
}

/// Panics unless `rows` follow one another within `tokens` tokens.
pub(super) fn assert_disjoint(rows: &[AttentionRow], tokens: usize) {
    let end = rows.iter().fold(0, |end, row| {
        assert!(row.first_token >= end, "rows share tokens");
        row.first_token + row.tokens
    });
    assert!(end <= tokens, "a row has more tokens than there are");
}

/// A few tokens of one row, for one key head.
#[derive(Clone, Copy)]
struct Item {
    row: usize,
    kv_head: usize,
    from: usize,
    to: usize,
    shape: AttentionShape,
    layer: usize,
    out: SharedPointer<f32>,
    log_sums: Option<SharedPointer<f32>>,
}

fn items_of(rows: &[AttentionRow], kv_heads: usize) -> Vec<Item> {
    let mut items = Vec::new();
    let shape = AttentionShape { heads: 0, kv_heads, head_width: 1 };
    for (row, it) in rows.iter().enumerate() {
        for from in (0..it.tokens).step_by(TOKENS) {
            for kv_head in 0..kv_heads {
                let to = (from + TOKENS).min(it.tokens);
                let out = SharedPointer(std::ptr::null_mut());
                items.push(Item { row, kv_head, from, to, shape, layer: 0, out, log_sums: None });
            }
        }
    }
    items
}

type Store<'a, E> = (&'a [Box<[E]>], BlockLayout);

for_each_isa! {
    fn item_bf16(item: &Item, row: &AttentionRow, fused: &[f32], store: Store<'_, super::element::Bf16>) = item_body_bf16;
}
for_each_isa! {
    fn item_f32(item: &Item, row: &AttentionRow, fused: &[f32], store: Store<'_, f32>) = item_body_f32;
}

#[inline(always)]
fn item_body_bf16<const FUSED: bool>(
    item: &Item,
    row: &AttentionRow,
    fused: &[f32],
    store: Store<'_, super::element::Bf16>,
) {
    item_body::<FUSED, _>(item, row, fused, store);
}

#[inline(always)]
fn item_body_f32<const FUSED: bool>(item: &Item, row: &AttentionRow, fused: &[f32], store: Store<'_, f32>) {
    item_body::<FUSED, _>(item, row, fused, store);
}

/// One query: its token in the batch, its position in the row, its head.
#[derive(Clone, Copy, Default)]
struct QueryAt {
    token: usize,
    position: usize,
    head: usize,
}

#[inline(always)]
fn item_body<const FUSED: bool, E: Element>(
    item: &Item,
    row: &AttentionRow,
    fused: &[f32],
    store: Store<'_, E>,
) {
    let group = item.shape.heads / item.shape.kv_heads;
    let keys = (row.first_position + item.to).next_multiple_of(BLOCK);
    let mut scratch = Scratch {
        queries: vec![0.0; QUERIES * item.shape.head_width],
        scores: vec![0.0; QUERIES * keys],
        block: vec![0.0; BLOCK * store.1.padded()],
    };
    let count = (item.to - item.from) * group;
    let query = |index: usize| QueryAt {
        token: row.first_token + item.from + index / group,
        position: row.first_position + item.from + index / group,
        head: item.kv_head * group + index % group,
    };
    let whole = count / QUERIES * QUERIES;
    for first in (0..whole).step_by(QUERIES) {
        let queries: [QueryAt; QUERIES] = std::array::from_fn(|r| query(first + r));
        attend::<FUSED, QUERIES, E>(item, &queries, (row, fused), store, &mut scratch);
    }
    for index in whole..count {
        attend::<FUSED, 1, E>(item, &[query(index)], (row, fused), store, &mut scratch);
    }
}

struct Scratch {
    queries: Vec<f32>,
    scores: Vec<f32>,
    /// One block's keys or values, widened.
    block: Vec<f32>,
}

#[inline(always)]
fn attend<const FUSED: bool, const R: usize, E: Element>(
    item: &Item,
    queries: &[QueryAt; R],
    (row, fused): (&AttentionRow, &[f32]),
    (store, layout): Store<'_, E>,
    scratch: &mut Scratch,
) {
    let shape = item.shape;
    let width = shape.head_width;
    for (r, query) in queries.iter().enumerate() {
        let from = query.token * shape.fused_width() + query.head * width;
        scratch.queries[r * width..][..width].copy_from_slice(&fused[from..from + width]);
    }
    let block_count = queries.iter().map(|query| query.position / BLOCK + 1).max().unwrap_or(0);
    let keys = block_count * BLOCK;
    let left = Strided { numbers: &scratch.queries, row: width, inner: 1 };
    for (index, &block) in row.blocks[..block_count].iter().enumerate() {
        let (key, _) = head(&store[block as usize], layout, item.layer, item.kv_head);
        let key = E::widen_all(key, &mut scratch.block);
        let mut sums = [[0.0; LANES]; R];
        strip::<FUSED, R>(&mut sums, left, key, BLOCK, width);
        for (r, sums) in sums.iter().enumerate() {
            let scores = &mut scratch.scores[r * keys + index * BLOCK..][..BLOCK];
            for (lane, (score, sum)) in scores.iter_mut().zip(sums).enumerate() {
                let visible = index * BLOCK + lane <= queries[r].position;
                *score = if visible { sum * shape.scale() } else { f32::NEG_INFINITY };
            }
        }
    }
    let sums: [f32; R] = std::array::from_fn(|r| {
        let (maximum, sum) = exponentials(&mut scratch.scores[r * keys..][..keys]);
        if let Some(log_sums) = item.log_sums {
            // SAFETY: inside `log_sums`, whose length was asserted; each query of the batch belongs to exactly one item.
            unsafe {
                *log_sums.get().add(queries[r].token * shape.heads + queries[r].head) = maximum + sum.ln();
            }
        }
        sum
    });
    let chunks = layout.padded() / LANES;
    let mut totals = [[[0.0; LANES]; R]; WIDEST_HEAD / LANES];
    for (index, &block) in row.blocks[..block_count].iter().enumerate() {
        let (_, value) = head(&store[block as usize], layout, item.layer, item.kv_head);
        let value = E::widen_all(value, &mut scratch.block);
        let weights = Weights { numbers: &scratch.scores, keys, from: index * BLOCK };
        add_values::<FUSED, R>(&mut totals[..chunks], queries, weights, (value, layout.padded()));
    }
    for (r, query) in queries.iter().enumerate() {
        let at = (query.token * shape.heads + query.head) * width;
        for number in 0..width {
            // SAFETY: inside `out`, whose length was asserted, and this query's alone.
            unsafe { *item.out.get().add(at + number) = totals[number / LANES][r][number % LANES] / sums[r] };
        }
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

/// Replaces scores by e^(score - maximum); returns the maximum and the sum. Sixteen sums run side by side and are added in
/// a fixed order at the end, so trailing masked keys change nothing.
#[inline(always)]
fn exponentials(scores: &mut [f32]) -> (f32, f32) {
    let mut maxima: Lanes = [f32::NEG_INFINITY; LANES];
    for chunk in scores.chunks_exact(LANES) {
        for (maximum, &score) in maxima.iter_mut().zip(chunk) {
            *maximum = if score > *maximum { score } else { *maximum };
        }
    }
    let maximum = maxima.into_iter().fold(f32::NEG_INFINITY, f32::max);
    let mut sums: Lanes = [0.0; LANES];
    for chunk in scores.chunks_exact_mut(LANES) {
        for (sum, score) in sums.iter_mut().zip(chunk) {
            *score = exp(*score - maximum);
            *sum += *score;
        }
    }
    (maximum, sums.into_iter().sum())
}

#[cfg(test)]
mod tests;
