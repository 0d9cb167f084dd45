//! The matrix product.
//!
//! `out[row][column] (+)= sum over i of operand[row][i] * panels[i][column]`. Each element has one f32 accumulator, to
//! which the products are added from the first `i` to the last (in bf16 two at a time, as one dot product does it);
//! cutting the inner dimension only parks that accumulator in `out`.

mod additions;
mod items;

use std::ops::Range;

use self::additions::Addend;
pub(crate) use self::additions::Addition;
use self::items::Items;
use super::isa::{Isa, for_each_isa, multiply_add};
use super::operand::{BLOCK, Operand, Steps};
use super::pair::Pair;
use super::panels::{PANEL, PanelNumbers, Panels};
use super::strip::{LANES, Lanes, Strided, strip};
use super::threads::{SharedPointer, Threads};
use super::workspace::{Buffer, Workspace};

/// Rows whose accumulators fit the registers of the widest instruction set.
const TILE_ROWS: usize = 6;
/// How much of the inner dimension is walked before the next tile: a panel's share stays in the second-level cache.
const INNER_AT_ONCE: usize = 2048;
/// Pairs of a cache line.
const LINE: usize = 16;
/// Lines of the next panel for every step that is made in the present one.
const LINES: usize = PANEL / LINE;

/// One product to compute.
pub(crate) struct Product<'a> {
    /// The left factor.
    pub(crate) operand: Operand<'a>,
    /// The right factor.
    pub(crate) panels: &'a Panels,
    /// `[rows][columns]`.
    pub(crate) out: &'a mut [f32],
    /// Add to what `out` holds instead of replacing it.
    pub(crate) accumulate: bool,
    /// What is added to some of its rows.
    pub(crate) additions: Vec<Addition<'a>>,
}

/// Computes one product. Panics when factors do not have the same inner dimension or a result has another size, and for an addition
/// to a transposed operand.
pub(crate) fn multiply(isa: Isa, threads: &Threads, product: Product<'_>) {
    let Product { operand, panels, out, accumulate, mut additions } = product;
    assert_eq!(operand.inner, panels.inner, "inner dimensions differ");
    assert_eq!(out.len(), operand.rows * panels.columns, "the result has another size");
    let size = (operand.rows, panels.columns);
    let items = if additions.is_empty() {
        Items::new(size, threads.count())
    } else {
        Items::in_pieces(size, threads.count())
    };
    let first = items.whole * BLOCK;
    let laid_out =
        matches!(panels.numbers, PanelNumbers::Bf16(_)).then(|| operand.lay_out_from(first, (isa, threads)));
    let left = Rows { operand, laid_out: laid_out.as_ref().map(Buffer::numbers), first };
    let betweens = additions::multiply_with_a((isa, threads), left, &mut additions);
    let additions = additions.iter().zip(&betweens).map(|(it, laid_out)| it.addend(laid_out.as_ref()));
    let out = SharedPointer(out.as_mut_ptr());
    let work = Work { isa, left, panels, out, accumulate, additions: additions.collect() };
    threads.each(items.count(), &|item| {
        if item < items.whole {
            return work.whole_block(item, threads.workspace());
        }
        // What is most likely this thread's next item.
        let next = (item + threads.count()).min(items.count() - 1);
        let (row, column, width) = items.at(item);
        let columns = column..panels.columns.min(column + width);
        work.piece(row..operand.rows.min(row + BLOCK), columns, items.at(next).1);
    });
}

/// A product as its items see it.
struct Work<'a> {
    isa: Isa,
    left: Rows<'a>,
    panels: &'a Panels,
    out: SharedPointer<f32>,
    accumulate: bool,
    additions: Vec<Addend<'a>>,
}

/// The left factor; where the panels are bf16, its rows from `first` on are laid out.
#[derive(Clone, Copy)]
struct Rows<'a> {
    operand: Operand<'a>,
    laid_out: Option<&'a [Pair]>,
    first: usize,
}

impl<'a> Rows<'a> {
    /// From a row and a place of the inner dimension on.
    fn at(&self, row: usize, inner: usize) -> Left<'a> {
        let operand = self.operand;
        if let Some(laid_out) = self.laid_out {
            let (start, steps) = operand.laid_out(row - self.first, operand.inner);
            return Left::Bf16(&laid_out[start + inner / 2 * steps.inner..], steps);
        }
        let (numbers, steps) = operand.plain(row, inner);
        Left::F32(numbers, steps)
    }

    /// Some of the rows as a left factor of their own. All are laid out.
    fn part(&self, rows: &Range<usize>) -> Self {
        assert_eq!(self.first, 0, "not all rows are laid out");
        let operand = self.operand.part(rows);
        let laid_out = self.laid_out.map(|it| &it[self.operand.laid_out(rows.start, operand.inner).0..]);
        Self { operand, laid_out, first: 0 }
    }
}

/// Rows of the left factor from their corner on.
#[derive(Clone, Copy)]
enum Left<'a> {
    Bf16(&'a [Pair], Steps),
    F32(&'a [f32], Steps),
}

impl Work<'_> {
    /// All columns of a block of rows, which is laid out here.
    fn whole_block(&self, block: usize, workspace: &Workspace) {
        let Self { isa, left: Rows { operand, .. }, panels, .. } = *self;
        let bf16 = matches!(panels.numbers, PanelNumbers::Bf16(_));
        let rows = block * BLOCK..operand.rows.min((block + 1) * BLOCK);
        for inner in stretches(0..operand.inner) {
            let pairs = if bf16 { inner.len().div_ceil(2) } else { 0 };
            let mut laid_out = workspace.take(BLOCK * pairs);
            let left = if bf16 {
                operand.lay_out(isa, rows.start, inner.clone(), laid_out.numbers_mut());
                let (_, steps) = operand.laid_out(0, inner.len());
                Left::Bf16(laid_out.numbers(), steps)
            } else {
                let (numbers, steps) = operand.plain(rows.start, inner.start);
                Left::F32(numbers, steps)
            };
            for column in (0..panels.columns).step_by(PANEL) {
                let end = column + PANEL;
                let first_panel = (0, inner.end % operand.inner);
                let next = if end < panels.columns { (end / PANEL, inner.start) } else { first_panel };
                let columns = column..panels.columns.min(end);
                let keep = self.accumulate || inner.start > 0;
                self.tiles((left, panels), (&rows, &columns, &inner), keep, Some(next));
            }
        }
    }

    /// Rows of one block, which are laid out already, times columns of one panel; then what is added to them.
    fn piece(&self, rows: Range<usize>, columns: Range<usize>, next_column: usize) {
        let panel = columns.start / PANEL;
        for inner in stretches(0..self.panels.inner) {
            let more = inner.end < self.panels.inner;
            let next = if more { (panel, inner.end) } else { (next_column / PANEL, 0) };
            let fetch = next != (panel, 0) && rows.len() > TILE_ROWS;
            let left = self.left.at(rows.start, inner.start);
            let keep = self.accumulate || inner.start > 0;
            self.tiles((left, self.panels), (&rows, &columns, &inner), keep, fetch.then_some(next));
        }
        for addend in &self.additions {
            let rows = rows.start.max(addend.rows.start)..rows.end.min(addend.rows.end);
            if rows.is_empty() {
                continue;
            }
            for inner in stretches(addend.stretch(panel)) {
                let left = addend.left.at(rows.start - addend.rows.start, inner.start);
                self.tiles((left, addend.panels), (&rows, &columns, &inner), true, None);
            }
        }
    }

    /// Computes rows and columns, which lie in one block and one panel, over a stretch of the inner dimension, and adds them to what
    /// is there if that is to be kept. Meanwhile the panel and the place of the inner dimension that are `next` come near.
    fn tiles(
        &self,
        (left, panels): (Left<'_>, &Panels),
        (rows, columns, inner): (&Range<usize>, &Range<usize>, &Range<usize>),
        keep: bool,
        next: Option<(usize, usize)>,
    ) {
        let group = if matches!(left, Left::Bf16(..)) { 2 } else { 1 };
        let start = |panel: usize, at: usize| (panel * panels.inner.next_multiple_of(group) + at) * PANEL;
        let length = inner.len().next_multiple_of(group);
        // The tiles share what is to be brought near; where there are few, each brings two lines a step.
        let lines = if rows.len() > (LINES - 1) * TILE_ROWS { 1 } else { 2 };
        for (number, row) in rows.clone().step_by(TILE_ROWS).enumerate() {
            let tile = Tile {
                first: number * TILE_ROWS,
                rows: TILE_ROWS.min(rows.end - row),
                right: start(columns.start / PANEL, inner.start) + columns.start % PANEL * group,
                columns: columns.len(),
                inner: length,
                keep,
                ahead: next
                    .filter(|_| number * lines < LINES)
                    .map(|(panel, at)| start(panel, at) + number * lines * length * LINE),
                lines,
            };
            // SAFETY: the tile's corner lies inside `out`; tiles of different items do not overlap.
            let corner = unsafe { self.out.get().add(row * panels.columns + columns.start) };
            compute(self.isa, left, panels, &tile, Corner { pointer: corner, stride: panels.columns });
        }
    }
}

/// The inner dimension in stretches; the last may be shorter.
fn stretches(inner: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    inner.clone().step_by(INNER_AT_ONCE).map(move |from| from..inner.end.min(from + INNER_AT_ONCE))
}

/// A piece of the result: up to `TILE_ROWS` rows of one panel, over a stretch of the inner dimension.
struct Tile {
    /// Its first row, counted from the left factor's corner.
    first: usize,
    rows: usize,
    /// Where it starts in the right factor, in numbers.
    right: usize,
    columns: usize,
    /// Length of the stretch of the inner dimension; even in bf16.
    inner: usize,
    keep: bool,
    /// Where in the right factor something begins that will be needed soon, in numbers. The tile brings `lines` cache lines of it
    /// near for each pair of its stretch.
    ahead: Option<usize>,
    lines: usize,
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

fn compute(isa: Isa, left: Left<'_>, panels: &Panels, tile: &Tile, corner: Corner) {
    match (left, &panels.numbers) {
        (Left::Bf16(left, steps), PanelNumbers::Bf16(right)) => {
            let left = (&left[tile.first * steps.row..], steps);
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
        (Left::F32(left, steps), PanelNumbers::F32(right)) => {
            let left =
                Strided { numbers: &left[tile.first * steps.row..], row: steps.row, inner: steps.inner };
            singles(isa, left, &right[tile.right..], tile, corner);
        }
        _ => unreachable!("the panels decide how rows are laid out"),
    }
}

for_each_isa! {
    /// The f32 tile.
    fn singles(left: Strided<'_>, right: &[f32], tile: &Tile, corner: Corner) = singles_body;
}

#[inline(always)]
fn singles_body<const FUSED: bool>(left: Strided<'_>, right: &[f32], tile: &Tile, corner: Corner) {
    match tile.rows {
        TILE_ROWS => single_rows::<FUSED, TILE_ROWS>(left, right, tile, (corner, 0)),
        rows => (0..rows).for_each(|row| {
            let left = Strided { numbers: &left.numbers[row * left.row..], ..left };
            single_rows::<FUSED, 1>(left, right, tile, (corner, row));
        }),
    }
}

#[inline(always)]
fn single_rows<const FUSED: bool, const R: usize>(
    left: Strided<'_>,
    right: &[f32],
    tile: &Tile,
    (corner, first): (Corner, usize),
) {
    for column in (0..tile.columns).step_by(LANES) {
        let mut sums = load::<R>(tile, corner, (first, column));
        strip::<FUSED, R>(&mut sums, left, &right[column..], PANEL, tile.inner);
        store(&sums, tile, corner, (first, column));
    }
}

for_each_isa! {
    /// The bf16 tile where there are no bf16 dot products.
    fn pairs(left: (&[Pair], Steps), right: &[Pair], tile: &Tile, corner: Corner) = pairs_body;
}

#[inline(always)]
fn pairs_body<const FUSED: bool>(
    (left, steps): (&[Pair], Steps),
    right: &[Pair],
    tile: &Tile,
    corner: Corner,
) {
    for row in 0..tile.rows {
        for column in (0..tile.columns).step_by(LANES) {
            let [mut sums] = load::<1>(tile, corner, (row, column));
            for pair in 0..tile.inner / 2 {
                let factors = left[row * steps.row + pair * steps.inner];
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
    use super::{Corner, LANES, PANEL, Pair, Steps, TILE_ROWS, Tile};

    /// Rows of the left factor.
    type Left<'a> = (&'a [Pair], Steps);
    /// Where the tile starts in the right factor, and what will be needed soon.
    type Right<'a> = (&'a [Pair], &'a [Pair]);

    const VECTORS: usize = PANEL / LANES;

    /// # Safety
    /// `corner` must belong to the tile.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    pub(super) unsafe fn tile(left: Left<'_>, right: Right<'_>, tile: &Tile, corner: Corner) {
        // SAFETY: passed on as promised.
        unsafe {
            match tile.columns.div_ceil(LANES) {
                1 => vectors::<1>(left, right, tile, corner),
                2 => vectors::<2>(left, right, tile, corner),
                3 => vectors::<3>(left, right, tile, corner),
                _ => vectors::<VECTORS>(left, right, tile, corner),
            }
        }
    }

    /// # Safety
    /// As [`tile`], whose columns lie in `V` vectors.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    unsafe fn vectors<const V: usize>(left: Left<'_>, right: Right<'_>, tile: &Tile, corner: Corner) {
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
        (left, steps): Left<'_>,
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
        let left = Pairs { words: left, row: steps.row, inner: steps.inner };
        let mut vectors = [right; V];
        vectors.iter_mut().enumerate().for_each(|(vector, it)| *it = &right[vector * LANES..]);
        let reach = (PANEL, tile.inner / 2);
        match tile.lines {
            _ if ahead.is_empty() => dot(&mut sums, left, vectors, reach),
            1 => dot_and_fetch::<R, V, 1>(&mut sums, left, vectors, reach, ahead),
            _ => dot_and_fetch::<R, V, 2>(&mut sums, left, vectors, reach, ahead),
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
