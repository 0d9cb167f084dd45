//! Judging: conversations with an engine become pairs that show a simulator what useful and noisy documents are.
//!
//! A pair is a query with its question, its golden answers, the documents that came, and a label. What labels it is a
//! choice ([`By`]): the conversation's answer, a golden answer in a document, or a judge model.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use zerosearch_learner::seed::Seed;
use zerosearch_search::{Golds, SearchError};

use crate::config::Plan;
use crate::problem::problem;
use crate::run::{claim, replace};
use crate::simulator::Manner;
use crate::train::sha256_of;

mod agreement;
mod balance;
mod collection;
mod label;
mod model;
mod pair;
mod summary;
mod verdicts;

pub use agreement::Agreement;
pub use collection::{Call, Collection};
pub use model::JudgeModel;
pub use pair::{Origin, Pair, read_pairs};
pub use summary::{Counts, Summary};

use balance::{balanced, split, unique};
use label::{Marks, mark, pairs_of};
use verdicts::Verdicts;

/// What decides whether documents are useful.
pub enum By {
    /// The answer that the conversation came to: right if its token F1 is at least this, else wrong.
    Answer {
        /// From 0 to 1; at 1 the words of a golden answer and no others.
        min_f1: f32,
    },
    /// A golden answer stands in a document.
    Containment,
    /// Each where it can be trusted: all documents of a search are useful when the conversation came to the right answer;
    /// noisy are those without a golden answer that came beside one with it.
    Both {
        /// From which token F1 on an answer is right, as above.
        min_f1: f32,
    },
    /// A language model says so, document by document.
    Model(JudgeModel),
}

/// What is judged, and how.
pub struct Order {
    /// Files of conversations, or folders with a `rows.jsonl`.
    pub inputs: Vec<PathBuf>,
    /// What labels them.
    pub by: By,
    /// Whether the useful and the noisy documents of one call become a pair each, instead of one pair of all.
    pub per_document: bool,
    /// Whether all pairs are kept, however many more there are with one label than with the other.
    pub unbalanced: bool,
    /// The share of questions whose pairs are held out, from 0 to below 1.
    pub held_out: f64,
}

/// Judges what `order` names and writes `pairs.jsonl`, `chat.jsonl`, `held-out.jsonl` and `summary.json` to the folder
/// `out`. The plan's `simulator` and `rollout` say how chat rows ask for documents, its `run.seed` what is drawn. The
/// same order again goes on with the verdicts that are there, and comes to the same files.
///
/// # Errors
/// When `out` holds the pairs of another order; when nothing can be labelled; when there are no pairs of one label, and
/// they shall be balanced.
pub async fn judge(order: &Order, plan: &Plan, out: &Path) -> Result<Summary> {
    let manner = Manner::of(plan)?;
    let collection = Collection::read(&order.inputs)?;
    take(out, &basis(order, plan, &manner)?)?;
    let verdicts = match &order.by {
        By::Model(judge) => {
            let mut verdicts = Verdicts::open(&out.join("verdicts.jsonl"), judge)?;
            verdicts.complete(&collection.calls).await?;
            Some(verdicts)
        }
        By::Answer { .. } | By::Containment | By::Both { .. } => None,
    };
    let mut summary = Summary::of(order.by.name(), &collection);
    summary.agreement = verdicts.as_ref().map(|verdicts| verdicts.agreement(&collection.calls));
    let mut pairs = Vec::new();
    for call in &collection.calls {
        let marks = match (&order.by, &verdicts) {
            (_, Some(verdicts)) => Marks::Documents(verdicts.of(call)),
            (by, None) => mark(by, call),
        };
        match pairs_of(call, &marks, order.per_document) {
            Ok(found) => pairs.extend(found.into_iter().filter(|pair| shows(&manner, pair, &mut summary))),
            Err(reason) => summary.leave(reason, 1),
        }
    }
    let seed = Seed::run(plan.run.seed);
    summary.labelled = Counts::of(&pairs);
    let unique = unique(pairs);
    summary.note_unique(&unique);
    let (held_out, pairs) = split(unique.pairs, order.held_out, seed);
    summary.held_out = Counts::of(&held_out);
    let before = pairs.len();
    refuse_one_sided(&pairs, order.unbalanced, &summary)?;
    let pairs = if order.unbalanced { pairs } else { balanced(pairs, seed) };
    summary.balanced_away = before - pairs.len();
    summary.pairs = Counts::of(&pairs);
    summary.holding = holding(&manner, &pairs)?;
    write(out, &manner, &pairs, &held_out)?;
    write_file(&out.join("summary.json"), &serde_json::to_vec_pretty(&summary)?)?;
    Ok(summary)
}

impl By {
    /// A word for records.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Answer { .. } => "answer",
            Self::Containment => "containment",
            Self::Both { .. } => "both",
            Self::Model(_) => "model",
        }
    }
}

/// Makes `out` the folder of what `basis` describes. An order that came to no pairs gives way to another; its verdicts
/// stay, each of which knows its judge.
fn take(out: &Path, basis: &Value) -> Result<()> {
    let begun = out.join("judge.json");
    if begun.exists() && !out.join("pairs.jsonl").exists() {
        return write_file(&begun, &serde_json::to_vec_pretty(basis)?);
    }
    claim(out, "judge.json", basis)
}

/// Whether a simulator can be asked for this pair; counts those that it cannot.
fn shows(manner: &Manner, pair: &Pair, summary: &mut Summary) -> bool {
    match manner.show(pair) {
        Ok(_) => true,
        Err(SearchError::BadQuery(_)) => {
            summary.leave("a query or documents without a word in them", 1);
            false
        }
        Err(_) => {
            summary.leave("a query that cannot be put to a simulator", 1);
            false
        }
    }
}

/// How many of `pairs` teach a reply in which a golden answer stands.
fn holding(manner: &Manner, pairs: &[Pair]) -> Result<Counts> {
    let mut counts = Counts::default();
    for pair in pairs {
        let golds = Golds::new(pair.golden_answers.iter().map(String::as_str));
        if golds.in_text(&manner.show(pair)?.reply()) {
            counts.add(pair.label);
        }
    }
    Ok(counts)
}

/// Balancing needs both labels, and tuning needs pairs at all.
fn refuse_one_sided(pairs: &[Pair], unbalanced: bool, summary: &Summary) -> Result<()> {
    let Counts { useful, noisy } = Counts::of(pairs);
    let told = summary.table();
    if useful + noisy == 0 {
        return Err(problem("no pair is left to learn from").because(told.trim_end().to_owned()).into());
    }
    if unbalanced || (useful > 0 && noisy > 0) {
        return Ok(());
    }
    let missing = if useful == 0 { "useful" } else { "noisy" };
    Err(problem(format!("{} pairs, but none of them is {missing}: there is nothing to balance with", useful + noisy))
        .because(told.trim_end().to_owned())
        .hint(format!(
            "collect conversations with more {missing} documents, choose another `--by`, or keep the pairs as they are \
             with `--unbalanced`"
        ))
        .into())
}

/// What the pairs depend on, in a form that can be compared.
fn basis(order: &Order, plan: &Plan, manner: &Manner) -> Result<Value> {
    let mut inputs = serde_json::Map::new();
    for path in &order.inputs {
        let file = collection::file_of(path)?;
        inputs.insert(file.display().to_string(), sha256_of(&file)?.into());
    }
    let mut basis = json!({
        "version": crate::run::VERSION,
        "by": order.by.name(),
        "per_document": order.per_document,
        "unbalanced": order.unbalanced,
        "held_out": order.held_out,
        "seed": plan.run.seed,
        "simulator": manner.record(),
        "files": inputs,
    });
    match &order.by {
        By::Answer { min_f1 } | By::Both { min_f1 } => basis["min_f1"] = (*min_f1).into(),
        By::Model(judge) => basis["judge"] = judge.identity.clone().into(),
        By::Containment => {}
    }
    Ok(basis)
}

fn write(out: &Path, manner: &Manner, pairs: &[Pair], held_out: &[Pair]) -> Result<()> {
    write_file(&out.join("pairs.jsonl"), &json_lines(pairs)?)?;
    write_file(&out.join("held-out.jsonl"), &json_lines(held_out)?)?;
    let chats: Vec<Value> = pairs.iter().map(|pair| manner.chat(pair)).collect::<Result<_, SearchError>>()?;
    write_file(&out.join("chat.jsonl"), &json_lines(&chats)?)
}

fn json_lines<T: serde::Serialize>(rows: &[T]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for row in rows {
        serde_json::to_writer(&mut bytes, row)?;
        bytes.push(b'\n');
    }
    Ok(bytes)
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    replace(path, bytes).with_context(|| format!("{} cannot be written", path.display()))
}

#[cfg(test)]
mod tests;
