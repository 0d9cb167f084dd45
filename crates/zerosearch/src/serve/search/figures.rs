//! Figures: what was searched and found, and how well a simulator did, counted for Prometheus.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use zerosearch_search::{Document, Label, QualityReport};

/// Counters of queries, documents and a simulator's work.
#[derive(Clone, Default)]
pub(super) struct Figures {
    queries: Family<QueryOutcome, Counter>,
    documents: Family<Labelled, Counter>,
    simulator: Family<Event, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QueryOutcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labelled {
    label: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Event {
    event: &'static str,
}

impl Figures {
    /// Counters that `registry` tells of.
    pub(super) fn new(registry: &mut Registry) -> Self {
        let figures = Self::default();
        let help = "Queries by what came of them: found, empty (nothing was found, or the query had no words), failed";
        registry.register("queries", help, figures.queries.clone());
        let help = "Documents by what a simulated engine was asked to write; label=\"none\" from others";
        registry.register("documents", help, figures.documents.clone());
        let help = "What a simulated engine's calls were like: useful_hits of useful_calls hold a golden answer, and so do \
                    noisy_leaks of noisy_calls";
        registry.register("simulator_events", help, figures.simulator.clone());
        figures
    }

    /// A query that was answered with `documents`.
    pub(super) fn answered(&self, documents: &[Document]) {
        self.query(if documents.is_empty() { "empty" } else { "found" });
        for document in documents {
            let label = document.provenance.label.map_or("none", Label::word);
            self.documents.get_or_create(&Labelled { label }).inc();
        }
    }

    /// A query that the engine failed on.
    pub(super) fn failed(&self) {
        self.query("failed");
    }

    /// What a simulator's calls since the last time were like.
    pub(super) fn simulated(&self, report: &QualityReport) {
        for (event, count) in [
            ("calls", report.calls),
            ("failures", report.failures),
            ("useful_calls", report.useful_calls),
            ("useful_hits", report.useful_hits),
            ("noisy_calls", report.noisy_calls),
            ("noisy_leaks", report.noisy_leaks),
            ("documents_asked", report.documents_asked),
            ("documents_got", report.documents_got),
            ("empty", report.tally.empty),
            ("repeated", report.tally.repeated),
            ("rewritten", report.tally.rewritten),
            ("retries", report.tally.retries),
            ("neutralised", report.tally.neutralised),
            ("queries_cut", report.tally.queries_cut),
        ] {
            self.simulator.get_or_create(&Event { event }).inc_by(count as u64);
        }
    }

    fn query(&self, outcome: &'static str) {
        self.queries.get_or_create(&QueryOutcome { outcome }).inc();
    }
}
