//! Causal attention with grouped heads over keys and values in blocks.
//!
//! `out = sum_j softmax_j(q . k_j * scale) v_j` over the positions `j` up to the query's own. Scores are kept for the whole
//! row, so there is one maximum and one sum; keys are walked in blocks cut at absolute positions. A masked key's weight is
//! an exact zero, and its value is not looked at: it may be left over, or not finite. A query's result therefore depends on
//! the keys and values that it sees alone.

use super::block::{BLOCK, Block, BlockLayout, BlockWords, KeyValueBlocks, Word, head};
use super::exp::exp;
use super::isa::Isa;
use super::pair::Pair;
use super::strip::{LANES, Lanes};
use super::threads::{SharedPointer, Threads};

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
    threads.each_stretch(items.len(), |stretch| {
        let work = items[stretch].iter().map(|item| {
            let row = &rows[item.row];
            Work { shape, layer, item, row, fused, to }
        });
        match &blocks.words {
            #[cfg(target_arch = "x86_64")]
            BlockWords::Bf16(words) if isa == Isa::Avx512Bf16 => {
                let mut scratch = dots::Scratch::default();
                // SAFETY: an `Isa` is only chosen after `Isa::available` found its instructions on this machine.
                work.for_each(|it| unsafe { dots::attend_item(&it, (words, blocks.layout), &mut scratch) });
            }
            BlockWords::Bf16(words) => {
                let mut scratch = strips::Scratch::default();
                work.for_each(|it| {
                    strips::attend_item_bf16(isa, &it, (words, blocks.layout), &mut scratch);
                });
            }
            BlockWords::F32(words) => {
                let mut scratch = strips::Scratch::default();
                work.for_each(|it| strips::attend_item_f32(isa, &it, (words, blocks.layout), &mut scratch));
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

/// Blocks and what they look like.
type Store<'a, W> = (&'a [Block<W>], BlockLayout);

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
mod strips;
#[cfg(test)]
mod tests;
