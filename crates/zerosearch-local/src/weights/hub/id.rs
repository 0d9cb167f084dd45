//! The name of a model on the hub: `org/name`, with a revision (`org/name@v2`) or a GGUF file (`org/name/file.gguf`).

use std::fmt;
use std::str::FromStr;

use zerosearch_hub::{Kind, Repository};

/// A model of the hub that can exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::weights) struct ModelId {
    /// `org/name`, or `name` alone for the hub's oldest models, at a revision.
    pub(super) repository: Repository,
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
        let (path, revision) = match text.split_once('@') {
            Some((path, revision)) => (path, Some(revision)),
            None => (text, None),
        };
        let parts: Vec<&str> = path.split('/').collect();
        let (name, file) = match parts.as_slice() {
            [name] | [name, ""] if !name.is_empty() => ((*name).to_owned(), None),
            [org, name] => (format!("{org}/{name}"), None),
            [org, name, file] if file.ends_with(".gguf") => (format!("{org}/{name}"), Some(*file)),
            _ => return Err(bad()),
        };
        let repository = Repository::new(Kind::Model, &name, revision).ok_or_else(bad)?;
        if file.is_some_and(|file| !file.chars().all(|it| it.is_ascii_alphanumeric() || "-_.".contains(it))) {
            return Err(bad());
        }
        Ok(Self { repository, file: file.map(str::to_owned) })
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            None => self.repository.fmt(f),
            Some(file) => write!(f, "{file} of {}", self.repository),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_and_spelled_alike() {
        for text in ["gpt2", "org/name", "Qwen/Qwen2.5-0.5B@v1.0", "org/name@refs/pr/3"] {
            assert_eq!(text.parse::<ModelId>().unwrap().to_string(), text);
        }
        let id: ModelId = "o/n/f.Q4_K_M.gguf@x".parse().unwrap();
        let parts = (id.repository.name(), id.file.as_deref(), id.repository.revision());
        assert_eq!(parts, ("o/n", Some("f.Q4_K_M.gguf"), "x"));
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
