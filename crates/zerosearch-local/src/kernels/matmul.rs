//! The matrix product.
//!
//! `out[row][column] (+)= sum over i of operand[row][i] * panels[i][column]`. Each element has one f32 accumulator, to
//! which the products are added from the first `i` to the last (in bf16 two at a time, as one dot product does it);
//! cutting the inner dimension only parks that accumulator in `out`.

use super::element::{Bf16, Element};
use super::isa::{Isa, for_each_isa, multiply_add};
use super::panels::{Operand, OperandNumbers, PANEL, PanelNumbers, Panels};
use super::strip::{LANES, Lanes, Strided, strip};
use super::threads::{SharedPointer, Threads};

/// Rows whose accumulators fit the registers of the widest instruction set.
const TILE_ROWS: usize = 6;
/// Rows that one item of work covers.
const ROWS_AT_ONCE: usize = 8 * TILE_ROWS;
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
    let pointer = SharedPointer(out.as_mut_ptr());
    threads.each(panels.columns.div_ceil(PANEL) * row_blocks, &|item| {
        let (panel, row_block) = (item / row_blocks, item % row_blocks);
        let first_row = row_block * ROWS_AT_ONCE;
        let last_row = (first_row + ROWS_AT_ONCE).min(operand.rows);
        let inner = if matches!(operand.numbers, OperandNumbers::Bf16(_)) {
            operand.inner.next_multiple_of(2)
        } else {
            operand.inner
        };
        for from in (0..inner).step_by(INNER_AT_ONCE) {
            for row in (first_row..last_row).step_by(TILE_ROWS) {
                let tile = Tile {
                    row,
                    rows: TILE_ROWS.min(last_row - row),
                    panel,
                    columns: PANEL.min(columns - panel * PANEL),
                    from,
                    to: (from + INNER_AT_ONCE).min(inner),
                    stride: inner,
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
    row: usize,
    rows: usize,
    panel: usize,
    columns: usize,
    from: usize,
    to: usize,
    /// Length of an operand row and of a panel, padding included.
    stride: usize,
    keep: bool,
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
            let left = &left.numbers()[tile.row * tile.stride + tile.from..];
            let right = &right.numbers()[(tile.panel * tile.stride + tile.from) * PANEL..];
            #[cfg(target_arch = "x86_64")]
            if isa == Isa::Avx512Bf16 {
                assert!(
                    tile.to > tile.from && left.len() >= (tile.rows - 1) * tile.stride + tile.to - tile.from
                );
                assert!(right.len() >= (tile.to - tile.from) * PANEL);
                // SAFETY: the instruction set is available, and the slices were just checked against the tile.
                unsafe { avx512::tile(left.as_ptr(), right.as_ptr(), tile, corner) };
                return;
            }
            pairs(isa, left, right, tile, corner);
        }
        (OperandNumbers::F32(left), PanelNumbers::F32(right)) => {
            let left = &left[tile.row * tile.stride + tile.from..];
            let right = &right[(tile.panel * tile.stride + tile.from) * PANEL..];
            singles(isa, left, right, tile, corner);
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
            single_rows::<FUSED, 1>(&left[row * tile.stride..], right, tile, (corner, row));
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
    let left = Strided { numbers: left, row: tile.stride, inner: 1 };
    for column in (0..tile.columns).step_by(LANES) {
        let mut sums = load::<R>(tile, corner, (first, column));
        strip::<FUSED, R>(&mut sums, left, &right[column..], PANEL, tile.to - tile.from);
        store(&sums, tile, corner, (first, column));
    }
}

for_each_isa! {
    /// The bf16 tile where there are no bf16 dot products.
    fn pairs(left: &[Bf16], right: &[Bf16], tile: &Tile, corner: Corner) = pairs_body;
}

#[inline(always)]
fn pairs_body<const FUSED: bool>(left: &[Bf16], right: &[Bf16], tile: &Tile, corner: Corner) {
    for row in 0..tile.rows {
        let left = &left[row * tile.stride..][..tile.to - tile.from];
        for column in (0..tile.columns).step_by(LANES) {
            let [mut sums] = load::<1>(tile, corner, (row, column));
            for (pair, factors) in left.chunks_exact(2).enumerate() {
                let right = &right[pair * 2 * PANEL + 2 * column..][..2 * LANES];
                for (sum, values) in sums.iter_mut().zip(right.chunks_exact(2)) {
                    *sum = multiply_add::<FUSED>(factors[0].widen(), values[0].widen(), *sum);
                    *sum = multiply_add::<FUSED>(factors[1].widen(), values[1].widen(), *sum);
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
        __m512, __m512bh, __m512i, _mm512_dpbf16_ps, _mm512_loadu_si512, _mm512_mask_storeu_ps,
        _mm512_maskz_loadu_ps, _mm512_set1_epi32, _mm512_setzero_ps,
    };

    use super::{Bf16, Corner, LANES, PANEL, TILE_ROWS, Tile};

    const VECTORS: usize = PANEL / LANES;

    /// # Safety
    /// `left` must reach over the tile's rows (`tile.stride` apart) and `right` over its panel, both over
    /// `tile.to - tile.from` numbers of the inner dimension, an even count; `corner` must belong to the tile.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    pub(super) unsafe fn tile(left: *const Bf16, right: *const Bf16, tile: &Tile, corner: Corner) {
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
    unsafe fn rows<const R: usize>(left: *const Bf16, right: *const Bf16, tile: &Tile, corner: Corner) {
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
        for pair in 0..(tile.to - tile.from) / 2 {
            // SAFETY: the caller promised that both factors reach this far.
            unsafe { dot_pair(&mut sums, left.add(2 * pair), right.add(pair * 2 * PANEL), tile.stride) };
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
    /// `left` must reach over two numbers in each of `R` rows, `stride` apart, and `right` over two of a panel's rows.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    unsafe fn dot_pair<const R: usize>(
        sums: &mut [[__m512; VECTORS]; R],
        left: *const Bf16,
        right: *const Bf16,
        stride: usize,
    ) {
        // SAFETY: promised by the caller; both reads are unaligned by intent.
        unsafe {
            let values: [__m512i; VECTORS] =
                std::array::from_fn(|vector| _mm512_loadu_si512(right.add(vector * 2 * LANES).cast()));
            for (r, sums) in sums.iter_mut().enumerate() {
                let pair = _mm512_set1_epi32(left.add(r * stride).cast::<i32>().read_unaligned());
                for (sum, &value) in sums.iter_mut().zip(&values) {
                    *sum = _mm512_dpbf16_ps(
                        *sum,
                        std::mem::transmute::<__m512i, __m512bh>(pair),
                        std::mem::transmute::<__m512i, __m512bh>(value),
                    );
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
