//! Many conversations at once, their results in a fixed order.

use std::collections::HashMap;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream;
use zerosearch_learner::seed::Seed;

use super::{Group, Rollout, Trajectory, play};
use crate::qa::Question;

/// How many conversations there are about each question, and how many are under way at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crowd {
    /// Conversations about one question; at least 1.
    pub group_size: usize,
    /// Conversations under way at once; at least 1.
    pub concurrency: usize,
}

/// One conversation to be had.
struct Seat {
    question: Arc<Question>,
    member: usize,
    seed: Seed,
}

/// Plays every question `group_size` times. Groups come back in the order of `questions`, trajectories in that of
/// their members; neither they nor anything in them depends on `concurrency` or on who finishes first. `watch` sees
/// each trajectory as it finishes. Dropping the future ends every conversation where it stands.
pub async fn play_all(
    rollout: &Rollout,
    questions: &[Arc<Question>],
    crowd: Crowd,
    watch: &(dyn Fn(&Trajectory) + Sync),
) -> Vec<Group> {
    let group_size = crowd.group_size.max(1);
    let conversations =
        seats(rollout, questions, group_size).into_iter().enumerate().map(|(at, seat)| async move {
            let trajectory = play(rollout, seat.question, seat.member, seat.seed).await;
            watch(&trajectory);
            (at, trajectory)
        });
    let mut finished: Vec<(usize, Trajectory)> =
        stream::iter(conversations).buffer_unordered(crowd.concurrency.max(1)).collect().await;
    finished.sort_by_key(|(at, _)| *at);
    let mut trajectories = finished.into_iter().map(|(_, trajectory)| trajectory);
    let group = |question: &Arc<Question>| Group {
        question: Arc::clone(question),
        trajectories: trajectories.by_ref().take(group_size).collect(),
    };
    questions.iter().map(group).collect()
}

/// All conversations in order. A question that is asked again gets other seeds than the first time.
fn seats(rollout: &Rollout, questions: &[Arc<Question>], group_size: usize) -> Vec<Seat> {
    let mut asked: HashMap<&str, u64> = HashMap::new();
    let mut seats = Vec::with_capacity(questions.len() * group_size);
    for question in questions {
        let times = asked.entry(&question.id).or_default();
        seats.extend((0..group_size).map(|member| Seat {
            question: Arc::clone(question),
            member,
            seed: rollout.seed_of(question, *times, member),
        }));
        *times += 1;
    }
    seats
}
