//! Evaluation: questions answered greedily, scored, none dropped.

use std::sync::Arc;

use crate::qa::Question;
use crate::rollout::{Crowd, Group, Rollout, Trajectory, play_all};

mod exam;
mod player;
mod summary;

pub use exam::Exam;
pub use player::with_player;
pub use summary::{Interval, Intervals, Means, Summary, summarize};

/// Asks each of `questions` once, `concurrency` at a time. `watch` sees each conversation as it ends.
pub async fn evaluate(
    rollout: &Rollout,
    questions: &[Arc<Question>],
    concurrency: usize,
    watch: &(dyn Fn(&Trajectory) + Sync),
) -> Vec<Group> {
    play_all(rollout, questions, Crowd { group_size: 1, concurrency }, watch).await
}
