//! Many conversations at once, their results in a fixed order.

use std::collections::HashMap;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream;

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
#[derive(Clone, Debug)]
pub struct Seat {
    /// What is asked.
    pub question: Arc<Question>,
    /// Which of the conversations about it this is, from 0.
    pub member: usize,
    /// How often the question was asked before.
    nth: u64,
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
    let finished = play_seats(rollout, seats(questions, group_size), crowd.concurrency, watch).await;
    let mut trajectories = finished.into_iter();
    let group = |question: &Arc<Question>| Group {
        question: Arc::clone(question),
        trajectories: trajectories.by_ref().take(group_size).collect(),
    };
    questions.iter().map(group).collect()
}

/// Plays every one of `seats`, `concurrency` at once; trajectories come back in their order. Otherwise as [`play_all`].
pub async fn play_seats(
    rollout: &Rollout,
    seats: Vec<Seat>,
    concurrency: usize,
    watch: &(dyn Fn(&Trajectory) + Sync),
) -> Vec<Trajectory> {
    let conversations = seats.into_iter().enumerate().map(|(at, seat)| async move {
        let seed = rollout.seed_of(&seat.question, seat.nth, seat.member);
        let trajectory = play(rollout, seat.question, seat.member, seed).await;
        watch(&trajectory);
        (at, trajectory)
    });
    let mut finished: Vec<(usize, Trajectory)> =
        stream::iter(conversations).buffer_unordered(concurrency.max(1)).collect().await;
    finished.sort_by_key(|(at, _)| *at);
    finished.into_iter().map(|(_, trajectory)| trajectory).collect()
}

/// The conversations about `questions`, `group_size` about each. A question that is asked again gets other seeds than
/// the first time.
pub fn seats(questions: &[Arc<Question>], group_size: usize) -> Vec<Seat> {
    let mut asked: HashMap<&str, u64> = HashMap::new();
    let mut seats = Vec::with_capacity(questions.len() * group_size);
    for question in questions {
        let times = asked.entry(&question.id).or_default();
        let nth = *times;
        seats.extend((0..group_size).map(|member| Seat { question: Arc::clone(question), member, nth }));
        *times += 1;
    }
    seats
}
