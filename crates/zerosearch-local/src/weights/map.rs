//! A file mapped into memory: read where it lies, page by page, when it is looked at.
#![allow(unsafe_code)]

use std::fs::File;
use std::ops::{Deref, Range};
use std::path::Path;

use memmap2::Mmap;
#[cfg(unix)]
use memmap2::UncheckedAdvice;
use zerosearch_learner::{LearnerError, Result};

/// The bytes of a file that nobody changes while it is open.
pub(crate) struct Map(Mmap);

impl Map {
    /// Maps the file at `path`.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|error| LearnerError::io(path, error))?;
        // SAFETY: The mapping is read-only and lives as long as this value, which owns it. Its bytes would change under
        // the borrow only if another process wrote into the file in place. Model files are not written so: this
        // program and the hub's clients write aside and rename, which leaves an open mapping on the old file.
        let map = unsafe { Mmap::map(&file) };
        Ok(Self(map.map_err(|error| LearnerError::io(path, error))?))
    }

    /// What `read` makes of these bytes of the file; `None` if it is shorter. The memory that they took is given back, so that
    /// an open model takes none beside what was made of it: read again, they come from the file again.
    pub(crate) fn read<T>(&self, bytes: Range<usize>, read: impl FnOnce(&[u8]) -> T) -> Option<T> {
        let made = read(self.get(bytes.clone())?);
        self.release(bytes);
        Some(made)
    }

    #[cfg(unix)]
    fn release(&self, bytes: Range<usize>) {
        // SAFETY: The mapping is read-only, so its pages hold what the file holds: whoever looks at one again gets the same bytes.
        let released =
            unsafe { self.0.unchecked_advise_range(UncheckedAdvice::DontNeed, bytes.start, bytes.len()) };
        // A system that refuses keeps the memory until the file is closed.
        released.ok();
    }

    #[cfg(not(unix))]
    fn release(&self, _: Range<usize>) {}
}

impl Deref for Map {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_the_same_after_their_memory_was_given_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bytes");
        let bytes: Vec<u8> = (0..40_000).map(|index| (index % 251) as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        let map = Map::open(&path).unwrap();
        for range in [0..40_000, 5_000..30_000, 39_999..40_000, 7..7, 0..40_000] {
            assert_eq!(map.read(range.clone(), <[u8]>::to_vec).unwrap(), bytes[range]);
        }
        assert_eq!(map.read(39_999..40_001, <[u8]>::len), None);
    }
}
