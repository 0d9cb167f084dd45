//! Rewards: the score of the answer, or a synthetic number by which a random model can show that the loop learns.

use zerosearch_learner::text::{PROTOCOL_TAGS, Text};

use crate::config;
use crate::qa;
use crate::rollout::{Author, Group, Trajectory};

/// What a run raises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reward(pub(super) config::Reward);

impl Reward {
    /// The score of the answer that a conversation is rewarded with as it ends.
    pub(super) fn of_answer(self) -> qa::Reward {
        match self.0 {
            config::Reward::F1 | config::Reward::Tags => qa::Reward::F1,
            config::Reward::Em => qa::Reward::Em,
            config::Reward::SubEm => qa::Reward::SubEm,
        }
    }

    /// Replaces the rewards of finished conversations where the plan names a synthetic one.
    pub(super) fn give(self, mut groups: Vec<Group>, text: &Text) -> Vec<Group> {
        if self.0 == config::Reward::Tags {
            for trajectory in groups.iter_mut().flat_map(|group| &mut group.trajectories) {
                trajectory.reward = tags(trajectory, text);
            }
        }
        groups
    }
}

/// The share of the policy's tokens that are exactly one protocol tag each; 0 when it wrote none.
fn tags(trajectory: &Trajectory, text: &Text) -> f32 {
    let pieces = trajectory.transcript.pieces.iter().filter(|piece| piece.author == Author::Policy);
    let (mut tags, mut all) = (0_usize, 0_usize);
    for token in pieces.flat_map(|piece| &piece.tokens) {
        all += 1;
        tags += usize::from(PROTOCOL_TAGS.iter().any(|tag| tag.as_bytes() == text.bytes(*token)));
    }
    if all == 0 { 0.0 } else { tags as f32 / all as f32 }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use zerosearch_learner::text::tiny_text;

    use super::*;
    use crate::qa::Question;
    use crate::rollout::{Ending, Scores, Transcript};

    /// By hand: `<search>`, `x`, `</search>` are three tokens of the policy, two of them tags.
    #[test]
    fn only_the_policys_own_tags_count() {
        let text = tiny_text();
        let mut transcript = Transcript::default();
        transcript.show(Author::Prompt, text.encode("<answer><answer>"));
        let said = text.encode("<search>x</search>");
        transcript.say(said.clone(), vec![0.0; said.len()]);
        let question = Question {
            id: "q".into(),
            source: "s".into(),
            text: "who?".into(),
            golden_answers: vec!["me".into()],
            prompt: None,
        };
        let trajectory = Trajectory {
            question: Arc::new(question),
            member: 0,
            transcript,
            opening: None,
            turns: Vec::new(),
            ending: Ending::OutOfTurns,
            scores: Scores::default(),
            reward: 0.0,
        };
        assert_eq!(tags(&trajectory, &text), 2.0 / 3.0);
        assert_eq!(tags(&Trajectory { transcript: Transcript::default(), ..trajectory }, &text), 0.0);
    }
}
