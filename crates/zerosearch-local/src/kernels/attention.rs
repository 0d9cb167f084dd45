//! Causal attention with grouped heads over keys and values in blocks.
//!
//! `out = sum_j softmax_j(q . k_j * scale) v_j` over the positions `j` up to the query's own. Scores are kept for the whole
//! row, so there is one maximum and one sum; keys are walked in blocks cut at absolute positions. A masked key's weight is
//! an exact zero, and its value is not looked at: it may be left over, or not finite. A query's result therefore depends on
//! the keys and values that it sees alone.

use std::cell::RefCell;

use super::block::{BLOCK, BlockLayout, BlockWords, KeyValueBlocks, Pair, Word, head};
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
    let to = To {
        out: SharedPointer(out.as_mut_ptr()),
        log_sums: log_sums.map(|sums| SharedPointer(sums.as_mut_ptr())),
    };
    threads.each(items.len(), &|index| {
        let item = &items[index];
        let work = Work { shape, layer, item, row: &rows[item.row], fused, to };
        match &blocks.words {
            #[cfg(target_arch = "x86_64")]
            BlockWords::Bf16(words) if isa == Isa::Avx512Bf16 => {
                // SAFETY: an `Isa` is only chosen after `Isa::available` found its instructions on this machine.
                unsafe { dots::attend_item(&work, (words, blocks.layout)) };
            }
            BlockWords::Bf16(words) => attend_item_bf16(isa, &work, (words, blocks.layout)),
            BlockWords::F32(words) => attend_item_f32(isa, &work, (words, blocks.layout)),
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
struct Item {
    row: usize,
    kv_head: usize,
    from: usize,
    to: usize,
}

fn items_of(rows: &[AttentionRow], kv_heads: usize) -> Vec<Item> {
    let of_row = |(row, it): (usize, &AttentionRow)| {
        let tokens = it.tokens;
        (0..tokens).step_by(TOKENS).flat_map(move |from| {
            (0..kv_heads).map(move |kv_head| Item { row, kv_head, from, to: (from + TOKENS).min(tokens) })
        })
    };
    rows.iter().enumerate().flat_map(of_row).collect()
}

/// Where results go.
#[derive(Clone, Copy)]
struct To {
    out: SharedPointer<f32>,
    log_sums: Option<SharedPointer<f32>>,
}

/// An item and what it is computed from.
struct Work<'a> {
    shape: AttentionShape,
    layer: usize,
    item: &'a Item,
    row: &'a AttentionRow,
    fused: &'a [f32],
    to: To,
}

/// One query: its token in the batch, its position in the row, its head.
#[derive(Clone, Copy, Default)]
struct QueryAt {
    token: usize,
    position: usize,
    head: usize,
}

impl Work<'_> {
    /// How many queries there are.
    fn queries(&self) -> usize {
        (self.item.to - self.item.from) * self.group()
    }

    /// Query heads of one key head.
    fn group(&self) -> usize {
        self.shape.heads / self.shape.kv_heads
    }

    #[inline(always)]
    fn query_at(&self, index: usize) -> QueryAt {
        let (token, head) = (self.item.from + index / self.group(), index % self.group());
        QueryAt {
            token: self.row.first_token + token,
            position: self.row.first_position + token,
            head: self.item.kv_head * self.group() + head,
        }
    }

    #[inline(always)]
    fn query(&self, at: QueryAt) -> &[f32] {
        let from = at.token * self.shape.fused_width() + at.head * self.shape.head_width;
        &self.fused[from..from + self.shape.head_width]
    }

    /// Blocks that the last of some queries sees.
    #[inline(always)]
    fn blocks_seen(&self, queries: &[QueryAt]) -> &[u32] {
        &self.row.blocks[..queries.last().map_or(0, |query| query.position / BLOCK + 1)]
    }

    /// Writes one query's result, `totals / sum`, and the logarithm of its denominator.
    #[inline(always)]
    fn write(&self, query: QueryAt, totals: &[f32], (maximum, sum): (f32, f32)) {
        let place = query.token * self.shape.heads + query.head;
        // SAFETY: inside `out`, whose length was asserted; each query of the batch belongs to exactly one item.
        let out = unsafe {
            let width = self.shape.head_width;
            std::slice::from_raw_parts_mut(self.to.out.get().add(place * width), width)
        };
        out.iter_mut().zip(totals).for_each(|(out, total)| *out = total / sum);
        if let Some(log_sums) = self.to.log_sums {
            // SAFETY: as above.
            unsafe { *log_sums.get().add(place) = maximum + sum.ln() };
        }
    }
}

type Store<'a, W> = (&'a [Box<[W]>], BlockLayout);

for_each_isa! {
    fn attend_item_bf16(work: &Work<'_>, store: Store<'_, Pair>) = item_body_bf16;
}
for_each_isa! {
    fn attend_item_f32(work: &Work<'_>, store: Store<'_, f32>) = item_body_f32;
}

#[inline(always)]
fn item_body_bf16<const FUSED: bool>(work: &Work<'_>, store: Store<'_, Pair>) {
    item_body::<FUSED, _>(work, store);
}

#[inline(always)]
fn item_body_f32<const FUSED: bool>(work: &Work<'_>, store: Store<'_, f32>) {
    item_body::<FUSED, _>(work, store);
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// What a thread computes with, kept from item to item.
#[derive(Default)]
struct Scratch {
    queries: Vec<f32>,
    scores: Vec<f32>,
    /// One block's keys or values, widened.
    block: Vec<f32>,
}

#[inline(always)]
fn item_body<const FUSED: bool, W: Word>(work: &Work<'_>, store: Store<'_, W>) {
    let mut scratch = SCRATCH.take();
    let keys = (work.row.first_position + work.item.to).next_multiple_of(BLOCK);
    scratch.queries.resize(QUERIES * work.shape.head_width, 0.0);
    scratch.scores.resize(QUERIES * keys, 0.0);
    scratch.block.resize(BLOCK * store.1.padded(), 0.0);
    let count = work.queries();
    for first in (0..count).step_by(QUERIES) {
        match count - first {
            1 => attend::<FUSED, 1, W>(work, first, store, &mut scratch),
            2 => attend::<FUSED, 2, W>(work, first, store, &mut scratch),
            3 => attend::<FUSED, 3, W>(work, first, store, &mut scratch),
            _ => attend::<FUSED, QUERIES, W>(work, first, store, &mut scratch),
        }
    }
    SCRATCH.set(scratch);
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

#[cfg(target_arch = "x86_64")]
mod dots;
#[cfg(test)]
mod tests;
