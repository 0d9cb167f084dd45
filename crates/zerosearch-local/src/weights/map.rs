//! A file mapped into memory: read where it lies, page by page, when it is looked at.
#![allow(unsafe_code)]

use std::fs::File;
use std::ops::Deref;
use std::path::Path;

use memmap2::Mmap;
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
}

impl Deref for Map {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}
