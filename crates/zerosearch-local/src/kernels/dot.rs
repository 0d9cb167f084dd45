//! The inner loop of attention and of the matrix product with bf16 dot products: several rows times several vectors of sixteen columns.

use std::arch::x86_64::{
    __m256bh, __m512, __m512bh, __m512i, _MM_HINT_T0, _MM_HINT_T1, _mm_prefetch, _mm512_cvtne2ps_pbh,
    _mm512_cvtneps_pbh, _mm512_dpbf16_ps, _mm512_loadu_si512, _mm512_permutexvar_epi16, _mm512_set1_epi32,
    _mm512_setzero_ps,
};

use super::pair::Pair;
use super::strip::LANES;

/// Rows whose sums, four vectors each, fit the registers.
pub(super) const ROWS: usize = 6;

/// Sums of `R` rows in `V` vectors.
pub(super) type Sums<const R: usize, const V: usize> = [[__m512; V]; R];

/// A left factor addressed by row and pair, each with its stride.
#[derive(Clone, Copy)]
pub(super) struct Pairs<'a> {
    pub(super) words: &'a [Pair],
    pub(super) row: usize,
    pub(super) inner: usize,
}

/// Sums of nothing.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn zero<const R: usize, const V: usize>() -> Sums<R, V> {
    [[_mm512_setzero_ps(); V]; R]
}

/// `sums[r][v] += left[r][i] . right[v][i * stride..][..LANES]` for the pairs `i` from 0 to `pairs`, in this order.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) fn dot<const R: usize, const V: usize>(
    sums: &mut Sums<R, V>,
    left: Pairs<'_>,
    right: [&[Pair]; V],
    (stride, pairs): (usize, usize),
) {
    dot_and_fetch::<R, V, 0>(sums, left, right, (stride, pairs), &[]);
}

/// As [`dot`]; meanwhile so many cache `LINES` of `ahead` are brought near for each pair.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) fn dot_and_fetch<const R: usize, const V: usize, const LINES: usize>(
    sums: &mut Sums<R, V>,
    left: Pairs<'_>,
    right: [&[Pair]; V],
    (stride, pairs): (usize, usize),
    ahead: &[Pair],
) {
    if pairs == 0 {
        return;
    }
    assert!((R - 1) * left.row + (pairs - 1) * left.inner < left.words.len());
    assert!(right.iter().all(|right| (pairs - 1) * stride + LANES <= right.len()));
    let mut running = *sums;
    for i in 0..pairs {
        for line in 0..LINES {
            _mm_prefetch::<_MM_HINT_T1>(ahead.as_ptr().wrapping_add((i * LINES + line) * LANES).cast());
        }
        // SAFETY: both factors reach over `pairs` pairs, as asserted above.
        unsafe {
            let values: [__m512i; V] =
                std::array::from_fn(|v| _mm512_loadu_si512(right[v].as_ptr().add(i * stride).cast()));
            for (r, sums) in running.iter_mut().enumerate() {
                let pair = left.words.get_unchecked(r * left.row + i * left.inner).0;
                let pair = _mm512_set1_epi32(pair.cast_signed());
                for (sum, &value) in sums.iter_mut().zip(&values) {
                    *sum = multiply_add(*sum, pair, value);
                }
            }
        }
    }
    *sums = running;
}

/// Adds the products of the pairs of `left` and `right` to `sum`.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
pub(super) fn multiply_add(sum: __m512, left: __m512i, right: __m512i) -> __m512 {
    // SAFETY: both types are 512 bits without meaning of their own.
    unsafe {
        _mm512_dpbf16_ps(
            sum,
            std::mem::transmute::<__m512i, __m512bh>(left),
            std::mem::transmute::<__m512i, __m512bh>(right),
        )
    }
}

/// Brings near what lies `distance` numbers after `numbers`, if anything does.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn fetch(numbers: &[f32], distance: usize) {
    for line in numbers.chunks(LANES) {
        _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().wrapping_add(distance).cast());
    }
}

/// `to[i]` becomes the pair of the numbers `2 i` and `2 i + 1` of `from`, rounded to nearest, ties to even.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
pub(super) fn narrow(from: &[f32], to: &mut [Pair]) {
    let (chunks, rest) = from.as_chunks::<LANES>();
    for (from, to) in chunks.iter().zip(to.as_chunks_mut::<{ LANES / 2 }>().0) {
        // SAFETY: sixteen f32 are 512 bits, eight pairs are 256; the types are only bits.
        *to = unsafe {
            let numbers = std::mem::transmute::<[f32; LANES], __m512>(*from);
            std::mem::transmute::<__m256bh, [Pair; LANES / 2]>(_mm512_cvtneps_pbh(numbers))
        };
    }
    for (from, to) in rest.chunks(2).zip(&mut to[chunks.len() * LANES / 2..]) {
        *to = Pair::of(from[0], from.get(1).copied().unwrap_or(0.0));
    }
}

/// The order in which the lanes of two rounded vectors, one after the other, become pairs of the first's and the second's.
const INTERLEAVED: [u16; 2 * LANES] = {
    let mut order = [0; 2 * LANES];
    let mut at = 0;
    while at < 2 * LANES {
        order[at] = (at / 2 + at % 2 * LANES) as u16;
        at += 1;
    }
    order
};

/// `to[i]` becomes the pair of `first[i]` and `second[i]`, rounded as [`narrow`] does.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) fn narrow_both((first, second): (&[f32], &[f32]), to: &mut [Pair]) {
    let (chunks, rest) = first.as_chunks::<LANES>();
    let (second_chunks, second_rest) = second.as_chunks::<LANES>();
    for ((first, second), to) in chunks.iter().zip(second_chunks).zip(to.as_chunks_mut::<LANES>().0) {
        // SAFETY: the types are only bits, 512 of them.
        *to = unsafe {
            let [first, second] =
                [first, second].map(|numbers| std::mem::transmute::<[f32; LANES], __m512>(*numbers));
            let both = std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(second, first));
            let order = std::mem::transmute::<[u16; 2 * LANES], __m512i>(INTERLEAVED);
            std::mem::transmute::<__m512i, [Pair; LANES]>(_mm512_permutexvar_epi16(order, both))
        };
    }
    let rest = rest.iter().zip(second_rest).zip(&mut to[chunks.len() * LANES..]);
    rest.for_each(|((&first, &second), to)| *to = Pair::of(first, second));
}
