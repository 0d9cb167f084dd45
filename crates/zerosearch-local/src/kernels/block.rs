//! Keys and values in blocks of [`BLOCK`] positions.
//!
//! A row of tokens owns (or shares) a list of blocks; block `i` of the list holds positions `16 i` to `16 i + 15`, always,
//! so that attention cuts its keys at absolute positions whatever part of the row is new. Inside a block each layer and
//! head has its keys as `[head_width][BLOCK]` and its values as `[BLOCK][padded head_width]`.

use bytemuck::zeroed_vec;

use super::element::{Arithmetic, Bf16, Element};
use super::strip::LANES;

/// Positions of one block.
pub(crate) const BLOCK: usize = LANES;

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

    fn key_length(self) -> usize {
        self.head_width * BLOCK
    }

    fn head_length(self) -> usize {
        self.key_length() + BLOCK * self.padded()
    }

    fn block_length(self) -> usize {
        self.layers * self.kv_heads * self.head_length()
    }
}

/// A growing store of blocks, addressed by number.
pub(crate) struct KeyValueBlocks {
    pub(super) layout: BlockLayout,
    pub(super) numbers: BlockNumbers,
}

pub(super) enum BlockNumbers {
    Bf16(Vec<Box<[Bf16]>>),
    F32(Vec<Box<[f32]>>),
}

impl KeyValueBlocks {
    /// An empty store. `[layers, kv_heads, head_width]` of the model.
    pub(crate) fn new(arithmetic: Arithmetic, [layers, kv_heads, head_width]: [usize; 3]) -> Self {
        let numbers = match arithmetic {
            Arithmetic::Bf16 => BlockNumbers::Bf16(Vec::new()),
            Arithmetic::F32 => BlockNumbers::F32(Vec::new()),
        };
        Self { layout: BlockLayout { layers, kv_heads, head_width }, numbers }
    }

    /// Bytes of one block.
    pub(crate) fn block_bytes(&self) -> usize {
        self.layout.block_length()
            * match &self.numbers {
                BlockNumbers::Bf16(_) => 2,
                BlockNumbers::F32(_) => 4,
            }
    }

    /// Grows the store to `count` blocks. New ones are zero: what a masked position holds must be finite.
    pub(crate) fn grow(&mut self, count: usize) {
        let length = self.layout.block_length();
        match &mut self.numbers {
            BlockNumbers::Bf16(blocks) => blocks.resize_with(count, || zeroed_vec(length).into_boxed_slice()),
            BlockNumbers::F32(blocks) => blocks.resize_with(count, || zeroed_vec(length).into_boxed_slice()),
        }
    }

    /// Stores one position's keys and values (`[kv_heads][head_width]` each) of one layer.
    pub(crate) fn write(&mut self, layer: usize, (block, slot): (u32, usize), keys: &[f32], values: &[f32]) {
        let layout = self.layout;
        match &mut self.numbers {
            BlockNumbers::Bf16(blocks) => {
                write(&mut blocks[block as usize], layout, (layer, slot), (keys, values))
            }
            BlockNumbers::F32(blocks) => {
                write(&mut blocks[block as usize], layout, (layer, slot), (keys, values))
            }
        }
    }
}

/// The keys and the values of one head in one block.
#[inline(always)]
pub(super) fn head<E>(block: &[E], layout: BlockLayout, layer: usize, kv_head: usize) -> (&[E], &[E]) {
    let start = (layer * layout.kv_heads + kv_head) * layout.head_length();
    block[start..start + layout.head_length()].split_at(layout.key_length())
}

fn write<E: Element>(
    block: &mut [E],
    layout: BlockLayout,
    (layer, slot): (usize, usize),
    (keys, values): (&[f32], &[f32]),
) {
    let width = layout.head_width;
    for kv_head in 0..layout.kv_heads {
        let start = (layer * layout.kv_heads + kv_head) * layout.head_length();
        let (key, value) = block[start..start + layout.head_length()].split_at_mut(layout.key_length());
        for (at, &number) in keys[kv_head * width..][..width].iter().enumerate() {
            key[at * BLOCK + slot] = E::narrow(number);
        }
        for (at, &number) in values[kv_head * width..][..width].iter().enumerate() {
            value[slot * layout.padded() + at] = E::narrow(number);
        }
    }
}
