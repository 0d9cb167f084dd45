//! A score: one of the three numbers that say how right answers are.

use super::{Interval, Intervals};
use crate::rollout::Scores;

/// Which of an answer's scores is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Score {
    /// Exact match.
    #[default]
    Em,
    /// A golden answer is contained in the answer: what ZeroSearch and the systems built on it call EM.
    SubEm,
    /// Token F1.
    F1,
}

impl Score {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Em, Self::SubEm, Self::F1];

    /// As files and commands spell it.
    pub fn key(self) -> &'static str {
        match self {
            Self::Em => "em",
            Self::SubEm => "sub_em",
            Self::F1 => "f1",
        }
    }

    /// As people write it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Em => "EM",
            Self::SubEm => "sub-EM",
            Self::F1 => "F1",
        }
    }

    /// That of an answer.
    pub fn of(self, scores: &Scores) -> f32 {
        match self {
            Self::Em => scores.em,
            Self::SubEm => scores.sub_em,
            Self::F1 => scores.f1,
        }
    }

    /// That of a set of questions.
    pub fn interval(self, intervals: &Intervals) -> Interval {
        match self {
            Self::Em => intervals.em,
            Self::SubEm => intervals.sub_em,
            Self::F1 => intervals.f1,
        }
    }
}
