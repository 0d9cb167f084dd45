//! A local BM25 engine: the words of a query against the words of a corpus, in this process.
//!
//! | file | question it answers |
//! |---|---|
//! | `words` | which words of a text count? |
//! | `index` | what is kept of a corpus, and what is found in it? |
//! | `engine` | how does a query become documents? |

mod engine;
mod index;
mod words;

pub use engine::Bm25Engine;
pub use index::Bm25Index;
pub use words::Words;

#[cfg(test)]
mod tests;
