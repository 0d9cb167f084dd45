//! A comparison: the figures of several simulators, beside those of the engine that the queries were asked of.

use std::collections::HashMap;
use std::fmt::Write;

use serde::{Deserialize, Serialize};
use zerosearch_learner::seed::Seed;

use super::{Figures, Trial};
use crate::eval::Interval;
use crate::judge::{Counts, Pair};
use crate::run::VERSION;

/// `summary.json` of `zerosearch sim eval`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// [`VERSION`].
    pub version: u32,
    /// The pairs whose queries were asked, by label.
    pub pairs: Counts,
    /// Documents asked for in each call.
    pub k: usize,
    /// What the pairs' own documents show.
    pub engine: Figures,
    /// Each simulator with its figures, in the order of the command.
    pub simulators: Vec<Entry>,
}

/// One simulator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Whether its separation cannot be told from 0.
    pub ignores_its_label: bool,
    /// Its figures.
    pub figures: Figures,
}

/// One line of the table: what it is called, and what it shows of figures.
type Line = (&'static str, fn(&Figures) -> String);

const LINES: &[Line] = &[
    ("calls", |it| it.calls.to_string()),
    ("useful", |it| interval(it.useful)),
    ("noisy", |it| interval(it.noisy)),
    ("separation", |it| interval(it.separation)),
    ("last hop", |it| interval(it.last_hop)),
    ("format errors", |it| interval(it.format_errors)),
    ("documents", |it| number(it.documents, 3)),
    ("distinct", |it| number(it.distinct, 3)),
    ("words", |it| {
        it.words.map_or(NOTHING.into(), |it| format!("{:.1} [{:.1}, {:.1}]", it.mean, it.low, it.high))
    }),
    ("overlap", |it| interval(it.overlap)),
    ("relevance", |it| interval(it.relevance)),
    ("latency p50, s", |it| number(it.latency_p50_s, 2)),
    ("latency p95, s", |it| number(it.latency_p95_s, 2)),
    ("tokens", |it| number(it.tokens, 1)),
    ("nothing usable", |it| it.failed.to_string()),
    ("broken", |it| it.broken.to_string()),
];

const NOTHING: &str = "-";

const LEGEND: &str = "\
useful, noisy   calls told so with a golden answer in the documents
separation      useful less noisy
last hop        useful, for the last queries of conversations, where the engine found a golden answer
format errors   calls with fewer documents than asked for, or written again
documents       given for each one asked for; distinct: different ones for each one given
overlap         token F1 of a document with the most similar one of the engine
relevance       share of the query's content words that stand in the documents
";

impl Comparison {
    pub(super) fn of(pairs: &[Pair], by_name: &[(&str, Vec<&Trial>)], k: usize, seed: Seed) -> Self {
        let by_fingerprint: HashMap<String, &Pair> =
            pairs.iter().map(|pair| (pair.fingerprint(), pair)).collect();
        let entry = |(name, trials): &(&str, Vec<&Trial>)| {
            let figures = Figures::of(trials, &by_fingerprint, seed.purpose(name));
            let name = (*name).to_owned();
            Entry { name, ignores_its_label: figures.ignores_its_label(), figures }
        };
        Self {
            version: VERSION,
            pairs: Counts::of(pairs),
            k,
            engine: Figures::of_engine(pairs, k, seed.purpose("the engine itself")),
            simulators: by_name.iter().map(entry).collect(),
        }
    }

    /// The figures side by side, what they mean, and which simulators ignore their label.
    pub fn table(&self) -> String {
        let columns: Vec<(&str, &Figures)> = std::iter::once(("engine", &self.engine))
            .chain(self.simulators.iter().map(|entry| (entry.name.as_str(), &entry.figures)))
            .collect();
        let width = columns.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0).max(22) + 2;
        let row = |head: &str, cells: Vec<String>| {
            let cells: String = cells.iter().map(|cell| format!("{cell:<width$}")).collect();
            format!("{head:<16}{cells}").trim_end().to_owned()
        };
        let mut table = vec![row("", columns.iter().map(|(name, _)| (*name).to_owned()).collect())];
        for (head, show) in LINES {
            table.push(row(head, columns.iter().map(|(_, figures)| show(figures)).collect()));
        }
        let mut text = format!("{}\n\n{LEGEND}", table.join("\n"));
        for entry in self.simulators.iter().filter(|entry| entry.ignores_its_label) {
            let separation = interval(entry.figures.separation);
            let _ = writeln!(
                text,
                "{} IGNORES its label as far as can be told: its separation is {separation}",
                entry.name
            );
        }
        text
    }
}

fn interval(interval: Option<Interval>) -> String {
    interval.map_or(NOTHING.into(), |interval| interval.words())
}

fn number(number: Option<f64>, decimals: usize) -> String {
    number.map_or(NOTHING.into(), |number| format!("{number:.decimals$}"))
}
