//! A dense engine: passages near a query in the space of an encoder's vectors, in this process.
//!
//! | file | question it answers |
//! |---|---|
//! | `build` | how does a corpus become an index, and go on where it was left? |
//! | `draft` | what of an unfinished index is on disk for certain? |
//! | `record` | what decides its answers besides the passages? |
//! | `stored` | where does a passage stand, and which file holds what? |
//! | `vectors` | how near is a vector: in 32 bits, in 8? |
//! | `best` | which few of many scores are kept? |
//! | `clusters` | which vectors lie together, so that not all have to be looked at? |
//! | `index` | what is found? |
//! | `engine` | how does a query become documents? |

mod best;
mod build;
mod clusters;
mod draft;
mod engine;
mod index;
mod record;
mod stored;
mod vectors;

pub use build::DenseBuild;
pub use engine::DenseEngine;
pub use index::{DenseIndex, DenseSettings, Numbers, Reach};
pub use record::DenseRecord;

#[cfg(test)]
mod tests;
