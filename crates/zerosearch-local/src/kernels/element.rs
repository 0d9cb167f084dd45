//! The number formats that weights, operands and cached keys and values are stored in.

use std::fmt;

/// Which numbers matrix products multiply. Sums are f32 in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    /// bf16 factors: the fast mode.
    Bf16,
    /// f32 factors: for exact comparison with other programs.
    F32,
}

impl Arithmetic {
    /// Rounds numbers to what this arithmetic stores.
    pub(crate) fn round(self, numbers: &mut [f32]) {
        if self == Self::Bf16 {
            numbers.iter_mut().for_each(|number| *number = Bf16::narrow(*number).widen());
        }
    }

    /// Bytes of one stored number.
    pub fn bytes(self) -> usize {
        match self {
            Self::Bf16 => 2,
            Self::F32 => 4,
        }
    }
}

impl fmt::Display for Arithmetic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Bf16 => "bf16",
            Self::F32 => "f32",
        })
    }
}

/// A stored number that widens to f32.
pub(super) trait Element: Copy + Default + Send + Sync + 'static {
    /// Rounds to nearest, ties to even.
    fn narrow(value: f32) -> Self;
    /// Exact.
    fn widen(self) -> f32;
}

impl Element for f32 {
    #[inline(always)]
    fn narrow(value: f32) -> Self {
        value
    }
    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }
}

/// The upper half of an f32.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(transparent)]
pub(crate) struct Bf16(pub(super) u16);

impl Element for Bf16 {
    /// NaN stays NaN because its payload's upper bits are kept by the quiet bit.
    #[inline(always)]
    fn narrow(value: f32) -> Self {
        let bits = value.to_bits();
        let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
        let quiet = (bits >> 16) | 0x40;
        Self(if value.is_nan() { quiet } else { rounded } as u16)
    }
    #[inline(always)]
    fn widen(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The `half` crate is the independent implementation.
    #[test]
    fn bf16_rounds_as_ieee_says() {
        for bits in (0..=u32::MAX).step_by(65_521) {
            let value = f32::from_bits(bits);
            let ours = Bf16::narrow(value).widen();
            let theirs = half::bf16::from_f32(value).to_f32();
            assert!(ours.to_bits() == theirs.to_bits() || (ours.is_nan() && theirs.is_nan()), "{value}");
        }
    }
}
