//! Two bf16 numbers in one word: what bf16 dot products multiply.

use bytemuck::{Pod, Zeroable};

use super::element::{Bf16, Element};

/// Two neighbours of an inner dimension, the first in the lower half.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(transparent)]
pub(super) struct Pair(pub(super) u32);

impl Pair {
    /// Rounds both to nearest, ties to even.
    #[inline(always)]
    pub(super) fn of(first: f32, second: f32) -> Self {
        Self(u32::from(Bf16::narrow(first).0) | (u32::from(Bf16::narrow(second).0) << 16))
    }

    #[inline(always)]
    pub(super) fn first(self) -> f32 {
        f32::from_bits(self.0 << 16)
    }

    #[inline(always)]
    pub(super) fn second(self) -> f32 {
        f32::from_bits(self.0 & 0xffff_0000)
    }
}
