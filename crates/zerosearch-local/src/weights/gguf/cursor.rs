//! A cursor: the next bytes of a GGUF file, never past its end.

use std::path::Path;

use zerosearch_learner::{LearnerError, Result};

/// Reads little-endian values one after another. Every read names what it reads, for the error about a torn file.
pub(super) struct Cursor<'a> {
    path: &'a Path,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(path: &'a Path, bytes: &'a [u8]) -> Self {
        Self { path, bytes, at: 0 }
    }

    /// How many bytes have been read.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// An error about this file.
    pub(super) fn refuse(&self, problem: impl Into<String>) -> LearnerError {
        LearnerError::bad_model(self.path, problem)
    }

    /// The next `length` bytes, borrowed from the file.
    pub(super) fn take(&mut self, length: u64, what: &str) -> Result<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        let taken = usize::try_from(length).ok().and_then(|length| rest.get(..length)).ok_or_else(|| {
            self.refuse(format!(
                "the file ends inside {what}: {length} bytes are needed at byte {}, {} are left; fetch it again",
                self.at,
                rest.len()
            ))
        })?;
        self.at += taken.len();
        Ok(taken)
    }

    pub(super) fn u32(&mut self, what: &str) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    pub(super) fn u64(&mut self, what: &str) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    /// A string's bytes: a 64-bit length, then as many bytes.
    pub(super) fn string(&mut self, what: &str) -> Result<&'a [u8]> {
        let length = self.u64(what)?;
        self.take(length, what)
    }

    /// A 64-bit count of things that take at least `smallest` bytes each. A count above `most`, or one that the rest of
    /// the file cannot hold, is refused here, so that callers may allocate for it.
    pub(super) fn count(&mut self, smallest: usize, most: usize, what: &str) -> Result<usize> {
        let count = self.u64(what)?;
        let most = most.min((self.bytes.len() - self.at) / smallest);
        usize::try_from(count).ok().filter(|&count| count <= most).ok_or_else(|| {
            self.refuse(format!(
                "{what} says {count}, at most {most} are possible in this file; fetch it again"
            ))
        })
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N as u64, what)?);
        Ok(array)
    }
}
