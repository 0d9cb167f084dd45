//! The matrix product.
//!
//! `out[row][column] (+)= sum over i of operand[row][i] * panels[i][column]`. Each element has one f32 accumulator, to
//! which the products are added from the first `i` to the last (in bf16 two at a time, as one dot product does it);
//! cutting the inner dimension only parks that accumulator in `out`.

use super::isa::{Isa, for_each_isa, multiply_add};
use super::pair::Pair;
use super::panels::{Operand, OperandNumbers, PANEL, PanelNumbers, Panels, Steps};
use super::strip::{LANES, Lanes, Strided, strip};
use super::threads::{SharedPointer, Threads};

/// Rows whose accumulators fit the registers of the widest instruction set.
const TILE_ROWS: usize = 6;
/// Rows that one item of work covers.
const ROWS_AT_ONCE: usize = PANEL;
/// How much of the inner dimension is walked before the next tile: a panel's share stays in the second-level cache.
const INNER_AT_ONCE: usize = 2048;

/// One product to compute.
pub(crate) struct Product<'a> {
    /// The left factor.
    pub(crate) operand: &'a Operand,
    /// The right factor.
    pub(crate) panels: &'a Panels,
    /// `[rows][columns]`.
    pub(crate) out: &'a mut [f32],
    /// Add to what `out` holds instead of replacing it.
    pub(crate) accumulate: bool,
}

/// Computes one product. Panics when the factors do not have the same inner dimension or `out` another size.
pub(crate) fn multiply(isa: Isa, threads: &Threads, product: Product<'_>) {
    let Product { operand, panels, out, accumulate } = product;
    assert_eq!(operand.inner, panels.inner, "inner dimensions differ");
    assert_eq!(out.len(), operand.rows * panels.columns, "the result has another size");
    let row_blocks = operand.rows.div_ceil(ROWS_AT_ONCE);
    let columns = panels.columns;
    let panel_count = columns.div_ceil(PANEL);
    let pointer = SharedPointer(out.as_mut_ptr());
    threads.each(panel_count * row_blocks, &|item| {
        // The larger factor is walked once, the smaller one again and again: it is the one that a cache may hold.
        let (panel, row_block) = if row_blocks > panel_count {
            (item % panel_count, item / panel_count)
        } else {
            (item / row_blocks, item % row_blocks)
        };
        let first_row = row_block * ROWS_AT_ONCE;
        let last_row = (first_row + ROWS_AT_ONCE).min(operand.rows);
        let group = if matches!(operand.numbers, OperandNumbers::Bf16(_)) { 2 } else { 1 };
        let inner = operand.inner.next_multiple_of(group);
        for from in (0..inner).step_by(INNER_AT_ONCE) {
            for row in (first_row..last_row).step_by(TILE_ROWS) {
                let tile = Tile {
                    left: operand.start(row) + from / group * operand.steps.inner,
                    steps: operand.steps,
                    rows: TILE_ROWS.min(last_row - row),
                    right: (panel * inner + from) * PANEL,
                    columns: PANEL.min(columns - panel * PANEL),
                    inner: INNER_AT_ONCE.min(inner - from),
                    keep: accumulate || from > 0,
                };
                // SAFETY: the tile's corner lies inside `out`; tiles of different items do not overlap.
                let corner = unsafe { pointer.get().add(row * columns + panel * PANEL) };
                compute(isa, operand, panels, &tile, Corner { pointer: corner, stride: columns });
            }
        }
    });
}

/// A piece of the result: up to `TILE_ROWS` rows of one panel, over a stretch of the inner dimension.
struct Tile {
    /// Where it starts in the left factor, in pairs (f32: numbers), and how that goes on.
    left: usize,
    steps: Steps,
    rows: usize,
    /// Where it starts in the right factor, in numbers.
    right: usize,
    columns: usize,
    /// Length of the stretch of the inner dimension; even in bf16.
    inner: usize,
    keep: bool,
}

impl Tile {
    /// How far the left factor is read, in pairs (f32: numbers) of which there are `groups`.
    fn reach(&self, groups: usize) -> usize {
        (self.rows - 1) * self.steps.row + (groups - 1) * self.steps.inner + 1
    }
}

/// Where a tile's first element goes.
#[derive(Clone, Copy)]
struct Corner {
    pointer: *mut f32,
    stride: usize,
}

impl Corner {
    /// # Safety
    /// `row` and `columns` must lie inside the tile that this corner belongs to.
    #[inline(always)]
    unsafe fn row(self, row: usize, columns: usize) -> &'static mut [f32] {
        // SAFETY: promised by the caller; the slice is used up before the tile is done.
        unsafe { std::slice::from_raw_parts_mut(self.pointer.add(row * self.stride), columns) }
    }
}

fn compute(isa: Isa, operand: &Operand, panels: &Panels, tile: &Tile, corner: Corner) {
    match (&operand.numbers, &panels.numbers) {
        (OperandNumbers::Bf16(left), PanelNumbers::Bf16(right)) => {
            let left = &left.pairs()[tile.left..];
            let right = &right.pairs()[tile.right / 2..];
            #[cfg(target_arch = "x86_64")]
            if isa == Isa::Avx512Bf16 {
                assert!(tile.inner > 0 && left.len() >= tile.reach(tile.inner / 2));
                assert!(right.len() >= tile.inner / 2 * PANEL);
                // SAFETY: the instruction set is available, and the slices were just checked against the tile.
                unsafe { avx512::tile(left.as_ptr(), right.as_ptr(), tile, corner) };
                return;
            }
            pairs(isa, left, right, tile, corner);
        }
        (OperandNumbers::F32(left), PanelNumbers::F32(right)) => {
            singles(isa, &left[tile.left..], &right[tile.right..], tile, corner);
        }
        _ => panic!("the factors of a product have different number formats"),
    }
}

for_each_isa! {
    /// The f32 tile.
    fn singles(left: &[f32], right: &[f32], tile: &Tile, corner: Corner) = singles_body;
}

#[inline(always)]
fn singles_body<const FUSED: bool>(left: &[f32], right: &[f32], tile: &Tile, corner: Corner) {
    match tile.rows {
        TILE_ROWS => single_rows::<FUSED, TILE_ROWS>(left, right, tile, (corner, 0)),
        rows => (0..rows).for_each(|row| {
            single_rows::<FUSED, 1>(&left[row * tile.steps.row..], right, tile, (corner, row));
        }),
    }
}

#[inline(always)]
fn single_rows<const FUSED: bool, const R: usize>(
    left: &[f32],
    right: &[f32],
    tile: &Tile,
    (corner, first): (Corner, usize),
) {
    let left = Strided { numbers: left, row: tile.steps.row, inner: tile.steps.inner };
    for column in (0..tile.columns).step_by(LANES) {
        let mut sums = load::<R>(tile, corner, (first, column));
        strip::<FUSED, R>(&mut sums, left, &right[column..], PANEL, tile.inner);
        store(&sums, tile, corner, (first, column));
    }
}

for_each_isa! {
    /// The bf16 tile where there are no bf16 dot products.
    fn pairs(left: &[Pair], right: &[Pair], tile: &Tile, corner: Corner) = pairs_body;
}

#[inline(always)]
fn pairs_body<const FUSED: bool>(left: &[Pair], right: &[Pair], tile: &Tile, corner: Corner) {
    for row in 0..tile.rows {
        for column in (0..tile.columns).step_by(LANES) {
            let [mut sums] = load::<1>(tile, corner, (row, column));
            for pair in 0..tile.inner / 2 {
                let factors = left[row * tile.steps.row + pair * tile.steps.inner];
                let right = &right[pair * PANEL + column..][..LANES];
                for (sum, &values) in sums.iter_mut().zip(right) {
                    *sum = multiply_add::<FUSED>(factors.first(), values.first(), *sum);
                    *sum = multiply_add::<FUSED>(factors.second(), values.second(), *sum);
                }
            }
            store(&[sums], tile, corner, (row, column));
        }
    }
}

#[inline(always)]
fn load<const R: usize>(tile: &Tile, corner: Corner, (first, column): (usize, usize)) -> [Lanes; R] {
    let mut sums = [[0.0; LANES]; R];
    if tile.keep {
        let width = LANES.min(tile.columns - column);
        for (r, sums) in sums.iter_mut().enumerate() {
            // SAFETY: `first + r` is a row of the tile, and the columns end with it.
            let row = unsafe { corner.row(first + r, tile.columns) };
            sums[..width].copy_from_slice(&row[column..column + width]);
        }
    }
    sums
}

#[inline(always)]
fn store<const R: usize>(sums: &[Lanes; R], tile: &Tile, corner: Corner, (first, column): (usize, usize)) {
    let width = LANES.min(tile.columns - column);
    for (r, sums) in sums.iter().enumerate() {
        // SAFETY: as in `load`.
        let row = unsafe { corner.row(first + r, tile.columns) };
        row[column..column + width].copy_from_slice(&sums[..width]);
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    //! The bf16 tile with bf16 dot products: 6 x 64 accumulators live in 24 registers.

    use std::arch::x86_64::{
        __m512, __m512i, _mm512_loadu_si512, _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps, _mm512_set1_epi32,
        _mm512_setzero_ps,
    };

    use super::super::dot::multiply_add;
    use super::{Corner, LANES, PANEL, Pair, Steps, TILE_ROWS, Tile};

    const VECTORS: usize = PANEL / LANES;

    /// # Safety
    /// `left` must reach as far as the tile does ([`Tile::reach`]) and `right` over its panel, both over `tile.inner`
    /// numbers of the inner dimension, an even count; `corner` must belong to the tile.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    pub(super) unsafe fn tile(left: *const Pair, right: *const Pair, tile: &Tile, corner: Corner) {
        // SAFETY: passed on as promised; each arm has exactly the tile's number of rows.
        unsafe {
            match tile.rows {
                1 => rows::<1>(left, right, tile, corner),
                2 => rows::<2>(left, right, tile, corner),
                3 => rows::<3>(left, right, tile, corner),
                4 => rows::<4>(left, right, tile, corner),
                5 => rows::<5>(left, right, tile, corner),
                _ => rows::<TILE_ROWS>(left, right, tile, corner),
            }
        }
    }

    /// # Safety
    /// As [`tile`], which has `R` rows.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    unsafe fn rows<const R: usize>(left: *const Pair, right: *const Pair, tile: &Tile, corner: Corner) {
        let mut sums = [[_mm512_setzero_ps(); VECTORS]; R];
        let mask = |vector: usize| -> u16 {
            match tile.columns.saturating_sub(vector * LANES) {
                0 => 0,
                width if width >= LANES => u16::MAX,
                width => (1 << width) - 1,
            }
        };
        if tile.keep {
            for (r, sums) in sums.iter_mut().enumerate() {
                for (vector, sum) in sums.iter_mut().enumerate() {
                    // SAFETY: masked lanes beyond the tile's columns are not touched.
                    *sum = unsafe {
                        let from = corner.pointer.wrapping_add(r * corner.stride + vector * LANES);
                        _mm512_maskz_loadu_ps(mask(vector), from)
                    };
                }
            }
        }
        for pair in 0..tile.inner / 2 {
            // SAFETY: the caller promised that both factors reach this far.
            unsafe {
                dot_pair(&mut sums, left.add(pair * tile.steps.inner), right.add(pair * PANEL), tile.steps);
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            for (vector, &sum) in sums.iter().enumerate() {
                // SAFETY: as for the loads.
                unsafe {
                    let to = corner.pointer.wrapping_add(r * corner.stride + vector * LANES);
                    _mm512_mask_storeu_ps(to, mask(vector), sum);
                }
            }
        }
    }

    /// # Safety
    /// `left` must reach over one pair in each of `R` rows, and `right` over the pairs of a panel's columns.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    unsafe fn dot_pair<const R: usize>(
        sums: &mut [[__m512; VECTORS]; R],
        left: *const Pair,
        right: *const Pair,
        steps: Steps,
    ) {
        // SAFETY: promised by the caller.
        unsafe {
            let values: [__m512i; VECTORS] =
                std::array::from_fn(|vector| _mm512_loadu_si512(right.add(vector * LANES).cast()));
            for (r, sums) in sums.iter_mut().enumerate() {
                let pair = _mm512_set1_epi32((*left.add(r * steps.row)).0.cast_signed());
                for (sum, &value) in sums.iter_mut().zip(&values) {
                    *sum = multiply_add(*sum, pair, value);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
