//! The items of work that one product is cut into.

use super::super::operand::BLOCK;
use super::super::panels::PANEL;
use super::LANES;

/// With so many panels for each thread it hardly matters whether they come out even.
const UNEVEN: usize = 32;
/// First whole blocks of rows, each with all panels, so that who computes one also lays it out. Then, so that no thread waits for another's
/// block, the last blocks panel by panel; panels of a single block that do not come out even are cut into vectors.
pub(super) struct Items {
    /// Blocks of rows that are not cut.
    pub(super) whole: usize,
    /// The blocks that are.
    blocks: usize,
    panels: usize,
    /// Panels that are not cut.
    whole_panels: usize,
    columns: usize,
}

impl Items {
    /// Of a product of so many rows and columns.
    pub(super) fn new((rows, columns): (usize, usize), threads: usize) -> Self {
        let (blocks, panels) = (rows.div_ceil(BLOCK), columns.div_ceil(PANEL));
        // Who computes a whole block reads all panels for it: far more of them than blocks would be read far more often than they need.
        let whole = if 2 * blocks > panels { blocks.saturating_sub(blocks % threads + threads) } else { 0 };
        Self::after(whole, (rows, columns), threads)
    }

    /// As [`Items::new`], all panel by panel.
    pub(super) fn in_pieces(size: (usize, usize), threads: usize) -> Self {
        Self::after(0, size, threads)
    }

    fn after(whole: usize, (rows, columns): (usize, usize), threads: usize) -> Self {
        let (blocks, panels) = (rows.div_ceil(BLOCK) - whole, columns.div_ceil(PANEL));
        let cut = if blocks == 1 && panels < UNEVEN * threads { panels % threads } else { 0 };
        Self { whole, blocks, panels, whole_panels: panels - cut, columns }
    }

    pub(super) fn count(&self) -> usize {
        let rest = self.columns.saturating_sub(self.whole_panels * PANEL);
        self.whole + self.blocks * self.whole_panels + rest.div_ceil(LANES)
    }

    /// The first row and column of an item after the whole blocks, and its columns.
    pub(super) fn at(&self, item: usize) -> (usize, usize, usize) {
        let (blocks, panels) = (self.blocks, self.panels);
        let first_row = self.whole * BLOCK;
        let item = item - self.whole;
        if item >= blocks * self.whole_panels {
            let vector = item - blocks * self.whole_panels;
            return (first_row, self.whole_panels * PANEL + vector * LANES, LANES);
        }
        // The larger factor is walked once, the smaller one again and again: it is the one that a cache may hold.
        let (panel, block) =
            if blocks > panels { (item % panels, item / panels) } else { (item / blocks, item % blocks) };
        (first_row + block * BLOCK, panel * PANEL, PANEL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_vector_of_every_block_belongs_to_one_item() {
        for (rows, columns, threads) in
            [(1, 1, 1), (64, 576, 2), (9, 70, 2), (1024, 1536, 2), (577, 600, 3), (200, 40_000, 2)]
        {
            let items = Items::new((rows, columns), threads);
            let vectors = columns.next_multiple_of(PANEL) / LANES;
            let mut met = vec![0; rows.div_ceil(BLOCK) * vectors];
            met[..items.whole * vectors].fill(1);
            for item in items.whole..items.count() {
                let (row, column, width) = items.at(item);
                let first = row / BLOCK * vectors + column / LANES;
                met[first..first + width / LANES].iter_mut().for_each(|times| *times += 1);
            }
            let beyond = columns.div_ceil(LANES);
            let inside = met.chunks(vectors).all(|block| block[..beyond].iter().all(|&times| times == 1));
            assert!(inside, "{rows} x {columns} by {threads}: {met:?}");
        }
    }
}
