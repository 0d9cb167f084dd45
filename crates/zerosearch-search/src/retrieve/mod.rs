//! A client of `/retrieve` servers: somebody else's engine, over HTTP.
//!
//! | file | question it answers |
//! |---|---|
//! | `dialect` | what do requests and replies look like? |
//! | `engine` | how does a query become documents? |

mod dialect;
mod engine;

pub use dialect::Dialect;
pub use engine::{RetrieveEngine, RetrieveSettings};

#[cfg(test)]
mod tests;
