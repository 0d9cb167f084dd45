//! Answers: what one evaluation's conversations scored, question by question, and what they took.

use std::path::Path;

use anyhow::Result;

use crate::eval;
use crate::rollout::{Action, Author, Trajectory};
use crate::run::{TrajectoryLine, for_each_line};

/// The answers of one evaluation.
#[derive(Clone, Debug, Default)]
pub(super) struct Answers {
    /// The scores of each question.
    pub(super) scores: eval::Answers,
    /// What the conversations took.
    pub(super) effort: Effort,
}

/// Tokens and searches of conversations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Effort {
    pub(super) conversations: u64,
    pub(super) searches: u64,
    pub(super) prompt_tokens: u64,
    pub(super) policy_tokens: u64,
    /// Documents, and hints.
    pub(super) shown_tokens: u64,
}

impl Answers {
    /// Those in the file at `path`, a `rows.jsonl` or `eval/*.jsonl`.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let mut answers = Self::default();
        for_each_line(path, |line: TrajectoryLine| {
            answers.effort.add(&line.trajectory);
            answers.scores.add(&line.trajectory);
        })?;
        Ok(answers)
    }
}

impl Effort {
    fn add(&mut self, trajectory: &Trajectory) {
        let is_search = |action: &Action| matches!(action, Action::Search(_));
        self.conversations += 1;
        self.searches += trajectory.opening_and_turns().filter(|turn| is_search(&turn.action)).count() as u64;
        for piece in &trajectory.transcript.pieces {
            let tokens = piece.tokens.len() as u64;
            match piece.author {
                Author::Prompt => self.prompt_tokens += tokens,
                Author::Policy => self.policy_tokens += tokens,
                Author::Search | Author::Hint => self.shown_tokens += tokens,
            }
        }
    }
}
