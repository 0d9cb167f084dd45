//! Evaluation: questions played with any engine, scored, none dropped.

mod answers;
mod bootstrap;
mod collection;
mod method;
mod player;
mod recipe;
mod score;
mod summary;
mod tokens;

pub use answers::{Answers, Difference, Measured};
pub(crate) use answers::{Key, key_of};
pub(crate) use bootstrap::bootstrap_difference;
pub use bootstrap::{Interval, bootstrap};
pub use collection::Collection;
pub use method::Method;
pub use player::with_player;
pub use recipe::{QuestionSet, Recipe, RecipeRecord};
pub use score::Score;
pub use summary::{Intervals, Means, Searches, Summary, summarize};
pub use tokens::Tokens;
