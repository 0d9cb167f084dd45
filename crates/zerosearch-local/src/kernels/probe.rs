//! Probes: loops that do nothing but one thing, to know how fast this machine does it at best.

use std::hint::black_box;

use super::element::Arithmetic;
use super::isa::{Isa, for_each_isa, multiply_add};
use super::strip::{LANES, Lanes};

/// Rounds of one call: about a millisecond.
const ROUNDS: usize = 1 << 17;

/// Multiplies and adds in registers, as fast as a product's inner loop could at best. Returns the number of operations.
pub(crate) fn dot_products(isa: Isa, arithmetic: Arithmetic) -> f64 {
    let mut rows = 0;
    match (isa, arithmetic) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: an `Isa` is only chosen after `Isa::available` found its instructions on this machine.
        (Isa::Avx512Bf16, Arithmetic::Bf16) => return unsafe { avx512::dot_products() },
        (Isa::Avx512Bf16, Arithmetic::F32) => twelve_rows(isa, &mut rows),
        _ => six_rows(isa, &mut rows),
    }
    (ROUNDS * rows * LANES * 2) as f64
}

for_each_isa! {
    /// As many accumulators as 16 registers of eight lanes hold.
    fn six_rows(rows: &mut usize) = six_rows_body;
}

for_each_isa! {
    /// As many as keep registers of sixteen lanes busy.
    fn twelve_rows(rows: &mut usize) = twelve_rows_body;
}

#[inline(always)]
fn six_rows_body<const FUSED: bool>(rows: &mut usize) {
    *rows = accumulate::<FUSED, 6>();
}

#[inline(always)]
fn twelve_rows_body<const FUSED: bool>(rows: &mut usize) {
    *rows = accumulate::<FUSED, 12>();
}

#[inline(always)]
fn accumulate<const FUSED: bool, const R: usize>() -> usize {
    let mut sums = [[0.0; LANES]; R];
    let (left, right): (Lanes, Lanes) = black_box(([1e-3; LANES], [1e-3; LANES]));
    for _ in 0..ROUNDS {
        for sums in &mut sums {
            for ((sum, left), right) in sums.iter_mut().zip(&left).zip(&right) {
                *sum = multiply_add::<FUSED>(*left, *right, *sum);
            }
        }
    }
    black_box(sums);
    R
}

for_each_isa! {
    /// Reads all of `words`.
    pub(crate) fn read(words: &[u64], sum: &mut u64) = read_body;
}

#[inline(always)]
fn read_body<const FUSED: bool>(words: &[u64], sum: &mut u64) {
    *sum = words.iter().fold(0, |sum, word| sum ^ word);
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    //! bf16 dot products into 24 registers, as the bf16 product has them.

    use std::arch::x86_64::{
        __m512, __m512bh, __m512i, _mm512_dpbf16_ps, _mm512_set1_epi32, _mm512_setzero_ps,
    };
    use std::hint::black_box;

    use super::ROUNDS;

    const ACCUMULATORS: usize = 24;

    #[target_feature(enable = "avx512f,avx512bf16")]
    pub(super) fn dot_products() -> f64 {
        let mut sums: [__m512; ACCUMULATORS] = [_mm512_setzero_ps(); ACCUMULATORS];
        let ones: __m512i = black_box(_mm512_set1_epi32(0x3c00_3c00));
        // SAFETY: both types are 64 bytes in which every bit pattern is valid.
        let ones = unsafe { std::mem::transmute::<__m512i, __m512bh>(ones) };
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = _mm512_dpbf16_ps(*sum, ones, ones);
            }
        }
        black_box(sums);
        // Sixteen lanes of two products, each multiplied and added.
        (ROUNDS * ACCUMULATORS * 16 * 2 * 2) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: 6 accumulators of 16 lanes, or 24 of 32 products, two operations each.
    #[test]
    fn operations_are_counted() {
        assert_eq!(dot_products(Isa::Portable, Arithmetic::F32), (ROUNDS * 192) as f64);
        if Isa::Avx512Bf16.available() {
            assert_eq!(dot_products(Isa::Avx512Bf16, Arithmetic::Bf16), (ROUNDS * 1536) as f64);
        }
    }

    #[test]
    fn every_word_is_read() {
        let words: Vec<u64> = (0..1001).map(|at| 1 << (at % 64)).collect();
        for isa in Isa::ALL.into_iter().filter(|isa| isa.available()) {
            let mut sum = 0;
            read(isa, &words, &mut sum);
            // 1001 = 15 * 64 + 41: the lower 41 bits are set 16 times, the others 15 times.
            assert_eq!(sum, !0 << 41, "{isa}");
        }
    }
}
