//! Answers: what each question of an evaluation scored, and how much two evaluations differ on the same questions.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use zerosearch_learner::seed::Seed;

use super::Score;
use super::bootstrap::{Interval, bootstrap, bootstrap_of_sets};
use crate::qa::Question;
use crate::rollout::{Scores, Trajectory};
use crate::run::{TrajectoryLine, for_each_line};

/// What tells a question from all others: data set, id and words.
pub(crate) type Key = (String, String, String);

/// The key of `question`.
pub(crate) fn key_of(question: &Question) -> Key {
    (question.source.clone(), question.id.clone(), question.text.clone())
}

/// What each question of an evaluation scored, in all its conversations.
#[derive(Clone, Debug, Default)]
pub struct Answers(BTreeMap<Key, Vec<Scores>>);

impl Answers {
    /// Those in the file at `path`, a `rows.jsonl` or `eval/*.jsonl`.
    pub fn read(path: &Path) -> Result<Self> {
        let mut answers = Self::default();
        for_each_line(path, |line: TrajectoryLine| answers.add(&line.trajectory))?;
        Ok(answers)
    }

    /// Adds what one conversation scored.
    pub fn add(&mut self, trajectory: &Trajectory) {
        self.0.entry(key_of(&trajectory.question)).or_default().push(trajectory.scores);
    }

    /// How many conversations there are.
    pub fn conversations(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    /// Whether the question is among them.
    pub(crate) fn has(&self, key: &Key) -> bool {
        self.0.contains_key(key)
    }

    /// The questions.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.0.keys()
    }

    /// How much higher this is in `score` than `base`, on the questions that both have.
    pub fn difference(&self, base: &Self, score: Score) -> Difference {
        let mut sets: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for (key, scores) in &self.0 {
            let Some(others) = base.0.get(key) else { continue };
            let gap = mean_of(scores, score) - mean_of(others, score);
            sets.entry(&key.0).or_default().push(gap);
        }
        Difference::of(&sets, score, [self.0.len(), base.0.len()])
    }
}

/// The mean over a question's conversations.
fn mean_of(scores: &[Scores], score: Score) -> f64 {
    let sum: f64 = scores.iter().map(|it| f64::from(score.of(it))).sum();
    sum / scores.len().max(1) as f64
}

/// The mean difference of two evaluations on the questions that both have, with the interval of the bootstrap over these
/// questions. Each question is set against itself, so what makes it hard or easy falls out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Questions that both have: of the same data set, id and text.
    pub paired: usize,
    /// Questions that only the one has.
    pub unpaired: usize,
    /// Questions that only the one compared with has.
    pub unpaired_of_base: usize,
    /// Over all pairs; none without any.
    pub all: Option<Interval>,
    /// Of the plain mean over the data sets that have pairs.
    pub mean: Option<Interval>,
    /// For each data set that has pairs.
    pub sets: BTreeMap<String, Measured>,
}

/// What some questions measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// How many.
    pub questions: usize,
    /// Their mean.
    #[serde(flatten)]
    pub interval: Interval,
}

impl Difference {
    /// Of the differences in `sets`, of evaluations with so many questions.
    fn of(sets: &BTreeMap<&str, Vec<f64>>, score: Score, questions: [usize; 2]) -> Self {
        let seed = Seed::run(1).purpose("paired").purpose(score.key());
        let all: Vec<f64> = sets.values().flatten().copied().collect();
        let apart: Vec<Vec<f64>> = sets.values().cloned().collect();
        let of_set = |(name, values): (&&str, &Vec<f64>)| {
            let interval = bootstrap(values, seed.purpose("set").purpose(name));
            ((*name).to_owned(), Measured { questions: values.len(), interval })
        };
        Self {
            paired: all.len(),
            unpaired: questions[0] - all.len(),
            unpaired_of_base: questions[1] - all.len(),
            all: (!all.is_empty()).then(|| bootstrap(&all, seed)),
            mean: bootstrap_of_sets(&apart, seed.purpose("mean over sets")),
            sets: sets.iter().map(of_set).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::rollout::{Ending, Transcript};

    impl Answers {
        /// Answers with these F1 scores, one for each conversation about the question of that set and id.
        pub(crate) fn of_f1(rows: &[(&str, &str, f32)]) -> Self {
            let mut answers = Self::default();
            for (source, id, f1) in rows {
                let question = Question {
                    id: (*id).into(),
                    source: (*source).into(),
                    text: "who?".into(),
                    golden_answers: vec!["me".into()],
                    prompt: None,
                };
                answers.add(&Trajectory {
                    question: Arc::new(question),
                    member: 0,
                    transcript: Transcript::default(),
                    opening: None,
                    turns: Vec::new(),
                    ending: Ending::OutOfTurns,
                    scores: Scores { f1: *f1, ..Scores::default() },
                    reward: 0.0,
                });
            }
            answers
        }
    }

    /// By hand: of nq, b rises from 0 to 0.75 (the mean of 1 and 0.5) and c stays; of musique, d falls by 1. Three pairs
    /// have -0.25 / 3, the means of the sets are 0.375 and -1, their mean is -0.3125.
    #[test]
    fn questions_that_both_have_are_set_against_themselves() {
        let base =
            Answers::of_f1(&[("nq", "a", 1.0), ("nq", "b", 0.0), ("nq", "c", 0.5), ("musique", "d", 1.0)]);
        let later = Answers::of_f1(&[
            ("nq", "b", 1.0),
            ("nq", "b", 0.5),
            ("nq", "c", 0.5),
            ("musique", "d", 0.0),
            ("popqa", "a", 1.0),
            ("popqa", "b", 1.0),
        ]);
        assert_eq!((later.conversations(), later.keys().count()), (6, 5));
        let it = later.difference(&base, Score::F1);
        assert_eq!((it.paired, it.unpaired, it.unpaired_of_base), (3, 2, 1));
        assert!((it.all.unwrap().mean - -0.25 / 3.0).abs() < 1e-12);
        assert_eq!(it.mean.unwrap().mean, -0.3125);
        assert_eq!(it.sets.keys().collect::<Vec<_>>(), ["musique", "nq"]);
        let nq = it.sets["nq"];
        // Resamples of two differences, 0.75 and 0: half of them are 0.375, a quarter each of the ends.
        assert_eq!((nq.questions, nq.interval), (2, Interval { mean: 0.375, low: 0.0, high: 0.75 }));
        assert_eq!(it.sets["musique"].interval, Interval { mean: -1.0, low: -1.0, high: -1.0 });
        assert_eq!(it, later.difference(&base, Score::F1), "the seed is fixed");
    }

    /// Two questions, one hard and one easy, that gain 0.125 both: the means have a wide interval, the difference has none.
    #[test]
    fn pairs_stay_together() {
        let row = |at: usize, gain: f32| ("nq", ["1", "2"][at % 2], (at % 2) as f32 + gain);
        let one = Answers::of_f1(&[row(0, 0.0), row(1, 0.0)]);
        let other = Answers::of_f1(&[row(0, 0.125), row(1, 0.125)]);
        let interval = other.difference(&one, Score::F1).all.unwrap();
        assert_eq!(interval, Interval { mean: 0.125, low: 0.125, high: 0.125 });
    }

    #[test]
    fn without_pairs_there_is_no_difference() {
        let it =
            Answers::of_f1(&[("nq", "a", 1.0)]).difference(&Answers::of_f1(&[("nq", "b", 1.0)]), Score::F1);
        assert_eq!((it.paired, it.unpaired, it.unpaired_of_base), (0, 1, 1));
        assert!(it.all.is_none() && it.mean.is_none() && it.sets.is_empty());
    }
}
