//! Parts: a folder of several stages, such as a quickstart's, stands for the folders in it.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Deserialize;

use super::table::{Table, duration, grouped};
use crate::run::read_json;

/// What the `summary.json` of a folder of several stages says of them.
#[derive(Deserialize)]
struct Parts {
    /// Folders of runs and evaluations, as paths within it.
    folders: Vec<PathBuf>,
    stages: Vec<Stage>,
}

#[derive(Deserialize)]
struct Stage {
    stage: String,
    seconds: f64,
    tokens: u64,
}

/// Each of `folders`, or the folders that it stands for.
pub(super) fn expanded(folders: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for folder in folders {
        match parts(folder)? {
            Some(parts) => all.extend(parts.folders.iter().map(|part| folder.join(part))),
            None => all.push(folder.clone()),
        }
    }
    Ok(all)
}

/// Time and tokens of every stage of those of `folders` that have several.
pub(super) fn stages(folders: &[PathBuf]) -> Result<Option<Table>> {
    let head = ["folder", "stage", "time", "share", "tokens"];
    let mut table = Table::new("From nothing to the end, stage by stage", &head);
    table.numbers_from = 2;
    for folder in folders {
        let Some(parts) = parts(folder)? else { continue };
        let whole: f64 = parts.stages.iter().map(|stage| stage.seconds).sum();
        for Stage { stage, seconds, tokens } in parts.stages {
            let share = format!("{:.1} %", 100.0 * seconds / whole.max(f64::MIN_POSITIVE));
            let folder = folder.display().to_string();
            table.push(vec![folder, stage, duration(seconds), share, grouped(tokens)]);
        }
    }
    Ok((!table.rows.is_empty()).then_some(table))
}

/// Nothing where `folder` is none of several stages.
fn parts(folder: &Path) -> Result<Option<Parts>> {
    if !folder.join("stages.json").is_file() {
        return Ok(None);
    }
    let summary = folder.join("summary.json");
    if summary.is_file() {
        return read_json(&summary).map(Some);
    }
    Err(crate::problem::problem(format!("the quickstart in {} is not at its end", folder.display()))
        .hint("give its command again, or name the folders of its stages that are done")
        .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_stages_stands_for_its_parts() {
        let desk = tempfile::tempdir().unwrap();
        let [whole, single] = ["whole", "single"].map(|name| desk.path().join(name));
        std::fs::create_dir_all(&whole).unwrap();
        std::fs::write(whole.join("stages.json"), "{}").unwrap();
        let both = [whole.clone(), single.clone()];
        assert!(expanded(&both).unwrap_err().to_string().contains("is not at its end"));
        let summary =
            r#"{"folders": ["a/b", "c"], "stages": [{"stage": "c", "seconds": 3.0, "tokens": 1200}]}"#;
        std::fs::write(whole.join("summary.json"), summary).unwrap();
        assert_eq!(expanded(&both).unwrap(), [whole.join("a/b"), whole.join("c"), single.clone()]);
        let table = stages(&both).unwrap().unwrap();
        assert_eq!(table.rows[0][1..], ["c", "3.0 s", "100.0 %", "1,200"]);
        assert!(stages(&[single]).unwrap().is_none());
    }
}
