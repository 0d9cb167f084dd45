//! Simulator quality: how well an engine did what it was asked, counted while it runs.
//!
//! The point of a simulator is documents that hold the answer when they should and do not when they should not. Both
//! are measured by [`Golds`] containment on every call, next to the plain failures of a small model.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::{Document, Golds, Label, Query};

/// Counts since the last [`Quality::drain`]. Any number of engines and threads may report to one.
#[derive(Debug, Default)]
pub struct Quality {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    report: QualityReport,
    latencies_s: Vec<f64>,
}

/// One call that was answered.
#[derive(Clone, Debug)]
pub struct Served<'a> {
    /// What was asked.
    pub query: &'a Query,
    /// What was given.
    pub documents: &'a [Document],
    /// What happened on the way.
    pub tally: Tally,
    /// How long the call took, waiting included.
    pub latency: Duration,
}

/// What happened on the way to a call's documents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Documents without a word in them, dropped.
    pub empty: usize,
    /// Documents equal to an earlier one of the same call but for case, punctuation and articles, dropped.
    pub repeated: usize,
    /// Protocol tags and special tokens made harmless.
    pub neutralised: usize,
    /// Tries of the writer beyond the first.
    pub retries: usize,
    /// Replies that were written again, because they held fewer usable documents than were wanted.
    pub rewritten: usize,
    /// Queries that were longer than a simulator's prompt takes, cut.
    pub queries_cut: usize,
}

impl Quality {
    /// Counts a call that was answered, with however few documents.
    pub fn served(&self, call: &Served<'_>) {
        let golds = Golds::new(call.query.golds());
        let mut counts = self.counts();
        counts.latencies_s.push(call.latency.as_secs_f64());
        counts.report.add(call, &golds);
    }

    /// Counts a call that ended in an error.
    pub fn failed(&self, tally: Tally, latency: Duration) {
        let mut counts = self.counts();
        counts.report.tally.add(tally);
        counts.latencies_s.push(latency.as_secs_f64());
        counts.report.calls += 1;
        counts.report.failures += 1;
    }

    /// Everything since the last time, and starts again from nothing. All numbers but the latencies are the same for
    /// the same calls, whatever their order.
    pub fn drain(&self) -> QualityReport {
        let mut counts = std::mem::take(&mut *self.counts());
        counts.latencies_s.sort_by(f64::total_cmp);
        QualityReport {
            latency_p50_s: percentile(&counts.latencies_s, 50),
            latency_p95_s: percentile(&counts.latencies_s, 95),
            ..counts.report
        }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        // Counts are whole after every statement, so a panic elsewhere does not spoil them.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The value at or below which `percent` of the sorted values lie (nearest rank); 0 without values.
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(0.0)
}

/// The counts of one stretch of calls.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QualityReport {
    /// Calls, answered or failed.
    pub calls: usize,
    /// Calls that ended in an error.
    pub failures: usize,
    /// Answered calls with useful documents wanted, and a golden answer that can be looked for.
    pub useful_calls: usize,
    /// Those of them with a golden answer in a useful document.
    pub useful_hits: usize,
    /// Answered calls with noisy documents wanted, and a golden answer that can be looked for.
    pub noisy_calls: usize,
    /// Those of them with a golden answer in a noisy document.
    pub noisy_leaks: usize,
    /// Documents wanted in answered calls.
    pub documents_asked: usize,
    /// Documents given.
    pub documents_got: usize,
    /// Words in the given documents, titles included.
    pub words: usize,
    /// Sums of the fields of [`Tally`].
    pub tally: Tally,
    /// Half of the calls took at most this long, in seconds.
    pub latency_p50_s: f64,
    /// 95 of 100 calls took at most this long, in seconds.
    pub latency_p95_s: f64,
}

impl QualityReport {
    /// The share of useful calls whose useful documents hold a golden answer; `None` without such calls.
    pub fn useful_ratio(&self) -> Option<f64> {
        share(self.useful_hits, self.useful_calls)
    }

    /// The share of noisy calls whose noisy documents hold a golden answer; `None` without such calls.
    pub fn leak_rate(&self) -> Option<f64> {
        share(self.noisy_leaks, self.noisy_calls)
    }

    /// Mean words in a document; `None` without documents.
    pub fn words_per_document(&self) -> Option<f64> {
        share(self.words, self.documents_got)
    }

    /// The report as named numbers; shares that have no calls to speak of are left out.
    pub fn entries(&self) -> Vec<(&'static str, f64)> {
        let shares = [
            ("sim/useful_ratio", self.useful_ratio()),
            ("sim/leak_rate", self.leak_rate()),
            ("sim/words_per_document", self.words_per_document()),
        ];
        let counts = [
            ("sim/calls", self.calls),
            ("sim/errors", self.failures),
            ("sim/documents_asked", self.documents_asked),
            ("sim/documents_got", self.documents_got),
            ("sim/empty", self.tally.empty),
            ("sim/repeated", self.tally.repeated),
            ("sim/neutralised", self.tally.neutralised),
            ("sim/retries", self.tally.retries),
            ("sim/rewritten", self.tally.rewritten),
            ("sim/queries_cut", self.tally.queries_cut),
        ];
        let latencies = [("sim/latency_p50", self.latency_p50_s), ("sim/latency_p95", self.latency_p95_s)];
        let shares = shares.into_iter().filter_map(|(name, share)| Some((name, share?)));
        shares.chain(counts.map(|(name, count)| (name, count as f64))).chain(latencies).collect()
    }

    fn add(&mut self, call: &Served<'_>, golds: &Golds) {
        self.calls += 1;
        self.documents_asked += call.query.k;
        self.documents_got += call.documents.len();
        self.words += call.documents.iter().map(words_in).sum::<usize>();
        self.tally.add(call.tally);
        for label in [Label::Useful, Label::Noisy] {
            let wanted = call.query.labels.as_ref().is_some_and(|labels| labels.ask_for(label));
            if golds.is_empty() || !wanted {
                continue;
            }
            let labelled = call.documents.iter().filter(|it| it.provenance.label == Some(label));
            let held = labelled.into_iter().any(|it| golds.in_document(it));
            let (calls, hits) = match label {
                Label::Useful => (&mut self.useful_calls, &mut self.useful_hits),
                Label::Noisy => (&mut self.noisy_calls, &mut self.noisy_leaks),
            };
            *calls += 1;
            *hits += usize::from(held);
        }
    }
}

impl Tally {
    /// Adds `other`, field by field.
    pub fn add(&mut self, other: Self) {
        self.empty += other.empty;
        self.repeated += other.repeated;
        self.neutralised += other.neutralised;
        self.retries += other.retries;
        self.rewritten += other.rewritten;
        self.queries_cut += other.queries_cut;
    }
}

fn words_in(document: &Document) -> usize {
    document.title.split_whitespace().count() + document.text.split_whitespace().count()
}

fn share(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Labels, Provenance, QuestionContext};

    fn query(labels: Labels, gold: &str) -> Query {
        let context = QuestionContext { question: "q".into(), golden_answers: vec![gold.into()] };
        Query { text: "q".into(), k: 2, labels: Some(labels), seed: 0, context: Some(context) }
    }

    fn document(label: Label, text: &str) -> Document {
        let provenance = Provenance { label: Some(label), ..Provenance::default() };
        Document { title: String::new(), text: text.into(), provenance }
    }

    fn serve(quality: &Quality, query: &Query, documents: &[Document], ms: u64) {
        let latency = Duration::from_millis(ms);
        let tally = Tally { empty: 1, neutralised: 2, ..Tally::default() };
        quality.served(&Served { query, documents, tally, latency });
    }

    /// Counted by hand: two useful calls, one hit; one noisy call, one leak; 4 documents of 2 + 3 + 2 + 1 words.
    #[test]
    fn hits_leaks_and_words_are_counted_per_call() {
        let quality = Quality::default();
        let useful = query(Labels::All(Label::Useful), "Rome");
        serve(
            &quality,
            &useful,
            &[document(Label::Useful, "in Rome"), document(Label::Useful, "on the road")],
            10,
        );
        serve(&quality, &useful, &[document(Label::Useful, "Romeo, romantic")], 20);
        serve(&quality, &query(Labels::All(Label::Noisy), "Rome"), &[document(Label::Noisy, "rome")], 30);
        quality.failed(Tally::default(), Duration::from_millis(40));
        let report = quality.drain();
        assert_eq!((report.calls, report.failures), (4, 1));
        assert_eq!((report.useful_calls, report.useful_hits), (2, 1));
        assert_eq!((report.noisy_calls, report.noisy_leaks), (1, 1));
        assert_eq!((report.documents_asked, report.documents_got), (6, 4));
        assert_eq!(report.words_per_document(), Some(2.0));
        assert_eq!((report.tally.empty, report.tally.neutralised), (3, 6));
        // Nearest rank of 10, 20, 30, 40: the 2nd and the 4th.
        assert_eq!((report.latency_p50_s, report.latency_p95_s), (0.02, 0.04));
    }

    #[test]
    fn a_mixed_call_is_judged_label_by_label() {
        let quality = Quality::default();
        let mixed = query(Labels::Each(vec![Label::Useful, Label::Noisy]), "Rome");
        serve(&quality, &mixed, &[document(Label::Useful, "nothing"), document(Label::Noisy, "Rome")], 1);
        let report = quality.drain();
        assert_eq!((report.useful_ratio(), report.leak_rate()), (Some(0.0), Some(1.0)));
    }

    #[test]
    fn a_question_that_cannot_be_looked_up_is_in_no_share() {
        let quality = Quality::default();
        serve(&quality, &query(Labels::All(Label::Useful), "yes"), &[document(Label::Useful, "yes")], 1);
        let report = quality.drain();
        assert_eq!((report.calls, report.useful_ratio()), (1, None));
        assert!(!report.entries().iter().any(|(name, _)| *name == "sim/useful_ratio"));
    }

    #[test]
    fn draining_starts_again_from_nothing() {
        let quality = Quality::default();
        quality.failed(Tally::default(), Duration::ZERO);
        quality.drain();
        assert_eq!(quality.drain(), QualityReport::default());
    }
}
