//! The gradient of attention.
//!
//! With `P = softmax(Q K^T * scale)` and `O = P V`: `dV = P^T dO`, `dP = dO V^T`, `dS = P * (dP - rowsum(P * dP)) * scale`,
//! `dQ = dS K`, `dK = dS^T Q` (arXiv 2205.14135, appendix B.2). `P` is made again from the scores and the logarithms of
//! their sums. An item of work is one key head and a segment of one row's queries; it has keys' and values' gradients of its
//! own. These are then added up in the order of the rows: a block that several rows read learns from all of them.

use super::attention::{AttentionRow, AttentionShape, assert_disjoint};
use super::block::BLOCK;
use super::element::Arithmetic;
use super::isa::Isa;
use super::strip::LANES;
use super::threads::{SharedPointer, Threads};

/// Tokens of one segment.
const SEGMENT: usize = 256;

/// What the forward pass left and what flows back into it. Widths: `fused` and its gradient `fused_width`, the others
/// `heads * head_width` (`log_sums`: `heads`).
pub(crate) struct AttentionGradients<'a> {
    /// What keys and values were rounded to.
    pub(crate) arithmetic: Arithmetic,
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

/// Each row must start at a block's border, and what precedes it must be among the rows. Panics when lengths do not
/// belong together.
pub(crate) fn attention_backward(
    (isa, threads): (Isa, &Threads),
    shape: AttentionShape,
    rows: &[AttentionRow],
    gradients: AttentionGradients<'_>,
) {
    gradients.assert_lengths(shape, rows);
    let stored = stored_blocks(rows);
    let to = SharedPointer(gradients.fused_gradient.as_mut_ptr());
    let given = Given {
        shape,
        fused: gradients.fused,
        log_sums: gradients.log_sums,
        out_gradient: gradients.out_gradient,
        stored: &stored,
    };
    let (segments, length) = segments(rows, shape);
    let mut numbers = threads.workspace().take(length);
    let place = SharedPointer(numbers.as_mut_ptr());
    threads.each_stretch(segments.len() * shape.kv_heads, |stretch| {
        #[cfg(target_arch = "x86_64")]
        let mut scratch = dots::Scratch::default();
        for item in stretch {
            let (segment, kv_head) = (&segments[item / shape.kv_heads], item % shape.kv_heads);
            let (start, length) = (segment.place(shape, kv_head), segment.head_length(shape));
            // SAFETY: inside `numbers`; each head of each segment has a place of its own.
            let own = unsafe { std::slice::from_raw_parts_mut(place.get().add(start), length) };
            own.fill(0.0);
            #[cfg(target_arch = "x86_64")]
            if isa == Isa::Avx512Bf16 && gradients.arithmetic == Arithmetic::Bf16 {
                // SAFETY: an `Isa` is only chosen after `Isa::available` found its instructions on this machine.
                unsafe { dots::segment_gradient(&given, (segment, kv_head), (own, to), &mut scratch) };
                continue;
            }
            strips::segment_gradient(isa, &given, (segment, kv_head), own, to);
        }
    });
    let readers = readers(&segments, stored.len());
    threads.each(stored.len(), &|block| {
        add_up(&given, block, (&segments, &readers[block], &numbers), to);
    });
}

struct Given<'a> {
    shape: AttentionShape,
    fused: &'a [f32],
    log_sums: &'a [f32],
    out_gradient: &'a [f32],
    stored: &'a [Stored],
}

impl Given<'_> {
    /// One token's key and value.
    #[inline(always)]
    fn key_value(&self, token: usize, kv_head: usize) -> (&[f32], &[f32]) {
        let (shape, width) = (self.shape, self.shape.head_width);
        let fused = &self.fused[token * shape.fused_width()..][..shape.fused_width()];
        let (key, value) = (shape.heads + kv_head, shape.heads + shape.kv_heads + kv_head);
        (&fused[key * width..][..width], &fused[value * width..][..width])
    }

    /// One token's query, what flows back into its result, and the logarithm of its denominator.
    #[inline(always)]
    fn query(&self, token: usize, head: usize) -> (&[f32], &[f32], f32) {
        let (shape, width) = (self.shape, self.shape.head_width);
        let query = &self.fused[token * shape.fused_width() + head * width..][..width];
        let place = token * shape.heads + head;
        (query, &self.out_gradient[place * width..][..width], self.log_sums[place])
    }
}

/// Whose keys and values a block holds: the first token and how many.
#[derive(Clone, Copy, Default)]
struct Stored {
    first_token: usize,
    tokens: usize,
}

/// By block. A block that none of the rows fills holds no token.
fn stored_blocks(rows: &[AttentionRow]) -> Vec<Stored> {
    let count = rows.iter().flat_map(|row| &row.blocks).max().map_or(0, |&last| last as usize + 1);
    let mut stored = vec![Stored::default(); count];
    for row in rows {
        assert!(row.first_position.is_multiple_of(BLOCK), "a row starts inside a block");
        let own = &row.blocks[row.first_position / BLOCK..];
        for (from, &block) in (0..row.tokens).step_by(BLOCK).zip(own) {
            let tokens = BLOCK.min(row.tokens - from);
            stored[block as usize] = Stored { first_token: row.first_token + from, tokens };
        }
    }
    stored
}

/// Some queries of one row.
struct Segment<'a> {
    row: &'a AttentionRow,
    from: usize,
    to: usize,
    /// Where its gradients start.
    start: usize,
}

impl Segment<'_> {
    /// The blocks that its last query sees.
    fn blocks(&self) -> &[u32] {
        &self.row.blocks[..(self.row.first_position + self.to).div_ceil(BLOCK)]
    }

    /// Numbers of one head's keys, or values: `[positions][padded]`.
    fn half_length(&self, shape: AttentionShape) -> usize {
        self.blocks().len() * BLOCK * padded(shape)
    }

    /// Numbers of one head's keys and values.
    fn head_length(&self, shape: AttentionShape) -> usize {
        2 * self.half_length(shape)
    }

    fn place(&self, shape: AttentionShape, kv_head: usize) -> usize {
        self.start + kv_head * self.head_length(shape)
    }
}

fn padded(shape: AttentionShape) -> usize {
    shape.head_width.next_multiple_of(LANES)
}

/// The segments of all rows, and how many numbers their gradients are.
fn segments(rows: &[AttentionRow], shape: AttentionShape) -> (Vec<Segment<'_>>, usize) {
    let (mut segments, mut start) = (Vec::new(), 0);
    for row in rows {
        for from in (0..row.tokens).step_by(SEGMENT) {
            let segment = Segment { row, from, to: (from + SEGMENT).min(row.tokens), start };
            start += shape.kv_heads * segment.head_length(shape);
            segments.push(segment);
        }
    }
    (segments, start)
}

/// For each block the segments that read it, in their order, with its index in their row.
fn readers(segments: &[Segment<'_>], blocks: usize) -> Vec<Vec<(usize, usize)>> {
    let mut readers = vec![Vec::new(); blocks];
    for (at, segment) in segments.iter().enumerate() {
        for (index, &block) in segment.blocks().iter().enumerate() {
            readers[block as usize].push((at, index));
        }
    }
    readers
}

/// Writes the gradient of a block's keys and values: the sum over its readers.
fn add_up(
    given: &Given<'_>,
    block: usize,
    (segments, readers, numbers): (&[Segment<'_>], &[(usize, usize)], &[f32]),
    to: SharedPointer<f32>,
) {
    let (shape, width) = (given.shape, given.shape.head_width);
    let Stored { first_token, tokens } = given.stored[block];
    for (slot, token) in (first_token..first_token + tokens).enumerate() {
        for head in 0..2 * shape.kv_heads {
            let at = token * shape.fused_width() + (shape.heads + head) * width;
            // SAFETY: inside the gradient, as its length was asserted; a token's keys and values are in one block alone.
            let sum = unsafe { std::slice::from_raw_parts_mut(to.get().add(at), width) };
            sum.fill(0.0);
            for &(segment, index) in readers {
                let segment = &segments[segment];
                let values = head / shape.kv_heads * segment.half_length(shape);
                let from = segment.place(shape, head % shape.kv_heads) + values;
                let own = &numbers[from + (index * BLOCK + slot) * padded(shape)..][..width];
                sum.iter_mut().zip(own).for_each(|(sum, own)| *sum += own);
            }
        }
    }
}

/// Writes one query's gradient.
#[inline(always)]
fn write(to: SharedPointer<f32>, at: usize, numbers: &[f32]) {
    // SAFETY: inside the gradient, as its length was asserted; each query of each token is written by the one item that owns it.
    let place = unsafe { std::slice::from_raw_parts_mut(to.get().add(at), numbers.len()) };
    place.copy_from_slice(numbers);
}

#[cfg(target_arch = "x86_64")]
mod dots;
mod strips;
