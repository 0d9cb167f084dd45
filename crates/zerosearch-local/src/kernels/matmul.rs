//! The matrix product.
//!
//! `out[row][column] (+)= sum over i of operand[row][i] * panels[i][column]`. Each element has one f32 accumulator, to
//! which the products are added from the first `i` to the last (in bf16 two at a time, as one dot product does it);
//! cutting the inner dimension only parks that accumulator in `out`.

mod additions;
#[cfg(target_arch = "x86_64")]
mod avx512;
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
/// As many where a tile has at most [`NARROW`] columns: fewer sums would wait for each other.
const NARROW_TILE_ROWS: usize = 12;
const NARROW: usize = 2 * LANES;
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
    let additions = additions.iter().zip(&betweens);
    let additions = additions.map(|(it, laid_out)| it.addend(panels.columns, laid_out.as_ref()));
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
        work.piece(&(row..operand.rows.min(row + BLOCK)), &columns, items.at(next).1);
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

/// Rows of one block times columns of one panel, over a stretch of the inner dimension.
struct Area<'a> {
    left: Left<'a>,
    rows: Range<usize>,
    columns: &'a Range<usize>,
    inner: &'a Range<usize>,
    /// Which panel, and from which place of the inner dimension on, is to be brought near meanwhile.
    next: Option<(usize, usize)>,
    /// What is added to all these rows.
    addend: Option<&'a Addend<'a>>,
}

impl Work<'_> {
    /// All columns of a block of rows, which is laid out here.
    fn whole_block(&self, block: usize, workspace: &Workspace) {
        let Self { isa, left: Rows { operand, .. }, panels, .. } = *self;
        let bf16 = matches!(panels.numbers, PanelNumbers::Bf16(_));
        let rows = block * BLOCK..operand.rows.min((block + 1) * BLOCK);
        for inner in stretches(operand.inner) {
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
                let columns = &(column..panels.columns.min(end));
                let (rows, inner) = (rows.clone(), &inner);
                self.tiles(&Area { left, rows, columns, inner, next: Some(next), addend: None });
            }
        }
    }

    /// Rows of one block, which are laid out already, times columns of one panel, and what is added to them.
    fn piece(&self, rows: &Range<usize>, columns: &Range<usize>, next_column: usize) {
        let panel = columns.start / PANEL;
        for inner in stretches(self.panels.inner) {
            let inner = &inner;
            let more = inner.end < self.panels.inner;
            let next = if more { (panel, inner.end) } else { (next_column / PANEL, 0) };
            let fetch = next != (panel, 0) && rows.len() > TILE_ROWS;
            let next = fetch.then_some(next);
            let mut row = rows.start;
            while row < rows.end {
                let (end, addend) = if more { (rows.end, None) } else { self.addend(row, rows.end) };
                let left = self.left.at(row, inner.start);
                self.tiles(&Area { left, rows: row..end, columns, inner, next, addend });
                row = end;
            }
        }
    }

    /// What is added to a row, and before which of the rows up to `end` that changes.
    fn addend(&self, row: usize, end: usize) -> (usize, Option<&Addend<'_>>) {
        let changes = self.additions.iter().flat_map(|it| [it.rows.start, it.rows.end]);
        let end = changes.filter(|&change| row < change).fold(end, usize::min);
        (end, self.additions.iter().find(|it| it.rows.contains(&row)))
    }

    /// Computes an area, and adds it to what is there if that is to be kept.
    fn tiles(&self, area: &Area<'_>) {
        let Area { left, rows, columns, inner, next, addend } = area;
        let factors = Factors::new(*left, self.panels, columns, inner);
        let then = addend.map(|it| it.factors(rows.start, columns));
        // The tiles share what is to be brought near; where there are few, each brings two lines a step.
        let lines = if rows.len() > (LINES - 1) * TILE_ROWS { 1 } else { 2 };
        let (mut row, mut line) = (rows.start, 0);
        while row < rows.end {
            let tile = Tile {
                first: row - rows.start,
                rows: self.tile_rows(rows.end - row, columns.len()),
                columns: columns.len(),
                keep: self.accumulate || inner.start > 0,
                ahead: next
                    .filter(|_| line < LINES)
                    .map(|(panel, at)| factors.start(panel, at) + line * factors.inner * LINE),
                lines,
            };
            // SAFETY: the tile's corner lies inside `out`; tiles of different items do not overlap.
            let corner = unsafe { self.out.get().add(row * self.panels.columns + columns.start) };
            let corner = Corner { pointer: corner, stride: self.panels.columns };
            compute(self.isa, (&factors, then.as_ref()), &tile, corner);
            row += tile.rows;
            line += lines;
        }
    }

    /// How many of the rows that are left the next tile has. Tiles of dot products have as many as the others, or one less: in one of
    /// two rows, sums would wait for each other.
    fn tile_rows(&self, left: usize, columns: usize) -> usize {
        match self.panels.have_dot_products(self.isa) {
            true if left >= NARROW_TILE_ROWS && columns <= NARROW => NARROW_TILE_ROWS,
            true => left.div_ceil(left.div_ceil(TILE_ROWS)),
            false => left.min(TILE_ROWS),
        }
    }
}

/// The inner dimension in stretches; the last may be shorter.
fn stretches(inner: usize) -> impl Iterator<Item = Range<usize>> {
    (0..inner).step_by(INNER_AT_ONCE).map(move |from| from..inner.min(from + INNER_AT_ONCE))
}

/// What tiles are the product of: rows of a left factor from their corner on, and columns of a panel, over a stretch of the inner
/// dimension.
#[derive(Clone, Copy)]
struct Factors<'a> {
    left: Left<'a>,
    panels: &'a Panels,
    /// Where the columns start in the panels, in numbers.
    right: usize,
    /// Length of the stretch; even in bf16.
    inner: usize,
}

impl<'a> Factors<'a> {
    fn new(left: Left<'a>, panels: &'a Panels, columns: &Range<usize>, inner: &Range<usize>) -> Self {
        let group = if matches!(left, Left::Bf16(..)) { 2 } else { 1 };
        let factors = Self { left, panels, right: 0, inner: inner.len().next_multiple_of(group) };
        let right = factors.start(columns.start / PANEL, inner.start) + columns.start % PANEL * group;
        Self { right, ..factors }
    }

    /// Where a panel's share of the inner dimension starts from a place on, in numbers.
    fn start(&self, panel: usize, at: usize) -> usize {
        let group = if matches!(self.left, Left::Bf16(..)) { 2 } else { 1 };
        (panel * self.panels.inner.next_multiple_of(group) + at) * PANEL
    }
}

/// A piece of the result: a few rows of one panel.
struct Tile {
    /// Its first row, counted from the left factors' corners.
    first: usize,
    rows: usize,
    columns: usize,
    /// Whether it is added to what is there.
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

/// Computes a tile of the first factors, to which that of the second ones is added.
fn compute(isa: Isa, (factors, then): (&Factors<'_>, Option<&Factors<'_>>), tile: &Tile, corner: Corner) {
    #[cfg(target_arch = "x86_64")]
    if factors.panels.have_dot_products(isa) {
        // SAFETY: the instruction set is available, and the corner is the tile's.
        return unsafe { avx512::tile(factors, then, tile, corner) };
    }
    for (factors, keep) in [(Some(factors), tile.keep), (then, true)] {
        let Some(&Factors { left, panels, right, inner }) = factors else { continue };
        let tile = &Tile { keep, ..*tile };
        match (left, &panels.numbers) {
            (Left::Bf16(left, steps), PanelNumbers::Bf16(panels)) => {
                let left = &left[tile.first * steps.row..];
                pairs(isa, (left, steps), (&panels.pairs()[right / 2..], inner / 2), tile, corner);
            }
            (Left::F32(numbers, steps), PanelNumbers::F32(panels)) => {
                let numbers = &numbers[tile.first * steps.row..];
                let left = Strided { numbers, row: steps.row, inner: steps.inner };
                singles(isa, left, (&panels[right..], inner), tile, corner);
            }
            _ => unreachable!("the panels decide how rows are laid out"),
        }
    }
}

for_each_isa! {
    /// The f32 tile.
    fn singles(left: Strided<'_>, right: (&[f32], usize), tile: &Tile, corner: Corner) = singles_body;
}

#[inline(always)]
fn singles_body<const FUSED: bool>(left: Strided<'_>, right: (&[f32], usize), tile: &Tile, corner: Corner) {
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
    (right, inner): (&[f32], usize),
    tile: &Tile,
    (corner, first): (Corner, usize),
) {
    for column in (0..tile.columns).step_by(LANES) {
        let mut sums = load::<R>(tile, corner, (first, column));
        strip::<FUSED, R>(&mut sums, left, &right[column..], PANEL, inner);
        store(&sums, tile, corner, (first, column));
    }
}

for_each_isa! {
    /// The bf16 tile where there are no bf16 dot products.
    fn pairs(left: (&[Pair], Steps), right: (&[Pair], usize), tile: &Tile, corner: Corner) = pairs_body;
}

#[inline(always)]
fn pairs_body<const FUSED: bool>(
    (left, steps): (&[Pair], Steps),
    (right, inner): (&[Pair], usize),
    tile: &Tile,
    corner: Corner,
) {
    for row in 0..tile.rows {
        for column in (0..tile.columns).step_by(LANES) {
            let [mut sums] = load::<1>(tile, corner, (row, column));
            for pair in 0..inner {
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

#[cfg(test)]
mod tests;
