//! A local BM25 engine: the words of a query against the words of a corpus, in this process.
//!
//! | file | question it answers |
//! |---|---|
//! | `words` | which words of a text count? |
//! | `schema` | what is kept of a passage? |
//! | `index` | what is found? |
//! | `memory` | how is an index made in memory? |
//! | `build` | how is one made on disk, larger than memory, and taken up again? |
//! | `disk`, `directory` | how is a finished one opened? |
//! | `engine` | how does a query become documents? |

mod build;
mod directory;
mod disk;
mod engine;
mod index;
mod memory;
mod schema;
mod words;

pub use build::Bm25Build;
pub use engine::Bm25Engine;
pub use index::Bm25Index;
pub use words::Words;

#[cfg(test)]
mod build_tests;
#[cfg(test)]
mod tests;
