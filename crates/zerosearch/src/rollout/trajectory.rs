//! A trajectory: the finished record of one rollout, and how it ended.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use zerosearch_search::{Document, Labels};

use super::{Distillate, Transcript};
use crate::qa::Question;

/// What the policy did in one turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It asked the search engine.
    Search(String),
    /// It answered.
    Answer(String),
    /// It did neither: no complete pair of tags, or an empty query.
    Invalid,
}

/// One turn and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Turn {
    /// What the policy did.
    pub action: Action,
    /// What a simulated engine was told to write, where a search call was made.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub labels: Option<Labels>,
    /// What the engine returned.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub documents: Vec<Document>,
    /// What the policy was shown instead of them, where it reads documents apart.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub distillate: Option<Distillate>,
}

impl Turn {
    /// A turn of which nothing has come yet.
    pub fn new(action: Action) -> Self {
        Self { action, labels: None, documents: Vec::new(), distillate: None }
    }
}

/// How a conversation ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The policy answered with these words.
    Answered(String),
    /// It used all its turns.
    OutOfTurns,
    /// Another turn would not have fitted its context.
    OutOfTokens,
    /// Something of ours failed: an outage must not teach the policy anything.
    Broken(String),
}

impl Ending {
    /// Whether the trajectory may be scored and trained on.
    pub fn teaches(&self) -> bool {
        !matches!(self, Self::Broken(_))
    }
}

/// How right an answer is, each in [0, 1] and the best over all golden answers; all 0 without an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Exact match after normalisation.
    pub em: f32,
    /// A golden answer is contained in the answer, after normalisation.
    pub sub_em: f32,
    /// Token F1 after normalisation.
    pub f1: f32,
}

/// One rollout from start to end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trajectory {
    /// What was asked.
    pub question: Arc<Question>,
    /// Which of the group's rollouts this is, from 0.
    pub member: usize,
    /// Every token, with its author.
    pub transcript: Transcript,
    /// The search for the question itself, where the prompt shows what it found.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub opening: Option<Turn>,
    /// What happened turn by turn.
    pub turns: Vec<Turn>,
    /// How it ended.
    pub ending: Ending,
    /// How right the answer is.
    pub scores: Scores,
    /// What the training rewards.
    pub reward: f32,
}

impl Trajectory {
    /// The opening, where there is one, and every turn.
    pub fn opening_and_turns(&self) -> impl Iterator<Item = &Turn> {
        self.opening.iter().chain(&self.turns)
    }
}

/// One question and its rollouts, in the order of their members.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// What was asked.
    pub question: Arc<Question>,
    /// Its rollouts, broken ones included.
    pub trajectories: Vec<Trajectory>,
}
