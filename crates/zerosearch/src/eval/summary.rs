//! A summary: what an evaluation found, none dropped, with an interval on every number.

use std::collections::BTreeMap;

use rand::RngExt;
use serde::{Deserialize, Serialize};
use zerosearch_learner::seed::Seed;

use crate::rollout::{Action, Ending, Group, Scores, Trajectory};
use crate::run::VERSION;

/// Resamples of the bootstrap.
const RESAMPLES: usize = 2000;

/// What an evaluation found. A broken conversation counts as a wrong answer and is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The version of this form.
    pub version: u32,
    /// Questions asked.
    pub questions: usize,
    /// Questions answered, rightly or wrongly.
    pub answered: usize,
    /// Conversations that something of ours broke.
    pub broken: usize,
    /// Rows of the question files without a question or an answer, left out before anything was asked.
    #[serde(default)]
    pub unusable: usize,
    /// Mean number of searches.
    pub searches_per_question: f64,
    /// Mean reward: what decides which checkpoint is the best.
    pub reward: f64,
    /// Over all questions.
    pub all: Intervals,
    /// The plain mean over the data sets, however many questions each has.
    pub mean: Means,
    /// For each data set.
    pub sources: BTreeMap<String, Intervals>,
}

/// The three scores of one set of questions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Intervals {
    /// Questions in it.
    pub questions: usize,
    /// Exact match.
    pub em: Interval,
    /// Containment.
    pub sub_em: Interval,
    /// Token F1.
    pub f1: Interval,
}

/// A mean and its 95 % interval: percentiles of the means of 2,000 seeded resamples of the questions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The mean.
    pub mean: f64,
    /// 2.5 % of the resamples lie below.
    pub low: f64,
    /// 2.5 % of the resamples lie above.
    pub high: f64,
}

/// Three plain means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Means {
    /// Exact match.
    pub em: f64,
    /// Containment.
    pub sub_em: f64,
    /// Token F1.
    pub f1: f64,
}

/// What `groups` show. The same groups and seed give the same numbers.
pub fn summarize(groups: &[Group], seed: Seed) -> Summary {
    let rows: Vec<&Trajectory> = groups.iter().flat_map(|group| &group.trajectories).collect();
    let mut by_source: BTreeMap<&str, Vec<&Trajectory>> = BTreeMap::new();
    for row in &rows {
        by_source.entry(&row.question.source).or_default().push(row);
    }
    let sources: BTreeMap<String, Intervals> = by_source
        .into_iter()
        .map(|(source, rows)| (source.to_owned(), intervals(&rows, seed.purpose(source))))
        .collect();
    let searches =
        rows.iter().flat_map(|row| &row.turns).filter(|turn| matches!(turn.action, Action::Search(_)));
    let plain = |score: fn(&Intervals) -> f64| mean(&sources.values().map(score).collect::<Vec<_>>());
    Summary {
        version: VERSION,
        questions: rows.len(),
        answered: rows.iter().filter(|row| matches!(row.ending, Ending::Answered(_))).count(),
        broken: rows.iter().filter(|row| matches!(row.ending, Ending::Broken(_))).count(),
        unusable: 0,
        searches_per_question: searches.count() as f64 / rows.len().max(1) as f64,
        reward: mean(&rows.iter().map(|row| f64::from(row.reward)).collect::<Vec<_>>()),
        all: intervals(&rows, seed.purpose("all questions")),
        mean: Means {
            em: plain(|it| it.em.mean),
            sub_em: plain(|it| it.sub_em.mean),
            f1: plain(|it| it.f1.mean),
        },
        sources,
    }
}

fn intervals(rows: &[&Trajectory], seed: Seed) -> Intervals {
    let interval = |name: &str, score: fn(&Scores) -> f32| {
        let values: Vec<f64> = rows.iter().map(|row| f64::from(score(&row.scores))).collect();
        bootstrap(&values, seed.purpose(name))
    };
    Intervals {
        questions: rows.len(),
        em: interval("em", |scores| scores.em),
        sub_em: interval("sub_em", |scores| scores.sub_em),
        f1: interval("f1", |scores| scores.f1),
    }
}

/// The percentile bootstrap (Efron 1979) of a mean.
fn bootstrap(values: &[f64], seed: Seed) -> Interval {
    if values.is_empty() {
        return Interval { mean: 0.0, low: 0.0, high: 0.0 };
    }
    let mut generator = seed.generator();
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| (0..values.len()).map(|_| values[generator.random_range(0..values.len())]).sum::<f64>())
        .map(|sum| sum / values.len() as f64)
        .collect();
    means.sort_by(f64::total_cmp);
    let at = |share: f64| means[((RESAMPLES - 1) as f64 * share).round() as usize];
    Interval { mean: mean(values), low: at(0.025), high: at(0.975) }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

impl Summary {
    /// Whether no larger share than `max_broken_share` of the conversations is broken: a worse evaluation measures our
    /// outages, not the policy.
    pub fn is_sound(&self, max_broken_share: f64) -> bool {
        self.broken as f64 <= max_broken_share * self.questions as f64
    }

    /// The summary in one line.
    pub fn line(&self) -> String {
        format!(
            "EM {:.3}  sub-EM {:.3}  F1 {:.3}  searches {:.2}  answered {}/{}  broken {}",
            self.all.em.mean,
            self.all.sub_em.mean,
            self.all.f1.mean,
            self.searches_per_question,
            self.answered,
            self.questions,
            self.broken
        )
    }

    /// The summary as a table: a line for each data set and one for all, each score with its interval.
    pub fn table(&self) -> String {
        let mut table = format!("{:<18}{:>6}   {:<22}{:<22}{:<22}\n", "", "n", "EM", "sub-EM", "F1");
        let named = self.sources.iter().map(|(name, intervals)| (name.as_str(), intervals));
        for (name, it) in named.chain([("all", &self.all)]) {
            let (em, sub_em, f1) = (it.em.words(), it.sub_em.words(), it.f1.words());
            table.push_str(&format!("{name:<18}{:>6}   {em:<22}{sub_em:<22}{f1:<22}\n", it.questions));
        }
        table.push_str(&format!(
            "searches per question {:.2}, answered {} of {}, broken {}\n",
            self.searches_per_question, self.answered, self.questions, self.broken
        ));
        if self.unusable > 0 {
            table
                .push_str(&format!("{} rows without a question or an answer were left out\n", self.unusable));
        }
        table
    }
}

impl Interval {
    fn words(&self) -> String {
        format!("{:.3} [{:.3}, {:.3}]", self.mean, self.low, self.high)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::qa::Question;
    use crate::rollout::{Transcript, Turn};

    fn group(source: &str, ending: Ending, f1: f32) -> Group {
        let question = Arc::new(Question {
            id: format!("{source}:1"),
            source: source.into(),
            text: "who?".into(),
            golden_answers: vec!["me".into()],
            prompt: None,
        });
        let turn = Turn { action: Action::Search("x".into()), labels: None, documents: Vec::new() };
        let trajectory = Trajectory {
            question: Arc::clone(&question),
            member: 0,
            transcript: Transcript::default(),
            turns: vec![turn],
            ending,
            scores: Scores { f1, ..Scores::default() },
            reward: f1,
        };
        Group { question, trajectories: vec![trajectory] }
    }

    /// By hand: F1 of 1, 0.5, 0 (broken) is 0.5 over all; nq has 0.75, hotpotqa 0, their plain mean is 0.375.
    #[test]
    fn nothing_is_dropped_and_a_broken_row_counts_as_zero() {
        let groups = [
            group("nq", Ending::Answered("me".into()), 1.0),
            group("nq", Ending::OutOfTurns, 0.5),
            group("hotpotqa", Ending::Broken("down".into()), 0.0),
        ];
        let summary = summarize(&groups, Seed::run(1));
        assert_eq!((summary.questions, summary.answered, summary.broken), (3, 1, 1));
        assert_eq!((summary.all.f1.mean, summary.mean.f1, summary.searches_per_question), (0.5, 0.375, 1.0));
        assert_eq!(summary.sources["hotpotqa"].f1, Interval { mean: 0.0, low: 0.0, high: 0.0 });
        assert_eq!(summary, summarize(&groups, Seed::run(1)));
    }

    /// For 400 coin flips with 200 heads the normal interval is 0.5 +- 1.96 * sqrt(0.25 / 400) = [0.451, 0.549].
    #[test]
    fn intervals_agree_with_the_normal_approximation() {
        let values: Vec<f64> = (0..400).map(|index| f64::from(index % 2)).collect();
        let found = bootstrap(&values, Seed::run(3));
        assert_eq!(found.mean, 0.5);
        assert!((found.low - 0.451).abs() < 0.01 && (found.high - 0.549).abs() < 0.01, "{found:?}");
    }
}
