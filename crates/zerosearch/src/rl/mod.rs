//! What did we learn from these groups?
//!
//! | algorithm | advantage of answer i | paper |
//! |---|---|---|
//! | [`Reinforce`], no baseline | `r_i` | Williams 1992; arXiv 2505.04588 |
//! | [`Reinforce`], leave-one-out | `r_i - mean of the group's others` | arXiv 2402.14740 |
//! | [`Reinforce`], batch mean | `r_i - mean of the batch` | Williams 1992 |
//! | [`Grpo`], sample deviation | `(r_i - mean of the group) / (its deviation + 1e-6)` | arXiv 2402.03300 |
//! | [`Grpo`], no deviation | `r_i - mean of the group` | arXiv 2503.20783 |
//!
//! Every token that the policy wrote in a trajectory gets the trajectory's advantage. The loss is
//! [`zerosearch_learner::Loss`], the penalty for leaving the reference policy is [`Kl`].

mod batch;
mod compare;
mod grpo;
mod kl;
mod names;
mod reinforce;
mod schedule;

pub use batch::{Batch, BatchError, Recipe, Scored, Update, sound};
pub use grpo::{Deviation, Grpo};
pub use kl::{Kl, KlError, KlKind, KlPlace};
pub use names::{ALGORITHMS, refuse};
pub use reinforce::{Baseline, Reinforce};
pub use schedule::{Decay, LearningRate, ScheduleError};

/// Every algorithm this program knows. To add one: a file beside this one, a variant, an arm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Policy gradient with the reward itself, or the reward less a baseline.
    Reinforce(Reinforce),
    /// Policy gradient with the reward measured against its group.
    Grpo(Grpo),
}

impl Algorithm {
    /// One advantage for each reward. `groups` holds the rewards of a whole batch, group by group, without those of
    /// broken trajectories.
    pub fn advantages(&self, groups: &[Vec<f64>]) -> Vec<Vec<f64>> {
        match self {
            Self::Reinforce(it) => it.advantages(groups),
            Self::Grpo(it) => groups.iter().map(|rewards| it.advantages(rewards)).collect(),
        }
    }

    /// The name that configurations use.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Reinforce(_) => "reinforce",
            Self::Grpo(_) => "grpo",
        }
    }
}
