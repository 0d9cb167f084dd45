//! The prefix cache: blocks of keys and values, found again by the tokens that they hold.
//!
//! A full block is known by its tokens and by the block before it, so a chain of blocks stands for one prefix and
//! for no other. Blocks in use are counted; those that nobody uses stay until room is needed, the longest unused
//! first.

use std::collections::{BTreeMap, HashMap};

use zerosearch_learner::TokenId;

use crate::kernels::{BLOCK, KeyValueBlocks};

/// What makes a full block findable: the serial number of the block before it, and its tokens.
type Key = (u64, [TokenId; BLOCK]);

/// The serial number of "nothing before it".
pub(super) const START: u64 = 0;

#[derive(Default)]
struct Entry {
    users: usize,
    /// Set once the block is known by its tokens.
    known: Option<(u64, Key)>,
    /// When the last user left.
    unused_since: u64,
}

/// Blocks and what they hold.
pub(super) struct Cache {
    pub(super) blocks: KeyValueBlocks,
    entries: Vec<Entry>,
    known: HashMap<Key, u32>,
    free: Vec<u32>,
    unused: BTreeMap<u64, u32>,
    capacity: usize,
    clock: u64,
}

impl Cache {
    /// A cache of at most `capacity` blocks.
    pub(super) fn new(blocks: KeyValueBlocks, capacity: usize) -> Self {
        Self {
            blocks,
            entries: Vec::new(),
            known: HashMap::new(),
            free: Vec::new(),
            unused: BTreeMap::new(),
            capacity,
            clock: START,
        }
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// The longest chain of known blocks at the start of `tokens`, now in use by the caller, and the serial number of its
    /// last block.
    pub(super) fn find(&mut self, tokens: &[TokenId]) -> (Vec<u32>, u64) {
        let mut chain = Vec::new();
        let mut serial = START;
        for piece in tokens.as_chunks::<BLOCK>().0 {
            let Some(&block) = self.known.get(&(serial, *piece)) else { break };
            serial = self.entries[block as usize].known.map_or(START, |(serial, _)| serial);
            self.hold(block);
            chain.push(block);
        }
        (chain, serial)
    }

    /// An empty block in use by the caller; `None` when all are in use.
    pub(super) fn allocate(&mut self) -> Option<u32> {
        let block = self.free.pop().or_else(|| self.grow()).or_else(|| self.evict())?;
        self.hold(block);
        Some(block)
    }

    /// Makes a full block findable as what follows the block with serial number `before`; returns the serial number to
    /// follow it by. Where another block already holds the same prefix, that one stays the known one.
    pub(super) fn publish(&mut self, block: u32, before: u64, tokens: [TokenId; BLOCK]) -> u64 {
        let key = (before, tokens);
        if let Some(&other) = self.known.get(&key) {
            return self.entries[other as usize].known.map_or(START, |(serial, _)| serial);
        }
        self.clock += 1;
        self.entries[block as usize].known = Some((self.clock, key));
        self.known.insert(key, block);
        self.clock
    }

    /// The caller no longer uses these blocks.
    pub(super) fn release(&mut self, blocks: &[u32]) {
        // The end of a prefix goes first when room is needed: its beginning may serve others.
        for &block in blocks.iter().rev() {
            self.clock += 1;
            let entry = &mut self.entries[block as usize];
            entry.users -= 1;
            if entry.users == 0 {
                if entry.known.is_some() {
                    entry.unused_since = self.clock;
                    self.unused.insert(self.clock, block);
                } else {
                    self.free.push(block);
                }
            }
        }
    }

    fn hold(&mut self, block: u32) {
        let entry = &mut self.entries[block as usize];
        if entry.users == 0 {
            self.unused.remove(&entry.unused_since);
        }
        entry.users += 1;
    }

    fn grow(&mut self) -> Option<u32> {
        let count = self.entries.len();
        if count >= self.capacity {
            return None;
        }
        self.blocks.grow(count + 1);
        self.entries.push(Entry::default());
        Some(count as u32)
    }

    fn evict(&mut self) -> Option<u32> {
        let (_, block) = self.unused.pop_first()?;
        let entry = &mut self.entries[block as usize];
        if let Some((_, key)) = entry.known.take() {
            self.known.remove(&key);
        }
        Some(block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{Arithmetic, Workspace};

    fn cache(capacity: usize) -> Cache {
        Cache::new(KeyValueBlocks::new(Arithmetic::F32, [1, 1, 2], &Workspace::default()), capacity)
    }

    fn tokens(value: TokenId) -> [TokenId; BLOCK] {
        [value; BLOCK]
    }

    #[test]
    fn a_prefix_is_found_again_and_only_that_prefix() {
        let mut cache = cache(8);
        let first = cache.allocate().unwrap();
        let serial = cache.publish(first, START, tokens(1));
        let second = cache.allocate().unwrap();
        cache.publish(second, serial, tokens(2));
        let both = [tokens(1), tokens(2)].concat();
        assert_eq!(cache.find(&both).0, [first, second]);
        assert_eq!(cache.find(&both[..BLOCK + 3]).0, [first]);
        assert!(cache.find(&tokens(2)).0.is_empty(), "the second block does not start a row");
    }

    #[test]
    fn the_longest_unused_block_makes_room() {
        let mut cache = cache(2);
        let (old, young) = (cache.allocate().unwrap(), cache.allocate().unwrap());
        cache.publish(old, START, tokens(1));
        cache.publish(young, START, tokens(2));
        assert_eq!(cache.allocate(), None);
        cache.release(&[old]);
        cache.release(&[young]);
        assert_eq!(cache.allocate(), Some(old));
        assert!(cache.find(&tokens(1)).0.is_empty());
        assert_eq!(cache.find(&tokens(2)).0, [young]);
    }
}
