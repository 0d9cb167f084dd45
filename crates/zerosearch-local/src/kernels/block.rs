//! Keys and values in blocks of [`BLOCK`] positions.
//!
//! A row of tokens owns (or shares) a list of blocks; block `i` of the list holds positions `16 i` to `16 i + 15`, always,
//! so that attention cuts its keys at absolute positions whatever part of the row is new. Inside a block each layer and
//! head has its keys as `[head_width][BLOCK]` and its values as `[BLOCK][padded head_width]`; in bf16 two neighbours of the
//! first dimension share a [`Pair`], as dot products want them.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use bytemuck::Pod;

use super::attention::{AttentionRow, AttentionShape, assert_disjoint};
use super::element::{Arithmetic, Bf16, Element};
use super::pair::Pair;
use super::strip::LANES;
use super::threads::{SharedPointer, Threads};
use super::workspace::{Buffer, Workspace};

/// Positions of one block.
pub(crate) const BLOCK: usize = LANES;

/// What blocks are made of: one number, or a pair.
pub(super) trait Word: Pod + Send + Sync {
    /// How many numbers it holds.
    const NUMBERS: usize;

    /// Rounds a number to what it holds, and replaces one of its own.
    fn put(&mut self, part: usize, number: &mut f32);

    /// Rows of `columns` words as rows of `columns` numbers, in `scratch` unless they are that already.
    fn unpack<'a>(words: &'a [Self], columns: usize, scratch: &'a mut [f32]) -> &'a [f32];
}

impl Word for f32 {
    const NUMBERS: usize = 1;

    #[inline(always)]
    fn put(&mut self, _: usize, number: &mut f32) {
        *self = *number;
    }

    #[inline(always)]
    fn unpack<'a>(words: &'a [Self], _: usize, _: &'a mut [f32]) -> &'a [f32] {
        words
    }
}

impl Word for Pair {
    const NUMBERS: usize = 2;

    #[inline(always)]
    fn put(&mut self, part: usize, number: &mut f32) {
        let (rounded, shift) = (Bf16::narrow(*number), 16 * part);
        self.0 = (self.0 & !(0xffff << shift)) | (u32::from(rounded.0) << shift);
        *number = rounded.widen();
    }

    #[inline(always)]
    fn unpack<'a>(words: &'a [Self], columns: usize, scratch: &'a mut [f32]) -> &'a [f32] {
        for (words, rows) in words.chunks_exact(columns).zip(scratch.chunks_exact_mut(2 * columns)) {
            let (first, second) = rows.split_at_mut(columns);
            for ((word, first), second) in words.iter().zip(first).zip(second) {
                (*first, *second) = (word.first(), word.second());
            }
        }
        &scratch[..2 * words.len()]
    }
}

/// What the blocks of one model look like.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockLayout {
    pub(super) layers: usize,
    pub(super) kv_heads: usize,
    pub(super) head_width: usize,
}

impl BlockLayout {
    /// Values of one position, padded to whole vectors.
    pub(super) fn padded(self) -> usize {
        self.head_width.next_multiple_of(LANES)
    }

    /// Words of one head's keys.
    fn key_length<W: Word>(self) -> usize {
        self.head_width.div_ceil(W::NUMBERS) * BLOCK
    }

    fn head_length<W: Word>(self) -> usize {
        self.key_length::<W>() + BLOCK / W::NUMBERS * self.padded()
    }

    fn block_length<W: Word>(self) -> usize {
        self.layers * self.kv_heads * self.head_length::<W>()
    }
}

/// A growing store of blocks, addressed by number.
pub(crate) struct KeyValueBlocks {
    pub(super) layout: BlockLayout,
    pub(super) words: BlockWords,
    home: Workspace,
}

pub(super) enum BlockWords {
    Bf16(Vec<Block<Pair>>),
    F32(Vec<Block<f32>>),
}

/// The words of one block.
pub(super) struct Block<W> {
    memory: Buffer,
    word: PhantomData<W>,
}

impl<W: Word> Deref for Block<W> {
    type Target = [W];

    #[inline(always)]
    fn deref(&self) -> &[W] {
        self.memory.numbers()
    }
}

impl<W: Word> DerefMut for Block<W> {
    fn deref_mut(&mut self) -> &mut [W] {
        self.memory.numbers_mut()
    }
}

impl KeyValueBlocks {
    /// An empty store of blocks from `home`. `[layers, kv_heads, head_width]` of the model.
    pub(crate) fn new(
        arithmetic: Arithmetic,
        [layers, kv_heads, head_width]: [usize; 3],
        home: &Workspace,
    ) -> Self {
        let words = match arithmetic {
            Arithmetic::Bf16 => BlockWords::Bf16(Vec::new()),
            Arithmetic::F32 => BlockWords::F32(Vec::new()),
        };
        Self { layout: BlockLayout { layers, kv_heads, head_width }, words, home: home.clone() }
    }

    /// Bytes of one block.
    pub(crate) fn block_bytes(&self) -> usize {
        4 * match &self.words {
            BlockWords::Bf16(_) => self.layout.block_length::<Pair>(),
            BlockWords::F32(_) => self.layout.block_length::<f32>(),
        }
    }

    /// Grows the store to `count` blocks, which hold whatever was there before.
    pub(crate) fn grow(&mut self, count: usize) {
        match &mut self.words {
            BlockWords::Bf16(blocks) => grow(blocks, count, (self.layout, &self.home)),
            BlockWords::F32(blocks) => grow(blocks, count, (self.layout, &self.home)),
        }
    }

    /// Gives up every block.
    pub(crate) fn clear(&mut self) {
        match &mut self.words {
            BlockWords::Bf16(blocks) => blocks.clear(),
            BlockWords::F32(blocks) => blocks.clear(),
        }
    }

    /// Rounds the keys and values in `fused` (`[tokens][fused_width]`) to what blocks hold, and stores them as those of one
    /// layer. Panics when two rows write to one block, or a row has more tokens than there are.
    pub(crate) fn store(
        &mut self,
        threads: &Threads,
        (layer, shape): (usize, AttentionShape),
        (rows, fused): (&[AttentionRow], &mut [f32]),
    ) {
        let place = (self.layout, layer);
        match &mut self.words {
            BlockWords::Bf16(blocks) => store(threads, (blocks, place), shape, (rows, fused)),
            BlockWords::F32(blocks) => store(threads, (blocks, place), shape, (rows, fused)),
        }
    }
}

fn grow<W: Word>(blocks: &mut Vec<Block<W>>, count: usize, (layout, home): (BlockLayout, &Workspace)) {
    let length = layout.block_length::<W>();
    blocks.resize_with(count, || Block { memory: home.take(length), word: PhantomData });
}

/// The keys and the values of one head in one block.
#[inline(always)]
pub(super) fn head<W: Word>(block: &[W], layout: BlockLayout, layer: usize, kv_head: usize) -> (&[W], &[W]) {
    let start = (layer * layout.kv_heads + kv_head) * layout.head_length::<W>();
    block[start..start + layout.head_length::<W>()].split_at(layout.key_length::<W>())
}

/// New tokens of one block.
#[derive(Clone, Copy)]
struct Stretch {
    block: u32,
    first_token: usize,
    first_slot: usize,
    tokens: usize,
}

/// In the order of their blocks.
fn stretches(rows: &[AttentionRow]) -> Vec<Stretch> {
    let of_row = |row: &AttentionRow| {
        let (first_token, from, to) = (row.first_token, row.first_position, row.first_position + row.tokens);
        let blocks = row.blocks[from / BLOCK..to.div_ceil(BLOCK)].to_vec();
        blocks.into_iter().enumerate().map(move |(index, block)| {
            let start = (from / BLOCK + index) * BLOCK;
            let (first, last) = (start.max(from), (start + BLOCK).min(to));
            Stretch {
                block,
                first_token: first_token + first - from,
                first_slot: first - start,
                tokens: last - first,
            }
        })
    };
    let mut all: Vec<Stretch> = rows.iter().flat_map(of_row).collect();
    all.sort_by_key(|stretch| stretch.block);
    assert!(all.windows(2).all(|two| two[0].block < two[1].block), "two rows write to one block");
    all
}

fn store<W: Word>(
    threads: &Threads,
    (blocks, place): (&mut [Block<W>], (BlockLayout, usize)),
    shape: AttentionShape,
    (rows, fused): (&[AttentionRow], &mut [f32]),
) {
    let width = shape.fused_width();
    assert_disjoint(rows, fused.len() / width);
    let stretches = stretches(rows);
    assert!(stretches.last().is_none_or(|last| (last.block as usize) < blocks.len()), "no such block");
    let (blocks, fused) = (SharedPointer(blocks.as_mut_ptr()), SharedPointer(fused.as_mut_ptr()));
    threads.each(stretches.len(), &|item| {
        let stretch = stretches[item];
        // SAFETY: there is such a block, and no other stretch has it.
        let block = unsafe { &mut *blocks.get().add(stretch.block as usize) };
        for index in 0..stretch.tokens {
            // SAFETY: a row's token, of which there are enough and which no other row has.
            let token = unsafe {
                std::slice::from_raw_parts_mut(fused.get().add((stretch.first_token + index) * width), width)
            };
            let numbers = &mut token[shape.heads * shape.head_width..];
            let (keys, values) = numbers.split_at_mut(shape.kv_heads * shape.head_width);
            write(block, place, stretch.first_slot + index, (keys, values));
        }
    });
}

fn write<W: Word>(
    block: &mut [W],
    (layout, layer): (BlockLayout, usize),
    slot: usize,
    (keys, values): (&mut [f32], &mut [f32]),
) {
    let width = layout.head_width;
    let heads = keys.chunks_exact_mut(width).zip(values.chunks_exact_mut(width));
    for (kv_head, (keys, values)) in heads.enumerate() {
        let start = (layer * layout.kv_heads + kv_head) * layout.head_length::<W>();
        let (key, value) =
            block[start..start + layout.head_length::<W>()].split_at_mut(layout.key_length::<W>());
        for (at, number) in keys.iter_mut().enumerate() {
            key[at / W::NUMBERS * BLOCK + slot].put(at % W::NUMBERS, number);
        }
        for (at, number) in values.iter_mut().enumerate() {
            value[slot / W::NUMBERS * layout.padded() + at].put(slot % W::NUMBERS, number);
        }
    }
}
