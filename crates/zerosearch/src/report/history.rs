//! A history: what was run, with which plan, seeds and hashes.

use std::collections::BTreeMap;

use chrono::DateTime;
use serde::Serialize;

use super::source::Source;
use super::table::{Table, grouped};
use crate::run::State;

/// What a page says of one source beside the tables.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Chapter {
    name: String,
    plan: String,
    hashes: Table,
    remarks: Vec<String>,
}

/// The chapter of `source`.
pub(super) fn chapter(source: &Source) -> Chapter {
    let mut hashes = Table::new("SHA-256 of what it was made from", &["", "name", "hash"]);
    hashes.numbers_from = 3;
    let kinds = [
        ("file", &source.hashes.files),
        ("template", &source.hashes.templates),
        ("model", &source.hashes.models),
    ];
    for (kind, named) in kinds {
        named.iter().for_each(|(name, hash)| hashes.push(vec![kind.into(), name.clone(), hash.clone()]));
    }
    Chapter { name: source.name.clone(), plan: source.plan.clone(), hashes, remarks: source.remarks.clone() }
}

/// One column for each of `sources`, one row for each fact.
pub(super) fn facts(sources: &[Source]) -> Table {
    let mut table = Table::new("Folder by folder", &[""]);
    table.head.extend(sources.iter().map(|source| source.name.clone()));
    table.numbers_from = table.head.len();
    let columns: Vec<Vec<(&str, String)>> = sources.iter().map(facts_of).collect();
    for row in 0..columns.first().map_or(0, Vec::len) {
        let cells: Vec<String> = columns.iter().map(|column| column[row].1.clone()).collect();
        if cells.iter().any(|cell| !cell.is_empty()) {
            table.push(std::iter::once(columns[0][row].0.to_owned()).chain(cells).collect());
        }
    }
    table
}

/// Every fact of `source`, always the same ones in the same order; empty where it has none.
fn facts_of(source: &Source) -> Vec<(&'static str, String)> {
    let plan = source.plan_table();
    let key = |section: &str, key: &str| plan.get(section).and_then(|keys| keys.get(key)).map(words);
    let said = |section: &str, name: &str| key(section, name).unwrap_or_default();
    let record = source.record.as_ref();
    let of_record = |words: fn(&crate::run::RunRecord) -> String| record.map(words).unwrap_or_default();
    let verb = record.map_or("eval", |record| record.verb.as_str());
    let in_training = |words: String| if verb == "train" { words } else { String::new() };
    let planned = in_training(format!(" of {}", said("rl", "steps")));
    let steps = record.map(|_| format!("{}{planned}", grouped(source.steps() as u64)));
    let batch = format!("{} questions × {}", said("rl", "questions_per_step"), said("rl", "group_size"));
    vec![
        ("folder", source.folder.display().to_string()),
        ("made by", format!("zerosearch {verb}")),
        ("state", of_record(|record| state(record.state, record.reason.as_deref()))),
        ("steps", steps.unwrap_or_default()),
        ("model", said("model", "path")),
        ("arithmetic", said("model", "arithmetic")),
        ("algorithm", in_training(format!("{}, reward {}", said("rl", "algorithm"), said("rl", "reward")))),
        ("a step", in_training(batch)),
        ("engine", said(if verb == "eval" { "eval" } else { "rollout" }, "engine")),
        ("simulator", said("simulator", "model")),
        ("seed", said("run", "seed")),
        ("version", of_record(|record| version(&record.program, record.commit.as_deref()))),
        ("numeric path", of_record(|record| record.numeric_path.clone())),
        ("machine", of_record(|record| record.host.clone())),
        ("begun", of_record(|record| date(record.started_unix_s))),
        ("resumed", of_record(|record| format!("{} times", record.resumed))),
        ("questions left out", of_record(|record| left_out(record.left_out))),
    ]
}

/// The keys in which the plans differ: a row for each, a column for each source. None for a single source.
pub(super) fn differences(sources: &[Source]) -> Option<Table> {
    let mut keys: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (column, source) in sources.iter().enumerate() {
        for (section, entries) in &source.plan_table() {
            for (name, value) in entries.as_table().into_iter().flatten() {
                let cells = keys
                    .entry(format!("{section}.{name}"))
                    .or_insert_with(|| vec![String::new(); sources.len()]);
                cells[column] = words(value);
            }
        }
    }
    let mut table = Table::new("Where the plans differ", &[""]);
    table.head.extend(sources.iter().map(|source| source.name.clone()));
    table.numbers_from = table.head.len();
    for (key, cells) in keys {
        if cells.windows(2).any(|pair| pair[0] != pair[1]) {
            table.push(std::iter::once(key).chain(cells).collect());
        }
    }
    (sources.len() > 1 && !table.rows.is_empty()).then_some(table)
}

fn words(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn state(state: State, reason: Option<&str>) -> String {
    let word = match state {
        State::Running => "running, or killed",
        State::Finished => "finished",
        State::Interrupted => "interrupted",
        State::Failed => "failed",
    };
    reason.map_or(word.to_owned(), |reason| format!("{word}: {reason}"))
}

fn version(program: &str, commit: Option<&str>) -> String {
    commit.map_or(program.to_owned(), |commit| format!("{program}, commit {commit}"))
}

fn left_out(it: crate::run::LeftOut) -> String {
    if it == crate::run::LeftOut::default() {
        return "none".into();
    }
    format!("{} unusable, {} excluded, {} unusable in evaluation", it.unusable, it.excluded, it.eval_unusable)
}

/// The day and time of so many seconds since 1970.
fn date(seconds: u64) -> String {
    let moment = i64::try_from(seconds).ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    moment.map_or_else(
        || format!("{seconds} s after 1970"),
        |moment| moment.format("%Y-%m-%d %H:%M UTC").to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `date -u -d @1795410870` says Mon Nov 23 05:14:30 UTC 2026.
    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(1_795_410_870), "2026-11-23 05:14 UTC");
        assert_eq!(date(u64::MAX), "18446744073709551615 s after 1970");
    }
}
