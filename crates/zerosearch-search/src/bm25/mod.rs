//! A local BM25 engine: the words of a query against the words of a corpus, in this process.
//!
//! | file | question it answers |
//! |---|---|
//! | `passage` | what can be found? |
//! | `corpus` | how is a corpus file read, and what in it is refused? |
//! | `words` | which words of a text count? |
//! | `index` | what is kept of a corpus, and what is found in it? |
//! | `engine` | how does a query become documents? |

mod corpus;
mod engine;
mod index;
mod passage;
mod words;

pub use corpus::CorpusError;
pub use engine::Bm25Engine;
pub use index::Bm25Index;
pub use passage::Passage;
pub(crate) use passage::title_and_text;
pub use words::Words;

#[cfg(test)]
mod tests;
