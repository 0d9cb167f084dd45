//! A corpus: the passages of a file, read one after another, however many there are.
//!
//! | file | question it answers |
//! |---|---|
//! | `passage` | what can be found, and which columns of a row make it? |
//! | `file` | what does a file hold, and where in it are we? |
//! | `lines` | what is a row of JSON lines? |
//! | `parquet` | what is a row of Parquet? |
//! | `error` | why can a corpus not be used? |

mod error;
mod file;
mod lines;
mod parquet;
mod passage;

pub use error::CorpusError;
pub(crate) use file::Corpus;
pub use passage::Passage;
pub(crate) use passage::title_and_text;

#[cfg(test)]
mod tests;
