//! Reward: the one number that training raises.

use serde::{Deserialize, Serialize};

use crate::rollout::Scores;

/// Which score of the answer is rewarded. There is no reward for form: a trajectory without an answer gets 0 because
/// its scores are 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reward {
    /// Token F1, as in the paper (arXiv 2505.04588, section 3.5): right words count, superfluous words cost.
    #[default]
    F1,
    /// Exact match.
    Em,
    /// Containment. It rewards long answers: an answer that lists everything contains everything.
    SubEm,
}

impl Reward {
    /// The reward of a trajectory with these scores, in [0, 1].
    pub fn of(self, scores: &Scores) -> f32 {
        match self {
            Self::F1 => scores.f1,
            Self::Em => scores.em,
            Self::SubEm => scores.sub_em,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reward_is_the_score_of_its_name() {
        let scores = Scores { em: 0.0, sub_em: 1.0, f1: 0.5 };
        let rewards = [Reward::F1, Reward::Em, Reward::SubEm].map(|reward| reward.of(&scores));
        assert_eq!(rewards, [0.5, 0.0, 1.0]);
        assert_eq!(serde_json::to_string(&Reward::SubEm).unwrap(), "\"sub_em\"");
    }
}
