//! What low-rank factors add to rows of a product.

use std::ops::Range;

use super::super::isa::Isa;
use super::super::operand::{BLOCK, Operand};
use super::super::panels::{PANEL, PanelNumbers, Panels};
use super::super::threads::{SharedPointer, Threads};
use super::super::workspace::Buffer;
use super::{Factors, NARROW_TILE_ROWS, Rows, Work};

/// Rows of the left factor through two narrow factors: `between = operand[rows] * a` and `out[rows] += between * b`. It is added tile by
/// tile while a cache holds the product: the same bits as when it is accumulated afterwards.
pub(crate) struct Addition<'a> {
    /// Which rows; those of different additions differ.
    pub(crate) rows: Range<usize>,
    pub(crate) a: &'a Panels,
    pub(crate) b: &'a Panels,
    /// For each panel of `b`, the part of its inner dimension outside of which it holds zeros: an even start, and any end. An empty
    /// list where nothing is known to be zero.
    pub(crate) stretches: &'a [Range<usize>],
    /// `[rows][rank]`
    pub(crate) between: &'a mut [f32],
}

impl Addition<'_> {
    /// The stretches of a second factor of so many columns that holds zeros outside of `blocks`, each some columns of some of the inner
    /// dimension.
    pub(crate) fn stretches(columns: usize, blocks: &[(Range<usize>, Range<usize>)]) -> Vec<Range<usize>> {
        let stretch = |panel: usize| {
            let inside = |(columns, _): &&(Range<usize>, Range<usize>)| {
                columns.start < panel + PANEL && panel < columns.end
            };
            let inner = blocks.iter().filter(inside).map(|(_, inner)| inner);
            let start = inner.clone().map(|it| it.start).min().unwrap_or(0);
            start / 2 * 2..inner.map(|it| it.end).max().unwrap_or(0)
        };
        (0..columns).step_by(PANEL).map(stretch).collect()
    }

    /// With what lies between the factors, and how that is laid out for `b`. The product has so many columns.
    pub(super) fn addend<'a>(&'a self, columns: usize, laid_out: Option<&'a Buffer>) -> Addend<'a> {
        assert_eq!(self.b.inner, self.a.columns, "the factors have different ranks");
        assert_eq!(self.b.columns, columns, "the second factor has another number of columns");
        let operand = Operand::new(self.between, self.b.inner);
        let between = Rows { operand, laid_out: laid_out.map(Buffer::numbers), first: 0 };
        Addend { rows: self.rows.clone(), between, panels: self.b, stretches: self.stretches }
    }
}

/// An addition of which the first factor is done with.
pub(super) struct Addend<'a> {
    pub(super) rows: Range<usize>,
    /// What lies between the factors.
    between: Rows<'a>,
    panels: &'a Panels,
    stretches: &'a [Range<usize>],
}

impl Addend<'_> {
    /// What is added to columns of one panel from a row on.
    pub(super) fn factors(&self, row: usize, columns: &Range<usize>) -> Factors<'_> {
        let all = 0..self.panels.inner;
        let inner = self.stretches.get(columns.start / PANEL).unwrap_or(&all);
        Factors::new(self.between.at(row - self.rows.start, inner.start), self.panels, columns, inner)
    }
}

/// Computes what lies between the factors of all additions, and lays it out for the second factor where that is bf16.
pub(super) fn multiply_with_a(
    (isa, threads): (Isa, &Threads),
    left: Rows<'_>,
    additions: &mut [Addition<'_>],
) -> Vec<Option<Buffer>> {
    let works: Vec<_> = additions
        .iter_mut()
        .map(|Addition { rows, a, between, .. }| {
            assert_eq!(left.operand.inner, a.inner, "inner dimensions differ");
            assert_eq!(between.len(), rows.len() * a.columns, "what lies between has another size");
            let out = SharedPointer(between.as_mut_ptr());
            Work { isa, left: left.part(rows), panels: a, out, accumulate: false, additions: Vec::new() }
        })
        .collect();
    let pieces: Vec<_> = works.iter().flat_map(|work| pieces(work, threads.count())).collect();
    threads.each(pieces.len(), &|piece| {
        let (work, rows, columns) = &pieces[piece];
        work.piece(rows, columns, columns.start);
    });
    let lay_out = |Addition { b, between, .. }: &Addition<'_>| {
        let bf16 = matches!(b.numbers, PanelNumbers::Bf16(_));
        bf16.then(|| Operand::new(between, b.inner).lay_out_from(0, (isa, threads)))
    };
    additions.iter().map(lay_out).collect()
}

/// Rows and columns of a product that has few columns, so few that rows are what its items are cut from.
fn pieces<'a>(
    work: &'a Work<'a>,
    threads: usize,
) -> impl Iterator<Item = (&'a Work<'a>, Range<usize>, Range<usize>)> {
    let (rows, columns) = (work.left.operand.rows, work.panels.columns);
    let at_once =
        rows.div_ceil(2 * threads).next_multiple_of(NARROW_TILE_ROWS).clamp(NARROW_TILE_ROWS, BLOCK);
    (0..rows).step_by(at_once).flat_map(move |row| {
        let rows = row..rows.min(row + at_once);
        (0..columns).step_by(PANEL).map(move |from| (work, rows.clone(), from..columns.min(from + PANEL)))
    })
}
