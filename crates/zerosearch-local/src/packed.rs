//! Rows packed end to end for a forward pass; what rows have in common at their beginning is computed once.
//!
//! A full block of a row is known by its tokens and by the block before it, as in the sampler's cache. A row that begins with
//! known blocks starts behind them. Each of its tokens is then a token of the batch: its own, or that of an earlier row.

use std::collections::HashMap;

use zerosearch_learner::TokenId;

use crate::kernels::{BLOCK, KeyValueBlocks};
use crate::model::{Batch, Network};

/// Some rows of a call, and the batch that computes them.
#[derive(Default)]
pub(crate) struct Packed {
    pub(crate) batch: Batch,
    /// Each row's number in the call, and its blocks.
    pub(crate) rows: Vec<(usize, Vec<u32>)>,
    /// Where in the batch the tokens of each block start.
    first_tokens: Vec<usize>,
    /// Blocks by the block before them and their tokens.
    known: HashMap<(Option<u32>, [TokenId; BLOCK]), u32>,
}

impl Packed {
    /// Cuts rows into batches of at most `limit` tokens together; a longer row stays alone. Rows are taken in the order of their
    /// tokens, so that those with the same beginning are neighbours.
    pub(crate) fn all(rows: &[&[TokenId]], limit: usize) -> Vec<Self> {
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_by_key(|&row| rows[row]);
        let mut batches: Vec<Self> = Vec::new();
        for row in order {
            let tokens = rows[row];
            match batches.last_mut().filter(|last| last.length_with(tokens) <= limit) {
                Some(last) => last.push(row, tokens),
                None => {
                    let mut packed = Self::default();
                    packed.push(row, tokens);
                    batches.push(packed);
                }
            }
        }
        batches
    }

    /// Where in the batch the token at `position` of the row `rows[index]` is.
    pub(crate) fn token(&self, index: usize, position: usize) -> usize {
        self.first_tokens[self.rows[index].1[position / BLOCK] as usize] + position % BLOCK
    }

    /// Room for one layer's keys and values.
    pub(crate) fn blocks(&self, network: &Network) -> KeyValueBlocks {
        let config = &network.config;
        let dimensions = [1, config.kv_heads, config.head_width];
        let home = network.machine.threads.key_values();
        let mut blocks = KeyValueBlocks::new(network.machine.arithmetic, dimensions, home);
        blocks.grow(self.first_tokens.len());
        blocks
    }

    fn length_with(&self, tokens: &[TokenId]) -> usize {
        self.batch.tokens.len() + tokens.len() - BLOCK * self.find(tokens).len()
    }

    fn push(&mut self, row: usize, tokens: &[TokenId]) {
        let mut blocks = self.find(tokens);
        let from = BLOCK * blocks.len();
        for start in (from..tokens.len()).step_by(BLOCK) {
            let block = self.first_tokens.len() as u32;
            self.first_tokens.push(self.batch.tokens.len() + start - from);
            if let Some(full) = tokens[start..].first_chunk() {
                self.known.insert((blocks.last().copied(), *full), block);
            }
            blocks.push(block);
        }
        if from < tokens.len() {
            self.batch.push(&tokens[from..], from, blocks.clone());
        }
        self.rows.push((row, blocks));
    }

    /// The longest chain of known blocks at the start of `tokens`.
    fn find(&self, tokens: &[TokenId]) -> Vec<u32> {
        let mut chain: Vec<u32> = Vec::new();
        for full in tokens.as_chunks().0 {
            let Some(&block) = self.known.get(&(chain.last().copied(), *full)) else { break };
            chain.push(block);
        }
        chain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(shared: usize, own: u32, length: usize) -> Vec<TokenId> {
        (0..length).map(|at| if at < shared { at as u32 } else { own }).collect()
    }

    /// By hand: of 40 shared tokens two whole blocks are; the third row ends where they end; the fourth shares none.
    #[test]
    fn whole_blocks_of_a_common_beginning_are_computed_once() {
        let rows = [row(40, 101, 50), row(40, 100, 60), row(40, 0, 32), row(0, 102, 5)];
        let all = Packed::all(&rows.each_ref().map(Vec::as_slice), 1000);
        let [packed] = all.as_slice() else { panic!("one batch") };
        let order: Vec<usize> = packed.rows.iter().map(|(row, _)| *row).collect();
        assert_eq!(order, [2, 1, 0, 3]);
        assert_eq!(packed.batch.tokens.len(), 32 + (60 - 32) + (50 - 32) + 5);
        let blocks: Vec<&[u32]> = packed.rows.iter().map(|(_, blocks)| blocks.as_slice()).collect();
        assert_eq!(blocks, [[0, 1].as_slice(), &[0, 1, 2, 3], &[0, 1, 4, 5], &[6]]);
        for (index, (row, _)) in packed.rows.iter().enumerate() {
            for (position, &token) in rows[*row].iter().enumerate() {
                let at = packed.token(index, position);
                assert_eq!((packed.batch.tokens[at], packed.batch.positions[at]), (token, position));
            }
        }
    }

    /// A shared block counts once; what does not fit starts anew, with all of its tokens.
    #[test]
    fn batches_keep_the_limit() {
        let rows = [row(32, 1, 40), row(32, 2, 40), row(32, 3, 40), row(0, 9, 70)];
        let lengths = |limit| -> Vec<usize> {
            let rows = rows.each_ref().map(Vec::as_slice);
            Packed::all(&rows, limit).iter().map(|packed| packed.batch.tokens.len()).collect()
        };
        assert_eq!(lengths(48), [48, 40, 70]);
        assert_eq!(lengths(1000), [40 + 8 + 8 + 70]);
        assert_eq!(lengths(1), [40, 40, 40, 70]);
        assert!(Packed::all(&[], 8).is_empty());
    }

    /// The order does not depend on the caller's, except where rows are the same.
    #[test]
    fn batches_are_a_function_of_the_rows() {
        let rows = [row(32, 1, 40), row(32, 2, 40), row(0, 9, 7)];
        let tokens = |order: [usize; 3]| -> Vec<Vec<TokenId>> {
            let rows = order.map(|row| rows[row].as_slice());
            Packed::all(&rows, 50).into_iter().map(|packed| packed.batch.tokens).collect()
        };
        assert_eq!(tokens([0, 1, 2]), tokens([2, 1, 0]));
        assert_eq!(tokens([0, 1, 2]), tokens([1, 0, 2]));
    }
}
