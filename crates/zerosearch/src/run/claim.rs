//! A claim: what the results in a folder are made from, so that no others get mixed with them.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::durable::replace;
use super::read::read_json;
use crate::problem::problem;

/// Makes `folder` the place of results that are made from `basis`, which is written to its file `name`, or finds that
/// it is that already.
///
/// # Errors
/// When the folder holds results of another basis, or something else.
pub fn claim(folder: &Path, name: &str, basis: &Value) -> Result<()> {
    let path = folder.join(name);
    if path.exists() {
        let before: Value = read_json(&path)?;
        return match difference("", &before, basis) {
            None => Ok(()),
            Some(difference) => {
                Err(problem(format!("the results in {} were made with {difference}", folder.display()))
                    .hint("name another folder with `--out FOLDER`")
                    .into())
            }
        };
    }
    if holds_more(folder, is_leftover) {
        let what = format!("the folder {} holds something else", folder.display());
        return Err(problem(what).hint("name an empty one with `--out FOLDER`").into());
    }
    let failed = || format!("the folder {} cannot be used", folder.display());
    std::fs::create_dir_all(folder).with_context(failed)?;
    replace(&path, &serde_json::to_vec_pretty(basis)?).with_context(failed)
}

/// Whether there is more in `folder` than what `is_nothing`.
pub(crate) fn holds_more(folder: &Path, is_nothing: impl Fn(&Path) -> bool) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.flatten().any(|entry| !is_nothing(&entry.path()))
}

/// Whether `path` is what a process leaves that was ended, or found the disk full, before it wrote anything: a lock, or a file
/// that was never renamed.
pub(crate) fn is_leftover(path: &Path) -> bool {
    let is_part = path.extension().is_some_and(|ending| ending == "part");
    is_part || path.file_name().is_some_and(|name| name == "lock")
}

/// The first key in which `before` is not as `now`, with both values.
pub(crate) fn difference(key: &str, before: &Value, now: &Value) -> Option<String> {
    if let (Value::Object(earlier), Value::Object(later)) = (before, now) {
        let keys = earlier.keys().chain(later.keys().filter(|key| !earlier.contains_key(*key)));
        return keys.into_iter().find_map(|name| {
            let inner = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
            let value =
                |object: &serde_json::Map<String, Value>| object.get(name).cloned().unwrap_or_default();
            difference(&inner, &value(earlier), &value(later))
        });
    }
    let words = |value: &Value| if value.is_null() { "nothing".to_owned() } else { value.to_string() };
    (before != now).then(|| format!("{key} = {}, not {}", words(before), words(now)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_folder_belongs_to_its_first_basis() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("out");
        let basis = json!({"seed": 1, "files": {"a": "x"}});
        claim(&folder, "basis.json", &basis).unwrap();
        claim(&folder, "basis.json", &basis).unwrap();
        let told = |other| claim(&folder, "basis.json", &other).unwrap_err().to_string();
        assert!(told(json!({"seed": 2, "files": {"a": "x"}})).ends_with("seed = 1, not 2"));
        assert!(told(json!({"seed": 1, "files": {"b": "x"}})).ends_with("files.a = \"x\", not nothing"));
        let left = parent.path().join("left");
        std::fs::create_dir_all(&left).unwrap();
        for name in ["lock", ".basis.json.part"] {
            std::fs::write(left.join(name), "").unwrap();
        }
        claim(&left, "basis.json", &basis).unwrap();
        let foreign = claim(parent.path(), "basis.json", &basis).unwrap_err().to_string();
        assert!(foreign.ends_with("holds something else"), "{foreign}");
    }
}
