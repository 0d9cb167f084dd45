//! A source: one folder that a report tells about, as its files stand.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::eval::Summary;
use crate::problem::{Problem, problem};
use crate::run::{Directory, Hashes, Row, RunRecord, VERSION, lines, read_json};

/// What one folder holds, but for its conversations.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// What the report calls it.
    pub(super) name: String,
    /// Where it is.
    pub(super) folder: PathBuf,
    /// Its `run.json`; the folder of an evaluation has none.
    pub(super) record: Option<RunRecord>,
    /// Its `config.toml`.
    pub(super) plan: String,
    /// Its `metrics.jsonl`.
    pub(super) rows: Vec<Row>,
    /// What it was made from.
    pub(super) hashes: Hashes,
    /// What was evaluated in it.
    pub(super) evaluations: Vec<Evaluation>,
    /// What its reader has to know.
    pub(super) remarks: Vec<String>,
}

/// One evaluation and where its conversations are.
#[derive(Clone, Debug)]
pub(super) struct Evaluation {
    /// The step after which a training was evaluated.
    pub(super) step: Option<u64>,
    /// What it found; none where it was left before its end.
    pub(super) summary: Option<Summary>,
    /// Its conversations.
    pub(super) rows: PathBuf,
}

/// The sources in `folders`, each under a name of its own.
///
/// # Errors
/// Where a folder is none of a run or an evaluation, was written in another form, or holds a broken file.
pub(super) fn open_all(folders: &[PathBuf]) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for (folder, name) in folders.iter().zip(names(folders)) {
        sources.push(Source::open(folder, name)?);
    }
    Ok(sources)
}

impl Source {
    fn open(folder: &Path, name: String) -> Result<Self> {
        let directory = Directory::at(folder);
        if directory.record().is_file() {
            return Self::open_run(&directory, name);
        }
        let made_from = folder.join("hashes.json");
        if made_from.is_file() && directory.config().is_file() {
            return Self::open_evaluation(folder, name, &made_from);
        }
        Err(not_a_source(folder).into())
    }

    fn open_run(directory: &Directory, name: String) -> Result<Self> {
        let folder = directory.root().to_owned();
        refuse_other_version(&directory.record())?;
        let record: RunRecord = read_json(&directory.record())?;
        let rows: Vec<Row> = lines(&directory.metrics())?;
        let mut remarks = Vec::new();
        if rows.is_empty() {
            remarks.push("no step is recorded yet: there are no curves".to_owned());
        }
        let evaluations = evaluations_of(directory)?;
        let plan = text(&directory.config())?;
        let hashes = record.hashes.clone();
        Ok(Self { name, folder, record: Some(record), plan, rows, hashes, evaluations, remarks })
    }

    fn open_evaluation(folder: &Path, name: String, made_from: &Path) -> Result<Self> {
        let found = folder.join("summary.json");
        let mut remarks = Vec::new();
        let summary = if found.is_file() {
            refuse_other_version(&found)?;
            Some(read_json(&found)?)
        } else {
            remarks.push("the evaluation was left before its end: it has no scores yet".to_owned());
            None
        };
        let rows = folder.join("rows.jsonl");
        Ok(Self {
            name,
            folder: folder.to_owned(),
            record: None,
            plan: text(&folder.join("config.toml"))?,
            rows: Vec::new(),
            hashes: read_json(made_from)?,
            evaluations: vec![Evaluation { step: None, summary, rows }],
            remarks,
        })
    }

    /// Steps that are recorded.
    pub(super) fn steps(&self) -> usize {
        self.rows.len()
    }

    /// The plan as a table; empty where it cannot be read as one.
    pub(super) fn plan_table(&self) -> toml::Table {
        self.plan.parse().unwrap_or_default()
    }

    /// What the report calls `evaluation`.
    pub(super) fn title_of(&self, evaluation: &Evaluation) -> String {
        match evaluation.step {
            Some(step) => format!("{}, after step {step}", self.name),
            None => self.name.clone(),
        }
    }
}

fn evaluations_of(directory: &Directory) -> Result<Vec<Evaluation>> {
    let mut evaluations = Vec::new();
    for step in numbered_files(&directory.evals(), "json")? {
        let path = directory.eval(step);
        refuse_other_version(&path)?;
        let summary = Some(read_json(&path)?);
        evaluations.push(Evaluation { step: Some(step), summary, rows: directory.eval_rows(step) });
    }
    Ok(evaluations)
}

/// The numbers of the files `<number>.<ending>` in `folder`, ascending; none without a folder.
pub(super) fn numbered_files(folder: &Path, ending: &str) -> Result<Vec<u64>> {
    let fits = |path: &Path| path.extension().is_some_and(|it| it == ending);
    let mut numbers = Vec::new();
    for path in entries(folder)?.into_iter().filter(|path| fits(path)) {
        numbers.extend(path.file_stem().and_then(number));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// The numbers of the folders `<number>` in `folder`, ascending; none without a folder.
pub(super) fn numbered_folders(folder: &Path) -> Result<Vec<u64>> {
    let inner = entries(folder)?.into_iter().filter(|path| path.is_dir());
    let mut numbers: Vec<u64> = inner.filter_map(|path| path.file_name().and_then(number)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

fn number(name: &OsStr) -> Option<u64> {
    name.to_str()?.parse().ok()
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let failed = || format!("{} cannot be read", folder.display());
    let entries = std::fs::read_dir(folder).with_context(failed)?;
    entries.map(|entry| Ok(entry.with_context(failed)?.path())).collect()
}

fn text(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Refuses a record that this program would misread.
pub(crate) fn refuse_other_version(path: &Path) -> Result<()> {
    let record: Value = read_json(path)?;
    let version = record.get("version").cloned().unwrap_or(Value::Null);
    if version == VERSION {
        return Ok(());
    }
    Err(problem(format!("{} is of form {version}, this program reads form {VERSION}", path.display()))
        .hint("report it with the version of zerosearch that wrote it; run.json names it under `program`")
        .into())
}

fn not_a_source(folder: &Path) -> Problem {
    let place = folder.display();
    if !folder.exists() {
        return problem(format!("there is no folder {place}"))
            .hint("name the folder that `train`, `sft` or `eval` made, such as runs/tiny");
    }
    problem(format!("{place} is not the folder of a run or of an evaluation"))
        .hint("a run's folder holds run.json, that of `zerosearch eval` hashes.json and config.toml")
}

/// The last part of each folder's path; where two are the same, as many parts as tell them apart.
pub(crate) fn names(folders: &[PathBuf]) -> Vec<String> {
    let parts: Vec<Vec<String>> = folders.iter().map(|folder| parts_of(folder)).collect();
    let name = |parts: &[String], count: usize| parts[parts.len().saturating_sub(count)..].join("/");
    let longest = parts.iter().map(Vec::len).max().unwrap_or(0);
    let unique = |own: &Vec<String>| {
        (1..=longest).map(|count| name(own, count)).find(|wanted| {
            let count = wanted.split('/').count();
            parts.iter().filter(|other| name(other, count) == *wanted).count() == 1
        })
    };
    parts.iter().map(|own| unique(own).unwrap_or_else(|| name(own, longest))).collect()
}

fn parts_of(folder: &Path) -> Vec<String> {
    let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let parts = whole.components().filter_map(|part| match part {
        std::path::Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
        _ => None,
    });
    parts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_short_as_they_can_be() {
        let named = |folders: &[&str]| names(&folders.iter().map(PathBuf::from).collect::<Vec<_>>());
        assert_eq!(named(&["/x/a", "/x/b/"]), ["a", "b"]);
        assert_eq!(named(&["/x/a/run", "/x/b/run", "/x/c"]), ["a/run", "b/run", "c"]);
    }

    #[test]
    fn what_is_no_run_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let told = |folder: &Path| crate::problem::report(&open_all(&[folder.to_owned()]).unwrap_err());
        assert!(told(folder.path()).contains("is not the folder of a run or of an evaluation"));
        assert!(told(&folder.path().join("gone")).starts_with("error: there is no folder "));
        std::fs::write(folder.path().join("run.json"), "{\"version\": 9}").unwrap();
        assert!(told(folder.path()).contains("is of form 9, this program reads form 1\nhint: "));
    }

    #[test]
    fn files_are_found_by_their_numbers() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["000010.json", "000002.json", "000002.jsonl", "x.json"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(numbered_files(folder.path(), "json").unwrap(), [2, 10]);
        assert!(numbered_files(&folder.path().join("gone"), "json").unwrap().is_empty());
    }
}
