//! A repository: what it may be called, and which of its revisions is meant.

use std::fmt;

/// What a repository holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A model.
    Model,
    /// A data set.
    Dataset,
}

/// A repository of the hub that can exist, at one of its revisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    kind: Kind,
    name: String,
    revision: String,
}

/// The revision that is meant where none is named.
const MAIN: &str = "main";

impl Repository {
    /// The repository `name` (`org/name`, or `name` alone for the hub's oldest) at `revision`: a branch, a tag or a
    /// commit; without one, `main`. None where nothing on the hub can be called so.
    pub fn new(kind: Kind, name: &str, revision: Option<&str>) -> Option<Self> {
        let revision = revision.unwrap_or(MAIN);
        let parts: Vec<&str> = name.split('/').collect();
        let sound = parts.len() <= 2 && parts.into_iter().all(is_name) && is_revision(revision);
        let is_known = sound && name.len() <= 96 && !name.ends_with(".git");
        is_known.then(|| Self { kind, name: name.to_owned(), revision: revision.to_owned() })
    }

    /// `org/name`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A branch, a tag or a commit.
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// The parts of its address on the hub's site.
    pub(crate) fn site(&self) -> impl Iterator<Item = &str> {
        let kind = match self.kind {
            Kind::Model => None,
            Kind::Dataset => Some("datasets"),
        };
        kind.into_iter().chain(self.name.split('/'))
    }

    /// The parts of its address in the hub's interface.
    pub(crate) fn interface(&self) -> impl Iterator<Item = &str> {
        ["api", self.plural()].into_iter().chain(self.name.split('/'))
    }

    /// The name of its folder in the cache.
    pub(crate) fn folder(&self) -> String {
        format!("{}--{}", self.plural(), self.name.replace('/', "--"))
    }

    fn plural(&self) -> &'static str {
        match self.kind {
            Kind::Model => "models",
            Kind::Dataset => "datasets",
        }
    }
}

/// As people write it: `org/name@v2` for a model, `hf://datasets/org/name@v2` for a data set.
impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind == Kind::Dataset {
            f.write_str("hf://datasets/")?;
        }
        f.write_str(&self.name)?;
        match self.revision.as_str() {
            MAIN => Ok(()),
            revision => write!(f, "@{revision}"),
        }
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

/// Whether `path` is that of a file in a repository: it can neither leave the cache nor name another address.
pub(crate) fn is_file(path: &str) -> bool {
    let sound = |part: &str| !part.is_empty() && part != "." && part != "..";
    path.split('/').all(sound) && !path.contains(['\\', ':']) && !path.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_are_spelled_as_people_write_them() {
        let of = |kind, name, revision| Repository::new(kind, name, revision).unwrap().to_string();
        assert_eq!(of(Kind::Model, "gpt2", None), "gpt2");
        assert_eq!(of(Kind::Model, "org/name", Some("refs/pr/3")), "org/name@refs/pr/3");
        assert_eq!(of(Kind::Dataset, "org/name", Some("main")), "hf://datasets/org/name");
        assert_eq!(of(Kind::Dataset, "org/name", Some("v1.0")), "hf://datasets/org/name@v1.0");
    }

    #[test]
    fn what_could_leave_the_cache_or_the_address_is_no_repository() {
        let bad = [
            "", "/", "../x", "a/..", "a b", "a/b c", "a//b", "a/b/c", "a/b?x", "a/b#x", "a%2e/b", "a--b/c",
            "-a/b", "a/b.git", "a\\b", "é/b",
        ];
        for name in bad {
            assert_eq!(Repository::new(Kind::Dataset, name, None), None, "{name}");
        }
        for revision in ["", "../x", "/x", "x/", "a b", "a?b", "a..b"] {
            assert_eq!(Repository::new(Kind::Model, "a/b", Some(revision)), None, "{revision}");
        }
        for path in ["", "/etc/passwd", "a/../b", "../a", "a//b", "a/", "a\\b", "c:a", "a\nb", "."] {
            assert!(!is_file(path), "{path}");
        }
        assert!(is_file("data/train-00000-of-00003.parquet") && is_file("odd name#1.jsonl"));
    }
}
