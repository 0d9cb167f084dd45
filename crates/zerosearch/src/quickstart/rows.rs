//! Rows: what the conversations of a stage cost and show, read from the files that it left.

use std::path::Path;

use anyhow::Result;
use zerosearch_search::Golds;

use crate::rollout::Trajectory;
use crate::run::{Directory, TrajectoryLine, for_each_line, numbers};

/// What conversations came to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rows {
    /// Tokens of all of them.
    pub(super) tokens: u64,
    /// Conversations whose last documents hold a golden answer.
    pub(super) given: usize,
    /// Those of them that were answered exactly.
    pub(super) given_and_right: usize,
}

impl Rows {
    /// Those in `folder`.
    pub(super) fn of(folder: &Path) -> Result<Self> {
        let mut rows = Self::default();
        for_each_line(&folder.join("rows.jsonl"), |line: TrajectoryLine| rows.add(&line.trajectory))?;
        Ok(rows)
    }

    fn add(&mut self, row: &Trajectory) {
        self.tokens += row.transcript.len() as u64;
        let golds = Golds::new(row.question.golden_answers.iter().map(String::as_str));
        let last = row.turns.iter().rfind(|turn| !turn.documents.is_empty());
        if last.is_some_and(|turn| turn.documents.iter().any(|document| golds.in_document(document))) {
            self.given += 1;
            self.given_and_right += usize::from(row.scores.em == 1.0);
        }
    }
}

/// Tokens of all steps of a run: speed times time, step by step.
pub(super) fn tokens_of_run(directory: &Directory) -> Result<u64> {
    let column = |name: &str| numbers(&directory.metrics(), name);
    let (speeds, times) = (column("perf/throughput")?, column("timing_s/step")?);
    let tokens = speeds.iter().zip(&times).map(|((_, speed), (_, seconds))| speed * seconds);
    Ok(tokens.sum::<f64>().round() as u64)
}
