//! A summary: what a judging found, and what it left out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use zerosearch_search::{Document, Label};

use super::balance::Unique;
use super::{Agreement, Collection, Pair};
use crate::run::VERSION;

/// Pairs by label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Useful ones.
    pub useful: usize,
    /// Noisy ones.
    pub noisy: usize,
}

/// `summary.json`: every search call is in it once, as a pair or as left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// [`VERSION`].
    pub version: u32,
    /// What labelled: `answer`, `containment` or `model`.
    pub by: String,
    /// Conversations read.
    pub conversations: usize,
    /// Those that were broken; nothing of them is used.
    pub broken: usize,
    /// Those without an answer.
    pub unanswered: usize,
    /// Last lines that a crash tore.
    pub torn: usize,
    /// Searches of conversations that are not broken.
    pub searches: usize,
    /// Search calls by the engine that answered them.
    pub engines: BTreeMap<String, usize>,
    /// Search calls that are left out, by reason; where documents are judged one by one, pairs of them.
    pub left_out: BTreeMap<String, usize>,
    /// Pairs as they were labelled, repetitions included.
    pub labelled: Counts,
    /// Pairs that repeat another one's question, query and documents.
    pub repeated: usize,
    /// Different pairs that were labelled both ways; the label of most of them counts.
    pub contradicted: usize,
    /// Those that were labelled one way as often as the other, and left out.
    pub tied: usize,
    /// Pairs held out.
    pub held_out: Counts,
    /// Pairs left out to have as many of one label as of the other.
    pub balanced_away: usize,
    /// Pairs to learn from.
    pub pairs: Counts,
    /// Those of them with a golden answer in the reply that a simulator learns: documents are cut to its length.
    pub holding: Counts,
    /// How far a judge model agrees with containment.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub agreement: Option<Agreement>,
}

impl Counts {
    /// How many of `pairs` have which label.
    pub fn of(pairs: &[Pair]) -> Self {
        let mut counts = Self::default();
        pairs.iter().for_each(|pair| counts.add(pair.label));
        counts
    }

    pub(super) fn add(&mut self, label: Label) {
        match label {
            Label::Useful => self.useful += 1,
            Label::Noisy => self.noisy += 1,
        }
    }
}

impl Summary {
    pub(super) fn of(by: &str, collection: &Collection) -> Self {
        let mut summary = Self {
            version: VERSION,
            by: by.to_owned(),
            conversations: collection.conversations,
            broken: collection.broken,
            unanswered: collection.unanswered,
            torn: collection.torn,
            searches: collection.searches,
            ..Self::default()
        };
        for call in &collection.calls {
            let engine = |document: &Document| document.provenance.engine.clone();
            *summary.engines.entry(call.documents.first().map(engine).unwrap_or_default()).or_default() += 1;
        }
        summary.leave("without documents", collection.without_documents);
        summary.leave("no golden answer", collection.without_golds);
        summary
    }

    pub(super) fn leave(&mut self, reason: &str, count: usize) {
        if count > 0 {
            *self.left_out.entry(reason.to_owned()).or_default() += count;
        }
    }

    pub(super) fn note_unique(&mut self, unique: &Unique) {
        (self.repeated, self.contradicted, self.tied) = (unique.repeated, unique.contradicted, unique.tied);
    }

    /// The summary as people read it.
    pub fn table(&self) -> String {
        let both = |counts: Counts| format!("{} useful, {} noisy", counts.useful, counts.noisy);
        let mut lines = vec![
            format!(
                "{} conversations: {} broken, {} without an answer",
                self.conversations, self.broken, self.unanswered
            ),
            format!("{} searches, answered by {}", self.searches, listed(&self.engines)),
        ];
        if self.torn > 0 {
            lines.push(format!("{} torn last lines were left out", self.torn));
        }
        if !self.left_out.is_empty() {
            lines.push(format!("left out: {}", listed(&self.left_out)));
        }
        lines.push(format!("labelled by {}: {}", self.by, both(self.labelled)));
        if self.repeated + self.contradicted > 0 {
            lines.push(format!(
                "{} repeat another; {} came with both labels, {} of them as often and are left out",
                self.repeated, self.contradicted, self.tied
            ));
        }
        lines.push(format!("held out: {}", both(self.held_out)));
        lines.push(format!("left out to balance: {}", self.balanced_away));
        lines.push(format!("pairs: {}", both(self.pairs)));
        lines
            .push(format!("with a golden answer in what a simulator learns of them: {}", both(self.holding)));
        lines.extend(self.agreement.map(|agreement| agreement_line(&agreement)));
        lines.join("\n") + "\n"
    }
}

fn listed(counts: &BTreeMap<String, usize>) -> String {
    let words: Vec<String> = counts.iter().map(|(what, count)| format!("{count} {what}")).collect();
    if words.is_empty() { "nobody".into() } else { words.join(", ") }
}

fn agreement_line(it: &Agreement) -> String {
    let number = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.3}"));
    format!(
        "the judge and containment agree on {} of the documents (kappa {}): {} both, {} judge only, {} containment \
         only, {} neither; {} without a verdict",
        number(it.share()),
        number(it.kappa()),
        it.both,
        it.judge_only,
        it.containment_only,
        it.neither,
        it.no_verdict
    )
}
