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
/// With so many panels for each thread it hardly matters whether they come out even.
const UNEVEN: usize = 32;
/// How much of the inner dimension is walked before the next tile: a panel's share stays in the second-level cache.
const INNER_AT_ONCE: usize = 2048;
/// Pairs of a cache line.
const LINE: usize = 16;
/// So many tiles bring the next panel near while they compute: each has one line of it for every step that it makes.
const FETCHING: usize = PANEL / LINE;

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
    let columns = panels.columns;
    let pointer = SharedPointer(out.as_mut_ptr());
    let items = Items::new(operand.rows, columns, threads.count());
    threads.each(items.count(), &|item| {
        let (first_row, first_column, width) = items.at(item);
        // The panel of what is most likely this thread's next item.
        let next_panel = items.at((item + threads.count()).min(items.count() - 1)).1 / PANEL;
        let panel = first_column / PANEL;
        let last_row = (first_row + ROWS_AT_ONCE).min(operand.rows);
        let group = if matches!(operand.numbers, OperandNumbers::Bf16(_)) { 2 } else { 1 };
        let inner = operand.inner.next_multiple_of(group);
        for from in (0..inner).step_by(INNER_AT_ONCE) {
            let stretch = INNER_AT_ONCE.min(inner - from);
            let next = if from + stretch < inner { (panel, from + stretch) } else { (next_panel, 0) };
            let fetch = next != (panel, 0) && last_row - first_row > (FETCHING - 1) * TILE_ROWS;
            for (number, row) in (first_row..last_row).step_by(TILE_ROWS).enumerate() {
                let tile = Tile {
                    left: operand.start(row) + from / group * operand.steps.inner,
                    steps: operand.steps,
                    rows: TILE_ROWS.min(last_row - row),
                    right: (panel * inner + from) * PANEL + first_column % PANEL * group,
                    columns: width.min(columns - first_column),
                    inner: stretch,
                    keep: accumulate || from > 0,
                    ahead: (fetch && number < FETCHING)
                        .then_some((next.0 * inner + next.1) * PANEL + number * stretch * LINE),
                };
                // SAFETY: the tile's corner lies inside `out`; tiles of different items do not overlap.
                let corner = unsafe { pointer.get().add(row * columns + first_column) };
                compute(isa, operand, panels, &tile, Corner { pointer: corner, stride: columns });
            }
        }
    });
}

/// The items of work of one product: blocks of rows times panels. Panels that do not come out even among the threads are
/// cut into vectors, so that no thread waits for another's panel.
struct Items {
    row_blocks: usize,
    panels: usize,
    /// Panels of one row block that are not cut.
    whole: usize,
    columns: usize,
}

impl Items {
    fn new(rows: usize, columns: usize, threads: usize) -> Self {
        let (row_blocks, panels) = (rows.div_ceil(ROWS_AT_ONCE), columns.div_ceil(PANEL));
        let cut = if row_blocks == 1 && panels < UNEVEN * threads { panels % threads } else { 0 };
        Self { row_blocks, panels, whole: panels - cut, columns }
    }

    fn count(&self) -> usize {
        let rest = self.columns.saturating_sub(self.whole * PANEL);
        self.row_blocks * self.whole + rest.div_ceil(LANES)
    }

    /// The first row and column of an item, and its columns.
    fn at(&self, item: usize) -> (usize, usize, usize) {
        let (blocks, panels) = (self.row_blocks, self.panels);
        if item >= blocks * self.whole {
            return (0, self.whole * PANEL + (item - self.whole) * LANES, LANES);
        }
        // The larger factor is walked once, the smaller one again and again: it is the one that a cache may hold.
        let (panel, block) =
            if blocks > panels { (item % panels, item / panels) } else { (item / blocks, item % blocks) };
        (block * ROWS_AT_ONCE, panel * PANEL, PANEL)
    }
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
    /// Where in the right factor something begins that will be needed soon, in numbers. The tile brings a cache line of it near for each
    /// pair of its stretch.
    ahead: Option<usize>,
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
            // The last stretch of a panel may be shorter than the one before: then there is less to bring near.
            let ahead = tile.ahead.and_then(|at| right.pairs().get(at / 2..)).unwrap_or_default();
            let right = &right.pairs()[tile.right / 2..];
            #[cfg(target_arch = "x86_64")]
            if isa == Isa::Avx512Bf16 {
                // SAFETY: the instruction set is available, and the corner is the tile's.
                return unsafe { avx512::tile(left, (right, ahead), tile, corner) };
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

    use std::arch::x86_64::{_mm512_mask_storeu_ps, _mm512_maskz_loadu_ps};

    use super::super::dot::{Pairs, Sums, dot, dot_and_fetch, zero};
    use super::{Corner, LANES, PANEL, Pair, TILE_ROWS, Tile};

    /// Where the tile starts in the right factor, and what will be needed soon.
    type Right<'a> = (&'a [Pair], &'a [Pair]);

    const VECTORS: usize = PANEL / LANES;

    /// # Safety
    /// `corner` must belong to the tile.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    pub(super) unsafe fn tile(left: &[Pair], right: Right<'_>, tile: &Tile, corner: Corner) {
        // SAFETY: passed on as promised.
        unsafe {
            if tile.columns > LANES {
                vectors::<VECTORS>(left, right, tile, corner);
            } else {
                vectors::<1>(left, right, tile, corner);
            }
        }
    }

    /// # Safety
    /// As [`tile`], whose columns lie in `V` vectors.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    unsafe fn vectors<const V: usize>(left: &[Pair], right: Right<'_>, tile: &Tile, corner: Corner) {
        // SAFETY: passed on as promised; each arm has exactly the tile's number of rows.
        unsafe {
            match tile.rows {
                1 => rows::<1, V>(left, right, tile, corner),
                2 => rows::<2, V>(left, right, tile, corner),
                3 => rows::<3, V>(left, right, tile, corner),
                4 => rows::<4, V>(left, right, tile, corner),
                5 => rows::<5, V>(left, right, tile, corner),
                _ => rows::<TILE_ROWS, V>(left, right, tile, corner),
            }
        }
    }

    /// # Safety
    /// As [`vectors`], and the tile has `R` rows.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    unsafe fn rows<const R: usize, const V: usize>(
        left: &[Pair],
        (right, ahead): Right<'_>,
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
        let left = Pairs { words: left, row: tile.steps.row, inner: tile.steps.inner };
        let mut vectors = [right; V];
        vectors.iter_mut().enumerate().for_each(|(vector, it)| *it = &right[vector * LANES..]);
        let reach = (PANEL, tile.inner / 2);
        if ahead.is_empty() {
            dot(&mut sums, left, vectors, reach);
        } else {
            dot_and_fetch::<R, V, true>(&mut sums, left, vectors, reach, ahead);
        }
        for (r, sums) in sums.iter().enumerate() {
            for (vector, &sum) in sums.iter().enumerate() {
                // SAFETY: as for the loads.
                unsafe { _mm512_mask_storeu_ps(place(r, vector), mask(vector), sum) };
            }
        }
    }
}

#[cfg(test)]
mod tests;
