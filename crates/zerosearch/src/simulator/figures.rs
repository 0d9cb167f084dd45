//! Figures: what the trials of one simulator show, with an interval on every mean.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};
use zerosearch_learner::seed::Seed;
use zerosearch_search::{Document, Label};

use super::Trial;
use super::measures::{holds_answer, length, overlap, relevance, words_of};
use crate::eval::{Interval, bootstrap, bootstrap_difference};
use crate::judge::Pair;
use crate::qa::normalize;

/// What one simulator, or the engine that the pairs are from, is like. Where there is nothing to count there is no
/// number.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Calls that were measured.
    pub calls: usize,
    /// Calls that something of ours broke; they are in no other number.
    pub broken: usize,
    /// Calls for which it wrote nothing usable.
    pub failed: usize,
    /// The share of useful calls with a golden answer in the documents.
    pub useful: Option<Interval>,
    /// The share of noisy calls with one: what leaks.
    pub noisy: Option<Interval>,
    /// `useful - noisy`. A simulator that ignores its label has 0.
    pub separation: Option<Interval>,
    /// `useful` over the queries that were the last of their conversation and brought useful documents.
    pub last_hop: Option<Interval>,
    /// The share of calls that brought fewer documents than asked for, or had to be written again to bring them.
    pub format_errors: Option<Interval>,
    /// Documents given for each one asked for.
    pub documents: Option<f64>,
    /// Different documents for each one given.
    pub distinct: Option<f64>,
    /// Words in a document, title included: the mean over calls.
    pub words: Option<Interval>,
    /// Token F1 of a document with the most similar one that the engine gave for the same query and label.
    pub overlap: Option<Interval>,
    /// The share of the query's content words that stand in the documents.
    pub relevance: Option<Interval>,
    /// Seconds that half of the calls took at most, all of them in flight together.
    pub latency_p50_s: Option<f64>,
    /// Seconds that 95 of 100 calls took at most.
    pub latency_p95_s: Option<f64>,
    /// Tokens written for a call.
    pub tokens: Option<f64>,
}

/// One call: a pair, the label asked for, and what came.
struct Call<'a> {
    pair: &'a Pair,
    label: Label,
    documents: &'a [Document],
}

impl Figures {
    /// The figures of `trials`, which are about `pairs` by their fingerprints.
    pub(super) fn of<'a>(trials: &[&'a Trial], pairs: &HashMap<String, &'a Pair>, seed: Seed) -> Self {
        let sound: Vec<&Trial> = trials.iter().filter(|trial| trial.broken.is_none()).copied().collect();
        let call = |trial: &&'a Trial| {
            let pair = *pairs.get(&trial.pair)?;
            Some(Call { pair, label: trial.label, documents: &trial.documents })
        };
        let calls: Vec<Call<'_>> = sound.iter().filter_map(call).collect();
        let own = calls.iter().filter(|call| call.label == call.pair.label);
        let asked: usize = sound.iter().map(|trial| trial.asked).sum();
        let given: usize = sound.iter().map(|trial| trial.documents.len()).sum();
        let errors = sound.iter().map(|trial| f64::from(trial.is_malformed()));
        let tokens: Option<Vec<usize>> = sound.iter().map(|trial| trial.tokens).collect();
        let mut latencies: Vec<f64> = sound.iter().map(|trial| trial.latency_s).collect();
        latencies.sort_by(f64::total_cmp);
        Self {
            broken: trials.len() - sound.len(),
            failed: sound.iter().filter(|trial| trial.failure.is_some()).count(),
            separation: interval(differences(&sound, pairs).into_iter(), seed.purpose("separation")),
            format_errors: interval(errors, seed.purpose("format")),
            documents: share(given as f64, asked),
            overlap: interval(
                own.filter_map(|call| overlap(call.pair, call.documents)),
                seed.purpose("overlap"),
            ),
            latency_p50_s: percentile(&latencies, 50),
            latency_p95_s: percentile(&latencies, 95),
            tokens: tokens.and_then(|tokens| share(tokens.iter().sum::<usize>() as f64, tokens.len())),
            ..Self::of_documents(&calls, seed)
        }
    }

    /// The figures of the engine that `pairs` are from: the first `k` documents of each, under its own label.
    pub(super) fn of_engine(pairs: &[Pair], k: usize, seed: Seed) -> Self {
        let call = |pair| Call {
            pair,
            label: pair.label,
            documents: &pair.documents[..pair.documents.len().min(k)],
        };
        let calls: Vec<Call<'_>> = pairs.iter().map(call).collect();
        let [useful, noisy] = [Label::Useful, Label::Noisy].map(|label| held(&calls, label));
        let separation = bootstrap_difference(&useful, &noisy, seed.purpose("separation"));
        Self { separation, ..Self::of_documents(&calls, seed) }
    }

    /// What documents alone show.
    fn of_documents(calls: &[Call<'_>], seed: Seed) -> Self {
        let of = |label: Label| interval(held(calls, label).into_iter(), seed.purpose(label.word()));
        let last = calls.iter().filter(|call| call.label == Label::Useful && call.pair.is_last_hop());
        let last = last.filter_map(|call| holds_answer(call.pair, call.documents)).map(f64::from);
        let documents: Vec<&Document> = calls.iter().flat_map(|call| call.documents).collect();
        let different: HashSet<String> = documents.iter().map(|it| normalize(&words_of(it))).collect();
        let words = calls.iter().filter_map(|call| {
            let words: usize = call.documents.iter().map(length).sum();
            share(words as f64, call.documents.len())
        });
        let relevant = calls.iter().filter_map(|call| relevance(call.pair, call.documents));
        Self {
            calls: calls.len(),
            useful: of(Label::Useful),
            noisy: of(Label::Noisy),
            last_hop: interval(last, seed.purpose("last hop")),
            distinct: share(different.len() as f64, documents.len()),
            words: interval(words, seed.purpose("words")),
            relevance: interval(relevant, seed.purpose("relevance")),
            ..Self::default()
        }
    }

    /// Whether it cannot be told that it writes other documents when it is told otherwise.
    pub fn ignores_its_label(&self) -> bool {
        self.separation.is_some_and(|separation| separation.low <= 0.0)
    }
}

impl Trial {
    /// Whether it brought fewer documents than were asked for, or only after it was written again.
    fn is_malformed(&self) -> bool {
        self.failure.is_some() || self.rewritten > 0 || self.documents.len() < self.asked
    }
}

/// 1 for each call with `label` whose documents hold an answer, else 0; in the calls' order.
fn held(calls: &[Call<'_>], label: Label) -> Vec<f64> {
    let asked = calls.iter().filter(|call| call.label == label);
    asked.filter_map(|call| holds_answer(call.pair, call.documents)).map(f64::from).collect()
}

/// Useful less noisy, for each pair whose query was asked both ways.
fn differences(trials: &[&Trial], pairs: &HashMap<String, &Pair>) -> Vec<f64> {
    let held = |trial: &Trial| holds_answer(pairs.get(&trial.pair)?, &trial.documents).map(f64::from);
    let noisy: HashMap<&str, f64> = trials
        .iter()
        .filter(|trial| trial.label == Label::Noisy)
        .filter_map(|trial| Some((trial.pair.as_str(), held(trial)?)))
        .collect();
    let useful = trials.iter().filter(|trial| trial.label == Label::Useful);
    useful.filter_map(|trial| Some(held(trial)? - noisy.get(trial.pair.as_str())?)).collect()
}

fn interval(values: impl Iterator<Item = f64>, seed: Seed) -> Option<Interval> {
    let values: Vec<f64> = values.collect();
    (!values.is_empty()).then(|| bootstrap(&values, seed))
}

fn share(part: f64, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part / whole as f64)
}

/// The value at or below which `percent` of the sorted values lie (nearest rank).
fn percentile(sorted: &[f64], percent: usize) -> Option<f64> {
    sorted.get((sorted.len() * percent).div_ceil(100).max(1) - 1).copied()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::run::VERSION;

    fn pair(n: usize, label: &str, text: &str, last: bool) -> Pair {
        let pair = json!({
            "question": format!("q{n}"), "golden_answers": ["Rome"], "query": format!("capital {n}"), "label": label,
            "documents": [{"text": text}, {"text": "a mill"}], "from": {"last": last},
        });
        serde_json::from_value(pair).unwrap()
    }

    fn trial(pair: &Pair, label: Label, texts: &[&str]) -> Trial {
        let document = |text: &&str| serde_json::from_value(json!({ "text": text })).unwrap();
        Trial {
            version: VERSION,
            simulator: "sim".into(),
            pair: pair.fingerprint(),
            label,
            asked: 2,
            documents: texts.iter().map(document).collect(),
            empty: 0,
            repeated: 0,
            rewritten: 0,
            tokens: Some(10),
            latency_s: texts.len() as f64,
            failure: texts.is_empty().then(|| "nothing".to_owned()),
            broken: None,
        }
    }

    /// By hand: useful hits 2 of 2, noisy leaks 1 of 2, so the differences are 0 and 1. Of 8 documents asked for 5 came, 4
    /// of them different; two calls were short. The first pair's useful call repeats a document of the engine: 1; the
    /// second's noisy call wrote nothing. "capital" stands in one of four calls and no number does: 0.5 / 4.
    #[test]
    fn figures_are_counted_by_hand() {
        let pairs = [pair(1, "useful", "old Rome", true), pair(2, "noisy", "a barn", true)];
        let trials = [
            trial(&pairs[0], Label::Useful, &["Old Rome."]),
            trial(&pairs[0], Label::Noisy, &["in Rome", "the mill"]),
            trial(&pairs[1], Label::Useful, &["Rome is the capital", "in Rome"]),
            trial(&pairs[1], Label::Noisy, &[]),
        ];
        let broken = Trial { broken: Some("down".into()), ..trial(&pairs[1], Label::Noisy, &[]) };
        let by_fingerprint = pairs.iter().map(|pair| (pair.fingerprint(), pair)).collect();
        let trials: Vec<&Trial> = trials.iter().chain([&broken]).collect();
        let found = Figures::of(&trials, &by_fingerprint, Seed::run(1));
        let mean = |interval: Option<Interval>| interval.map(|interval| interval.mean);
        assert_eq!((found.calls, found.broken, found.failed), (4, 1, 1));
        assert_eq!((mean(found.useful), mean(found.noisy)), (Some(1.0), Some(0.5)));
        assert_eq!((mean(found.separation), mean(found.last_hop)), (Some(0.5), Some(1.0)));
        assert_eq!(
            (mean(found.format_errors), found.documents, found.distinct),
            (Some(0.5), Some(0.625), Some(0.8))
        );
        assert_eq!((mean(found.overlap), mean(found.relevance)), (Some(1.0), Some(0.125)));
        assert_eq!(
            (found.latency_p50_s, found.latency_p95_s, found.tokens),
            (Some(1.0), Some(2.0), Some(10.0))
        );
        assert!(found.ignores_its_label(), "two queries do not tell");
        let engine = Figures::of_engine(&pairs, 1, Seed::run(1));
        assert_eq!(
            (mean(engine.useful), mean(engine.noisy), mean(engine.separation)),
            (Some(1.0), Some(0.0), Some(1.0))
        );
        assert!(!engine.ignores_its_label() && engine.overlap.is_none());
    }
}
