//! A score of all evaluations: each one's number in every data set, and how far it is from the baseline's.

use std::collections::BTreeMap;

use serde::Serialize;

use super::entry::Entry;
use crate::eval::{Difference, Intervals, Measured, Score};

/// One score, row by row.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scored {
    /// `em`, `sub_em` or `f1`.
    pub score: &'static str,
    /// The evaluations, in the table's order.
    pub rows: Vec<ScoredRow>,
    /// Every other row less the baseline.
    pub differences: Vec<RowDifference>,
    /// The score's name for people.
    #[serde(skip)]
    pub(super) title: &'static str,
}

/// The score of one evaluation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScoredRow {
    /// The evaluation.
    pub name: String,
    /// In each data set.
    pub sets: BTreeMap<String, Measured>,
    /// Over all questions.
    pub all: Measured,
    /// The plain mean over the data sets.
    pub mean: f64,
    /// The ends of its interval; null in a file from before it was computed.
    pub mean_interval: Option<[f64; 2]>,
}

/// One evaluation less the baseline.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RowDifference {
    /// The evaluation.
    pub name: String,
    /// Question by question.
    #[serde(flatten)]
    pub difference: Difference,
}

impl Scored {
    pub(super) fn of(score: Score, entries: &[Entry], baseline: usize) -> Self {
        let base = &entries[baseline];
        let others = entries.iter().enumerate().filter(|(at, _)| *at != baseline);
        let difference = |(_, it): (usize, &Entry)| RowDifference {
            name: it.name.clone(),
            difference: it.answers.difference(&base.answers, score),
        };
        Self {
            score: score.key(),
            rows: entries.iter().map(|it| ScoredRow::of(score, it)).collect(),
            differences: others.map(difference).collect(),
            title: score.title(),
        }
    }
}

impl ScoredRow {
    fn of(score: Score, entry: &Entry) -> Self {
        let summary = &entry.summary;
        let set = |(name, it): (&String, &Intervals)| (name.clone(), measured(score, it));
        let mean = summary.mean_intervals.map(|it| score.interval(&it));
        Self {
            name: entry.name.clone(),
            sets: summary.sources.iter().map(set).collect(),
            all: measured(score, &summary.all),
            mean: match score {
                Score::Em => summary.mean.em,
                Score::SubEm => summary.mean.sub_em,
                Score::F1 => summary.mean.f1,
            },
            mean_interval: mean.map(|it| [it.low, it.high]),
        }
    }
}

fn measured(score: Score, it: &Intervals) -> Measured {
    Measured { questions: it.questions, interval: score.interval(it) }
}
