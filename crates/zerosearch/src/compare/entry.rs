//! An entry: one whole evaluation, read from its folder.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::eval::{Answers, RecipeRecord, Summary};
use crate::problem::{Problem, problem};
use crate::report::{names, refuse_other_version};
use crate::run::{Directory, read_json};

/// A folder and what it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// What the table calls it.
    pub name: String,
    /// Where it is.
    pub folder: PathBuf,
}

impl Named {
    /// Folders written as `NAME=FOLDER`, or as `FOLDER`, which is called as it is named itself. A folder of the very name
    /// that is written comes first. A folder that holds evaluations, as several methods leave one, stands for them.
    ///
    /// # Errors
    /// When two have one name.
    pub fn all(written: &[String]) -> Result<Vec<Self>> {
        let apart = |written: &String| match written.split_once('=') {
            Some((name, folder))
                if !Path::new(written).exists() && !name.contains('/') && !name.is_empty() =>
            {
                (Some(name.to_owned()), PathBuf::from(folder))
            }
            _ => (None, PathBuf::from(written)),
        };
        let inside = |(name, folder): (Option<String>, PathBuf)| match evaluations_in(&folder) {
            found if found.is_empty() || name.is_some() => vec![(name, folder)],
            found => found.into_iter().map(|folder| (None, folder)).collect(),
        };
        let (given, folders): (Vec<Option<String>>, Vec<PathBuf>) =
            written.iter().map(apart).flat_map(inside).unzip();
        let own = names(&folders);
        let all = given.into_iter().zip(own).zip(folders);
        let all: Vec<Self> =
            all.map(|((given, own), folder)| Self { name: given.unwrap_or(own), folder }).collect();
        let mut seen = HashSet::new();
        match all.iter().find(|it| !seen.insert(&it.name)) {
            None => Ok(all),
            Some(twice) => Err(problem(format!("two evaluations are called {}", twice.name))
                .hint("give them names of their own: NAME=FOLDER")
                .into()),
        }
    }
}

/// The finished evaluations that lie in `folder`, by name; none in the folder of one.
pub fn evaluations_in(folder: &Path) -> Vec<PathBuf> {
    if Directory::at(folder).config().exists() {
        return Vec::new();
    }
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_whole = |path: &PathBuf| path.join("summary.json").is_file() && path.join("hashes.json").is_file();
    let mut found: Vec<PathBuf> = entries.filter(is_whole).collect();
    found.sort();
    found
}

/// One whole evaluation.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) folder: PathBuf,
    pub(super) summary: Summary,
    pub(super) answers: Answers,
    /// How the answers were obtained; none in a folder from before that was kept.
    pub(super) record: Option<RecipeRecord>,
    pub(super) model: String,
    pub(super) engine: String,
}

impl Entry {
    pub(super) fn open(named: &Named) -> Result<Self> {
        let Named { name, folder } = named.clone();
        refuse_others(&folder)?;
        let path = folder.join("summary.json");
        refuse_other_version(&path)?;
        let summary: Summary = read_json(&path)?;
        let record = RecipeRecord::read(&folder)?;
        let answers = Answers::read(&folder.join("rows.jsonl"))?;
        let (there, all) = (answers.conversations(), summary.conversations);
        if (all > 0 && there != all) || summary.recipe != record.as_ref().map(|it| it.hash.clone()) {
            return Err(unfinished(&folder)
                .because(format!("{there} of {all} conversations are there"))
                .into());
        }
        let plan = plan(&folder)?;
        let text = |section: &str, key: &str| {
            plan.get(section).and_then(|keys| keys.get(key)).and_then(toml::Value::as_str).unwrap_or_default()
        };
        let model = match text("model", "path") {
            "server" => text("server", "name"),
            path => path,
        };
        let model = match text("adapter", "path") {
            "" => model.to_owned(),
            adapter => format!("{model} + {adapter}"),
        };
        let engine = text("eval", "engine").to_owned();
        Ok(Self { name, folder, summary, answers, record, model, engine })
    }
}

/// Refuses what is no evaluation, or none that is at its end.
fn refuse_others(folder: &Path) -> Result<()> {
    let (place, directory) = (folder.display(), Directory::at(folder));
    let told = if !folder.exists() {
        problem(format!("there is no folder {place}")).hint("name folders that `zerosearch eval --out` made")
    } else if directory.record().is_file() {
        problem(format!("{place} is the folder of a run, not of an evaluation")).hint(format!(
            "evaluate a checkpoint of it, `zerosearch eval --model {place}/checkpoints/STEP --out FOLDER`, and compare that"
        ))
    } else if !directory.config().is_file() || !folder.join("hashes.json").is_file() {
        problem(format!("{place} is not the folder of an evaluation"))
            .hint("that of `zerosearch eval` holds config.toml, hashes.json and summary.json")
    } else if !folder.join("summary.json").is_file() {
        unfinished(folder)
    } else {
        return Ok(());
    };
    Err(told.into())
}

fn unfinished(folder: &Path) -> Problem {
    problem(format!("the evaluation in {} was left before its end", folder.display()))
        .hint("give its command again, which goes on from there, or leave it out")
}

/// The plan as a table, whatever version wrote it.
fn plan(folder: &Path) -> Result<toml::Table> {
    let path = Directory::at(folder).config();
    let text =
        std::fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    text.parse().with_context(|| format!("{} is not what it should be", path.display()))
}
