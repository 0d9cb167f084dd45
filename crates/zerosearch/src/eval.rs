//! Evaluation: questions played with any engine, scored, none dropped.

mod collection;
mod method;
mod player;
mod summary;

pub use collection::Collection;
pub use method::Method;
pub use player::with_player;
pub(crate) use summary::bootstrap_difference;
pub use summary::{Interval, Intervals, Means, Searches, Summary, bootstrap, summarize};
