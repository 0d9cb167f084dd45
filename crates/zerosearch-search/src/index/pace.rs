//! The pace of an index that is being made: how far it is, told to somebody who may want it to stop.

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The passages that are in the index already are compared with the corpus.
    Comparing,
    /// Passages are added.
    Adding,
    /// The parts become one.
    Merging,
    /// The files are read once more for their checksums.
    Checking,
}

impl Stage {
    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Comparing => "comparing",
            Self::Adding => "indexing",
            Self::Merging => "merging",
            Self::Checking => "checking",
        }
    }
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// What is being done.
    pub stage: Stage,
    /// Passages that were read.
    pub passages: u64,
    /// The share of this stage that is done, from 0 to 1; 0 where nobody knows.
    pub share: f64,
}

/// Whoever is told, several times a second. It goes on while the answer is yes.
pub type Watch<'a> = dyn FnMut(Pace) -> bool + 'a;
