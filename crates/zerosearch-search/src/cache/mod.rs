//! A disk cache around any engine: what was found once is not asked for again.
//!
//! | file | question it answers |
//! |---|---|
//! | `key` | when are two searches the same? |
//! | `line` | what does a result look like on disk, and is it whole? |
//! | `store` | where are results kept, and who may write there? |
//! | `engine` | when is the engine asked, and when not? |

mod engine;
mod key;
mod line;
mod store;

pub use engine::{CacheCounts, CachedEngine};
pub use store::{Cache, CacheError, CacheSize};

#[cfg(test)]
mod tests;
