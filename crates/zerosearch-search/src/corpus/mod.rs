//! A corpus: the passages of a file, read one after another, however many there are.
//!
//! | file | question it answers |
//! |---|---|
//! | `passage` | what can be found, and which columns of a row make it? |
//! | `file` | what does a file hold, and where in it are we? |
//! | `reading` | what was read so far, and is it the same as before? |
//! | `lines` | what is a row of JSON lines? |
//! | `parquet` | what is a row of Parquet? |
//! | `error` | why can a corpus not be used? |

mod error;
mod file;
mod lines;
mod parquet;
mod passage;
mod reading;

pub use error::CorpusError;
pub(crate) use file::Corpus;
pub use passage::Passage;
pub(crate) use passage::title_and_text;
pub use reading::Extent;
pub(crate) use reading::{Reading, hex};

#[cfg(test)]
mod tests;
