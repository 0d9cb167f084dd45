//! The bf16 tile with bf16 dot products: 6 x 64 or 12 x 32 accumulators live in 24 registers.

use std::arch::x86_64::{_mm512_mask_storeu_ps, _mm512_maskz_loadu_ps};

use super::super::dot::{Pairs, Sums, dot, dot_and_fetch, zero};
use super::{Corner, Factors, LANES, Left, NARROW_TILE_ROWS, PANEL, Pair, PanelNumbers, TILE_ROWS, Tile};

const VECTORS: usize = PANEL / LANES;

/// What a tile is the product of.
#[derive(Clone, Copy)]
struct Sides<'a> {
    left: Pairs<'a>,
    right: &'a [Pair],
    /// Where the panels have what will be needed soon.
    ahead: &'a [Pair],
    pairs: usize,
}

impl<'a> Sides<'a> {
    fn new(factors: &Factors<'a>, tile: &Tile, ahead: Option<usize>) -> Self {
        let (Left::Bf16(words, steps), PanelNumbers::Bf16(panels)) = (factors.left, &factors.panels.numbers)
        else {
            unreachable!("bf16 panels decide that rows are laid out in bf16")
        };
        let panels = panels.pairs();
        Self {
            left: Pairs { words: &words[tile.first * steps.row..], row: steps.row, inner: steps.inner },
            right: &panels[factors.right / 2..],
            // The last stretch of a panel may be shorter than the one before: then there is less to bring near.
            ahead: ahead.and_then(|at| panels.get(at / 2..)).unwrap_or_default(),
            pairs: factors.inner / 2,
        }
    }

    /// Its vectors of the right factor.
    fn vectors<const V: usize>(&self) -> [&'a [Pair]; V] {
        std::array::from_fn(|vector| &self.right[vector * LANES..])
    }
}

/// # Safety
/// `corner` must belong to the tile.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn tile(factors: &Factors<'_>, then: Option<&Factors<'_>>, tile: &Tile, corner: Corner) {
    let sides = Sides::new(factors, tile, tile.ahead);
    // SAFETY: passed on as promised.
    unsafe {
        match then {
            None => widths::<false>(&[&sides], tile, corner),
            // By reference: a copy would wait until what was just written has left for the cache.
            Some(then) => widths::<true>(&[&sides, &Sides::new(then, tile, None)], tile, corner),
        }
    }
}

/// # Safety
/// As [`tile`]. There are second sides where the tile `ADDS` them; apart, because they take registers from the loop of the first.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn widths<const ADDS: bool>(sides: &[&Sides<'_>], tile: &Tile, corner: Corner) {
    // SAFETY: passed on as promised.
    unsafe {
        match (tile.columns.div_ceil(LANES), tile.rows) {
            (1, NARROW_TILE_ROWS) => rows::<NARROW_TILE_ROWS, 1, ADDS>(sides, tile, corner),
            (2, NARROW_TILE_ROWS) => rows::<NARROW_TILE_ROWS, 2, ADDS>(sides, tile, corner),
            (1, _) => vectors::<1, ADDS>(sides, tile, corner),
            (2, _) => vectors::<2, ADDS>(sides, tile, corner),
            (3, _) => vectors::<3, ADDS>(sides, tile, corner),
            _ => vectors::<VECTORS, ADDS>(sides, tile, corner),
        }
    }
}

/// # Safety
/// As [`widths`], whose columns lie in `V` vectors.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn vectors<const V: usize, const ADDS: bool>(sides: &[&Sides<'_>], tile: &Tile, corner: Corner) {
    // SAFETY: passed on as promised; each arm has exactly the tile's number of rows.
    unsafe {
        match tile.rows {
            1 => rows::<1, V, ADDS>(sides, tile, corner),
            2 => rows::<2, V, ADDS>(sides, tile, corner),
            3 => rows::<3, V, ADDS>(sides, tile, corner),
            4 => rows::<4, V, ADDS>(sides, tile, corner),
            5 => rows::<5, V, ADDS>(sides, tile, corner),
            _ => rows::<TILE_ROWS, V, ADDS>(sides, tile, corner),
        }
    }
}

/// # Safety
/// As [`vectors`], and the tile has `R` rows.
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn rows<const R: usize, const V: usize, const ADDS: bool>(
    sides: &[&Sides<'_>],
    tile: &Tile,
    corner: Corner,
) {
    let mut sums: Sums<R, V> = zero();
    let mask = |vector: usize| -> u16 {
        match tile.columns.saturating_sub(vector * LANES) {
            0 => 0,
            width if width >= LANES => u16::MAX,
            width => (1 << width) - 1,
        }
    };
    let place = |r: usize, vector: usize| corner.pointer.wrapping_add(r * corner.stride + vector * LANES);
    if tile.keep {
        for (r, sums) in sums.iter_mut().enumerate() {
            for (vector, sum) in sums.iter_mut().enumerate() {
                // SAFETY: masked lanes beyond the tile's columns are not touched.
                *sum = unsafe { _mm512_maskz_loadu_ps(mask(vector), place(r, vector)) };
            }
        }
    }
    let &Sides { left, ahead, pairs, .. } = sides[0];
    let (right, reach) = (sides[0].vectors::<V>(), (PANEL, pairs));
    match tile.lines {
        _ if ahead.is_empty() => dot(&mut sums, left, right, reach),
        1 => dot_and_fetch::<R, V, 1>(&mut sums, left, right, reach, ahead),
        _ => dot_and_fetch::<R, V, 2>(&mut sums, left, right, reach, ahead),
    }
    if ADDS {
        let then = sides[1];
        dot(&mut sums, then.left, then.vectors::<V>(), (PANEL, then.pairs));
    }
    for (r, sums) in sums.iter().enumerate() {
        for (vector, &sum) in sums.iter().enumerate() {
            // SAFETY: as for the loads.
            unsafe { _mm512_mask_storeu_ps(place(r, vector), mask(vector), sum) };
        }
    }
}
