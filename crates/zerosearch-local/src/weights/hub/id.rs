//! The name of a model on the hub: `org/name`, with a revision (`org/name@v2`) or a GGUF file (`org/name/file.gguf`).

use std::fmt;
use std::str::FromStr;

/// A repository of the hub that can exist, and what of it is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::weights) struct ModelId {
    /// `org/name`, or `name` alone for the hub's oldest models.
    pub(super) repository: String,
    /// A branch, a tag or a commit.
    pub(super) revision: String,
    /// One GGUF file instead of a model directory.
    pub(super) file: Option<String>,
}

/// Why something is no id.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::weights) struct BadId(String);

impl fmt::Display for BadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no id of the hub either (those look like `org/name`)", self.0)
    }
}

impl FromStr for ModelId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let bad = || BadId(text.to_owned());
        let (name, revision) = text.split_once('@').unwrap_or((text, "main"));
        let parts: Vec<&str> = name.split('/').collect();
        let (repository, file) = match parts.as_slice() {
            [name] | [name, ""] if !name.is_empty() => (vec![*name], None),
            [org, name] => (vec![*org, *name], None),
            [org, name, file] if file.ends_with(".gguf") => (vec![*org, *name], Some(*file)),
            _ => return Err(bad()),
        };
        let sound = repository.iter().copied().chain(file).all(is_name) && is_revision(revision);
        let repository = repository.join("/");
        if !sound || repository.len() > 96 || repository.ends_with(".git") {
            return Err(bad());
        }
        Ok(Self { repository, revision: revision.to_owned(), file: file.map(str::to_owned) })
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repository)?;
        if let Some(file) = &self.file {
            write!(f, "/{file}")?;
        }
        if self.revision != "main" {
            write!(f, "@{}", self.revision)?;
        }
        Ok(())
    }
}

/// The hub's own rule: letters, digits, `-`, `_`, `.`; no `--` or `..`; neither `-` nor `.` at an end.
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.chars().all(|character| character.is_ascii_alphanumeric() || "-_.".contains(character))
        && !name.contains("--")
        && !name.contains("..")
        && !name.starts_with(['-', '.'])
        && !name.ends_with(['-', '.'])
}

fn is_revision(revision: &str) -> bool {
    let parts_are_sound = revision.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    let allowed = |character: char| character.is_ascii_alphanumeric() || "-_./".contains(character);
    parts_are_sound && revision.chars().all(allowed) && !revision.contains("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_and_spelled_alike() {
        for text in
            ["gpt2", "org/name", "Qwen/Qwen2.5-0.5B@v1.0", "org/name@refs/pr/3", "o/n/file.Q4_K_M.gguf"]
        {
            assert_eq!(text.parse::<ModelId>().unwrap().to_string(), text);
        }
        let id: ModelId = "o/n/f.gguf@x".parse().unwrap();
        assert_eq!(
            (id.repository.as_str(), id.file.as_deref(), id.revision.as_str()),
            ("o/n", Some("f.gguf"), "x")
        );
    }

    #[test]
    fn what_could_leave_the_cache_or_the_address_is_no_id() {
        let bad = [
            "",
            "/",
            "../x",
            "a/..",
            "a b",
            "a/b c",
            "a//b",
            "a/b/c",
            "a/b/../c.gguf",
            "a/b@",
            "a/b@../x",
            "a/b@/x",
            "a/b?x",
            "a/b#x",
            "a%2e/b",
            "a--b/c",
            "-a/b",
            "a/b.git",
            "a\\b",
            "é/b",
        ];
        for text in bad {
            assert!(text.parse::<ModelId>().is_err(), "{text}");
        }
    }
}
