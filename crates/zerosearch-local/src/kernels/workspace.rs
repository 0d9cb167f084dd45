//! Memory that is used again: once a computation has run, running it anew allocates nothing.
//!
//! Large allocations come from the operating system page by page, each page cleared at its first touch; doing that for
//! every intermediate result costs more than computing it.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytemuck::{AnyBitPattern, NoUninit, cast_slice, cast_slice_mut, zeroed_vec};

/// A buffer that is this many times too large is left for another use.
const LOOSEST: usize = 4;

/// One cache line, so that no vector of a buffer lies across two.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
struct Line([u32; 16]);

/// Gives out buffers and takes them back. Clones share the same memory.
///
/// Where no free buffer is large enough, the largest free one is given up for a larger: work that comes again with other
/// lengths soon finds all that it needs, and no more is held than the most that was in use together of each magnitude.
#[derive(Clone)]
pub(crate) struct Workspace {
    /// Sorted by length.
    free: Arc<Mutex<Vec<Vec<Line>>>>,
    /// How many times too large a buffer may be for its use.
    loosest: usize,
}

impl Default for Workspace {
    fn default() -> Self {
        Self { free: Arc::default(), loosest: LOOSEST }
    }
}

/// A stretch of `length` numbers of four bytes; goes back to its workspace when dropped.
pub(crate) struct Buffer {
    lines: Vec<Line>,
    length: usize,
    home: Workspace,
}

impl Workspace {
    /// A workspace whose buffers serve one length alone: many of them are in use at once, so that none may waste memory.
    pub(crate) fn exact() -> Self {
        Self { loosest: 1, ..Self::default() }
    }

    /// Room for `length` numbers, which hold whatever was there before.
    pub(crate) fn take(&self, length: usize) -> Buffer {
        let needed = length.div_ceil(16);
        let lines = self.find(needed).unwrap_or_else(|| zeroed_vec(needed));
        Buffer { lines, length, home: self.clone() }
    }

    /// Room for `length` zeros.
    pub(crate) fn zeroed(&self, length: usize) -> Buffer {
        let mut buffer = self.take(length);
        buffer.fill(0.0);
        buffer
    }

    /// Room with the same numbers.
    pub(crate) fn copy_of(&self, numbers: &[f32]) -> Buffer {
        let mut buffer = self.take(numbers.len());
        buffer.copy_from_slice(numbers);
        buffer
    }

    fn find(&self, needed: usize) -> Option<Vec<Line>> {
        let mut free = self.free();
        let first = free.partition_point(|lines| lines.len() < needed);
        if free.get(first).is_some_and(|lines| lines.len() <= self.loosest * needed.max(16)) {
            return Some(free.remove(first));
        }
        let too_small = first.checked_sub(1).map(|last| free.remove(last));
        drop(free);
        drop(too_small);
        None
    }

    fn free(&self) -> MutexGuard<'_, Vec<Vec<Line>>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Buffer {
    /// The same memory as other numbers of at most four bytes each.
    pub(super) fn numbers<T: AnyBitPattern>(&self) -> &[T] {
        let numbers = self.length * 4 / size_of::<T>();
        &cast_slice(&self.lines)[..numbers]
    }

    /// As [`Buffer::numbers`], to be written.
    pub(super) fn numbers_mut<T: AnyBitPattern + NoUninit>(&mut self) -> &mut [T] {
        let numbers = self.length * 4 / size_of::<T>();
        &mut cast_slice_mut(&mut self.lines)[..numbers]
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        self.numbers()
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        self.numbers_mut()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        let mut free = self.home.free();
        let place = free.partition_point(|other| other.len() < lines.len());
        free.insert(place, lines);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_buffer_is_used_again() {
        let workspace = Workspace::default();
        let mut first = workspace.take(1000);
        first.fill(7.0);
        let place = first.as_ptr();
        drop(first);
        let again = workspace.take(900);
        assert_eq!((again.as_ptr(), again.len()), (place, 900));
        assert!(workspace.zeroed(900).iter().all(|&number| number == 0.0));
    }

    #[test]
    fn buffers_start_at_a_cache_line() {
        let workspace = Workspace::default();
        for length in [1, 17, 4099] {
            assert!(workspace.take(length).as_ptr().cast::<Line>().is_aligned());
        }
    }

    /// Two buffers in use together, over and over with other lengths: two is all that is ever held.
    #[test]
    fn a_larger_buffer_takes_the_place_of_a_smaller() {
        let workspace = Workspace::default();
        for length in [200, 600, 300, 640, 500] {
            let pair = (workspace.take(length), workspace.take(2 * length));
            drop(pair);
            assert!(workspace.free().len() <= 2, "at length {length}");
        }
    }
}
