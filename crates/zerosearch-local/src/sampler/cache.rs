//! The prefix cache: blocks of keys and values, found again by the tokens that they hold.
//!
//! A full block is known by its tokens and by the block before it, so a chain of blocks stands for one prefix and
//! for no other; the first follows the beginning of the version of the weights that computed it. Blocks in use are counted; those that nobody uses stay until room is needed, the longest unused
//! first.

use std::collections::{BTreeMap, HashMap, HashSet};

use zerosearch_learner::TokenId;

use crate::kernels::{BLOCK, KeyValueBlocks};

/// What makes a full block findable: the serial number of the block before it, and its tokens.
type Key = (u64, [TokenId; BLOCK]);

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
            clock: 0,
        }
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// A serial number for prefixes of their own to follow.
    pub(super) fn begin(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// Frees every block of the prefixes that follow `beginning`, which nobody uses.
    pub(super) fn forget(&mut self, beginning: u64) {
        let mut known: Vec<(u64, u64, u32)> =
            self.known.iter().filter_map(|(key, &block)| Some((self.serial(block)?, key.0, block))).collect();
        // A block is published after the one before it.
        known.sort_unstable();
        let mut forgotten = HashSet::from([beginning]);
        for (serial, before, block) in known {
            let entry = &mut self.entries[block as usize];
            if entry.users > 0 || !forgotten.contains(&before) {
                continue;
            }
            forgotten.insert(serial);
            self.unused.remove(&entry.unused_since);
            if let Some((_, key)) = entry.known.take() {
                self.known.remove(&key);
            }
            self.free.push(block);
        }
    }

    /// Gives back the memory of the blocks, if none of them is in use or known.
    pub(super) fn clear(&mut self) {
        if self.known.is_empty() && self.free.len() == self.entries.len() {
            self.blocks.clear();
            self.entries.clear();
            self.free.clear();
        }
    }

    fn serial(&self, block: u32) -> Option<u64> {
        self.entries[block as usize].known.map(|(serial, _)| serial)
    }

    /// The longest chain of known blocks at the start of `tokens` after `beginning`, now in use by the caller, and the serial
    /// number of its last block.
    pub(super) fn find(&mut self, beginning: u64, tokens: &[TokenId]) -> (Vec<u32>, u64) {
        let mut chain = Vec::new();
        let mut serial = beginning;
        for piece in tokens.as_chunks::<BLOCK>().0 {
            let Some(&block) = self.known.get(&(serial, *piece)) else { break };
            serial = self.serial(block).unwrap_or(serial);
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
            return self.serial(other).unwrap_or(before);
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

    const BEGINNING: u64 = 0;

    fn tokens(value: TokenId) -> [TokenId; BLOCK] {
        [value; BLOCK]
    }

    #[test]
    fn a_prefix_is_found_again_and_only_that_prefix() {
        let mut cache = cache(8);
        let first = cache.allocate().unwrap();
        let serial = cache.publish(first, BEGINNING, tokens(1));
        let second = cache.allocate().unwrap();
        cache.publish(second, serial, tokens(2));
        let both = [tokens(1), tokens(2)].concat();
        assert_eq!(cache.find(BEGINNING, &both).0, [first, second]);
        assert_eq!(cache.find(BEGINNING, &both[..BLOCK + 3]).0, [first]);
        assert!(cache.find(BEGINNING, &tokens(2)).0.is_empty(), "the second block does not start a row");
    }

    #[test]
    fn the_longest_unused_block_makes_room() {
        let mut cache = cache(2);
        let (old, young) = (cache.allocate().unwrap(), cache.allocate().unwrap());
        cache.publish(old, BEGINNING, tokens(1));
        cache.publish(young, BEGINNING, tokens(2));
        assert_eq!(cache.allocate(), None);
        cache.release(&[old]);
        cache.release(&[young]);
        assert_eq!(cache.allocate(), Some(old));
        assert!(cache.find(BEGINNING, &tokens(1)).0.is_empty());
        assert_eq!(cache.find(BEGINNING, &tokens(2)).0, [young]);
    }

    #[test]
    fn versions_do_not_find_each_others_prefixes_and_one_can_be_forgotten() {
        let mut cache = cache(3);
        let (one, other) = (cache.begin(), cache.begin());
        let blocks: Vec<u32> = (0..3).map(|_| cache.allocate().unwrap()).collect();
        let serial = cache.publish(blocks[0], one, tokens(1));
        cache.publish(blocks[1], serial, tokens(2));
        cache.publish(blocks[2], other, tokens(1));
        assert_eq!(cache.find(one, &tokens(1)).0, [blocks[0]]);
        assert_eq!(cache.find(other, &tokens(1)).0, [blocks[2]]);
        cache.release(&[blocks[0], blocks[2]]);
        cache.release(&blocks);
        cache.forget(one);
        assert!(cache.find(one, &tokens(1)).0.is_empty());
        let room: Vec<Option<u32>> = (0..2).map(|_| cache.allocate()).collect();
        assert!(room.iter().all(|block| block.is_some_and(|block| block != blocks[2])), "{room:?}");
        assert_eq!(cache.find(other, &tokens(1)).0, [blocks[2]], "the other's is still there");
    }
}
