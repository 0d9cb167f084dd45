//! Dequantising: the numbers that a GGUF tensor's bytes stand for.
//!
//! Quantised rows are cut into blocks of 32 or 256 numbers that share their scales. With `q` an unsigned code, `d` and
//! `m` half-precision floats and `s`, `t` small integers of a sub-block:
//!
//! ```text
//! Q8_0  x = d q          q of 8 bits, signed          Q4_K  x = d s q - m t    q of 4 bits, sub-blocks of 32
//! Q4_0  x = d (q - 8)    Q4_1  x = d q + m            Q5_K  x = d s q - m t    q of 5 bits, sub-blocks of 32
//! Q5_0  x = d (q - 16)   Q5_1  x = d q + m            Q6_K  x = d s (q - 32)   q of 6 bits, sub-blocks of 16
//! ```

use half::{bf16, f16};

use super::encoding::Encoding;

impl Encoding {
    /// The numbers that whole blocks stand for. Bytes past the last whole block are left out.
    pub(super) fn decode(self, bytes: &[u8]) -> Vec<f32> {
        let mut numbers = vec![0.0; bytes.len() / self.block_bytes() * self.block_numbers()];
        let blocks =
            bytes.chunks_exact(self.block_bytes()).zip(numbers.chunks_exact_mut(self.block_numbers()));
        let decode_block: fn(&[u8], &mut [f32]) = match self {
            Self::F32 => |block, out| out[0] = f32::from_le_bytes([block[0], block[1], block[2], block[3]]),
            Self::F16 => |block, out| out[0] = half_at(block, 0),
            Self::Bf16 => |block, out| out[0] = bf16::from_le_bytes([block[0], block[1]]).to_f32(),
            Self::Q4_0 => q4_0,
            Self::Q4_1 => q4_1,
            Self::Q5_0 => q5_0,
            Self::Q5_1 => q5_1,
            Self::Q8_0 => q8_0,
            Self::Q4K => q4_k,
            Self::Q5K => q5_k,
            Self::Q6K => q6_k,
        };
        for (block, out) in blocks {
            decode_block(block, out);
        }
        numbers
    }
}

fn half_at(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

fn q8_0(block: &[u8], out: &mut [f32]) {
    let d = half_at(block, 0);
    for (x, &q) in out.iter_mut().zip(&block[2..]) {
        *x = d * f32::from(q as i8);
    }
}

fn q4_0(block: &[u8], out: &mut [f32]) {
    let d = half_at(block, 0);
    let (low, high) = out.split_at_mut(16);
    for (i, &pair) in block[2..].iter().enumerate() {
        low[i] = d * f32::from((pair & 15) as i8 - 8);
        high[i] = d * f32::from((pair >> 4) as i8 - 8);
    }
}

fn q4_1(block: &[u8], out: &mut [f32]) {
    let (d, m) = (half_at(block, 0), half_at(block, 2));
    let (low, high) = out.split_at_mut(16);
    for (i, &pair) in block[4..].iter().enumerate() {
        low[i] = d * f32::from(pair & 15) + m;
        high[i] = d * f32::from(pair >> 4) + m;
    }
}

/// The 5-bit codes of 32 numbers: bit `i` of `fifth` tops the low half byte `i` of `pairs`, bit `i + 16` the high one.
fn five_bits(fifth: &[u8], pairs: &[u8], i: usize) -> (u8, u8) {
    let bit = |at: usize| (fifth[at / 8] >> (at % 8) & 1) << 4;
    (pairs[i] & 15 | bit(i), pairs[i] >> 4 | bit(i + 16))
}

fn q5_0(block: &[u8], out: &mut [f32]) {
    let d = half_at(block, 0);
    let (low, high) = out.split_at_mut(16);
    for i in 0..16 {
        let (first, second) = five_bits(&block[2..6], &block[6..], i);
        low[i] = d * f32::from(first as i8 - 16);
        high[i] = d * f32::from(second as i8 - 16);
    }
}

fn q5_1(block: &[u8], out: &mut [f32]) {
    let (d, m) = (half_at(block, 0), half_at(block, 2));
    let (low, high) = out.split_at_mut(16);
    for i in 0..16 {
        let (first, second) = five_bits(&block[4..8], &block[8..], i);
        low[i] = d * f32::from(first) + m;
        high[i] = d * f32::from(second) + m;
    }
}

/// The 6-bit scale and minimum of sub-block `i` of 8. The first four lie in the low six bits of bytes 0-3 and 4-7; the
/// others have their low four bits in bytes 8-11 and their high two on top of bytes 0-7.
fn scale_and_minimum(packed: &[u8], i: usize) -> (f32, f32) {
    let (scale, minimum) = if i < 4 {
        (packed[i] & 63, packed[i + 4] & 63)
    } else {
        (packed[i + 4] & 15 | packed[i - 4] >> 6 << 4, packed[i + 4] >> 4 | packed[i] >> 6 << 4)
    };
    (f32::from(scale), f32::from(minimum))
}

fn q4_k(block: &[u8], out: &mut [f32]) {
    let (d, m) = (half_at(block, 0), half_at(block, 2));
    let (packed, codes) = block[4..].split_at(12);
    for (i, sub_block) in out.chunks_exact_mut(32).enumerate() {
        let (scale, minimum) = scale_and_minimum(packed, i);
        let (scale, minimum) = (d * scale, m * minimum);
        // Two neighbouring sub-blocks share 32 bytes: the low half bytes are the first's.
        for (x, &pair) in sub_block.iter_mut().zip(&codes[i / 2 * 32..]) {
            *x = scale * f32::from(pair >> (i % 2 * 4) & 15) - minimum;
        }
    }
}

fn q5_k(block: &[u8], out: &mut [f32]) {
    let (d, m) = (half_at(block, 0), half_at(block, 2));
    let (packed, rest) = block[4..].split_at(12);
    let (fifth, codes) = rest.split_at(32);
    for (i, sub_block) in out.chunks_exact_mut(32).enumerate() {
        let (scale, minimum) = scale_and_minimum(packed, i);
        let (scale, minimum) = (d * scale, m * minimum);
        for ((x, &pair), &top) in sub_block.iter_mut().zip(&codes[i / 2 * 32..]).zip(fifth) {
            let code = pair >> (i % 2 * 4) & 15 | (top >> i & 1) << 4;
            *x = scale * f32::from(code) - minimum;
        }
    }
}

fn q6_k(block: &[u8], out: &mut [f32]) {
    let (low, rest) = block.split_at(128);
    let (high, rest) = rest.split_at(64);
    let d = half_at(rest, 16);
    for (at, x) in out.iter_mut().enumerate() {
        // Each half of the block has 64 bytes of low half bytes (numbers 0-63 low, 64-127 high) and 32 bytes of top bit pairs.
        let (half, within) = (at / 128, at % 128);
        let four = low[half * 64 + within % 64] >> (within / 64 * 4) & 15;
        let two = high[half * 32 + within % 32] >> (within / 32 * 2) & 3;
        let scale = f32::from(rest[at / 16] as i8);
        *x = d * scale * f32::from((four | two << 4) as i8 - 32);
    }
}

#[cfg(test)]
mod tests;
