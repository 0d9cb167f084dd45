//! A reading: the passages of a corpus file in their order, each id once, and a hash of all that was read.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Corpus, CorpusError, Passage};

/// How far a corpus was read, and what was in it: the same for every way to pack the same passages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// How many passages.
    pub passages: u64,
    /// SHA-256 over their ids, titles and texts.
    pub sha256: String,
}

/// A corpus file that is read once from its start. Memory grows with the number of passages by some 20 bytes each.
pub(crate) struct Reading {
    path: PathBuf,
    corpus: Corpus,
    passages: u64,
    hash: Sha256,
    /// The first eight bytes of the SHA-256 of each id.
    ids: HashSet<u64>,
}

impl Reading {
    pub(crate) fn open(path: &Path) -> Result<Self, CorpusError> {
        let corpus = Corpus::open(path)?;
        Ok(Self { path: path.to_owned(), corpus, passages: 0, hash: Sha256::new(), ids: HashSet::new() })
    }

    /// The next passage; `None` at the end.
    ///
    /// # Errors
    /// A row that is no passage, or that has the id of an earlier one.
    pub(crate) fn next(&mut self) -> Result<Option<Passage>, CorpusError> {
        let Some(passage) = self.corpus.next()? else { return Ok(None) };
        let id = Sha256::digest(&passage.id);
        let short = id.iter().take(8).fold(0, |short, byte| short << 8 | u64::from(*byte));
        if !self.ids.insert(short) {
            self.refuse_twin(&passage.id)?;
        }
        passage.hash_into(&mut self.hash);
        self.passages += 1;
        Ok(Some(passage))
    }

    /// What was read so far.
    pub(crate) fn extent(&self) -> Extent {
        Extent { passages: self.passages, sha256: hex(&self.hash.clone().finalize()) }
    }

    /// The corpus file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// How many passages were read.
    pub(crate) fn passages(&self) -> u64 {
        self.passages
    }

    /// The share of the file that was read.
    pub(crate) fn share(&self) -> f64 {
        self.corpus.share()
    }

    /// Looks for `id` in the rows before this one: two ids may have the same first bytes of their hashes.
    fn refuse_twin(&self, id: &str) -> Result<(), CorpusError> {
        let mut earlier = Corpus::open(&self.path)?;
        for number in 1..=self.passages {
            if earlier.next()?.is_some_and(|passage| passage.id == id) {
                let what =
                    format!("its id `{id}` is that of passage {number} too; give each passage its own");
                return Err(self.corpus.complain(what));
            }
        }
        Ok(())
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
