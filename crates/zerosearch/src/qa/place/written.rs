//! What a person wrote: `[NAME=]PLACE[@SPLIT]`, where a place is a path, an address on the Hugging Face hub, or the name
//! of one of the paper's sets.
//!
//! An address is `hf://datasets/ORG/NAME[@REVISION][/PATH]`. An `@` in `ORG/NAME` begins a revision, an `@` behind the
//! slash that follows it a split: `hf://datasets/org/name@v2/@test` is the test split of revision `v2`.

use std::path::{Path, PathBuf};

use zerosearch_hub::{Kind, Repository};

use super::paper;
use crate::config::nearest;
use crate::qa::QuestionError;

/// Which questions are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Written {
    /// What the data set is to be called.
    pub(super) source: Option<String>,
    pub(super) place: Place,
    /// Only this split.
    pub(super) split: Option<String>,
}

/// Where questions lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A file of this machine.
    Disk(PathBuf),
    /// A file or a folder of a repository; the empty path is all of it.
    Hub(Repository, String),
}

impl Written {
    /// Reads what was written. A file of the very name comes before any meaning of `=` and `@`, and any file before a
    /// set of the paper.
    ///
    /// # Errors
    /// An address that is none; a bare name that is neither a file nor a known set.
    pub(super) fn parse(text: &str) -> Result<Self, QuestionError> {
        let (source, rest) = match text.split_once('=') {
            Some((name, rest)) if !Path::new(text).exists() && !name.contains('/') => {
                (Some(name.to_owned()), rest)
            }
            _ => (None, text),
        };
        if rest.starts_with("hf:") {
            let (place, split) = address(rest).ok_or_else(|| {
                let form = "hf://datasets/ORG/NAME[@REVISION]/PATH[@SPLIT]";
                QuestionError::Place(format!(
                    "`{rest}` is no data set of the Hugging Face hub; those are written {form}"
                ))
            })?;
            return Ok(Self { source, place, split });
        }
        let (path, split) = match rest.rsplit_once('@') {
            Some((path, split)) if !Path::new(rest).exists() && !split.is_empty() && !split.contains('/') => {
                (path, Some(split.to_owned()))
            }
            _ => (rest, None),
        };
        let is_bare = !path.is_empty() && !path.contains(['/', '\\', '.']) && !Path::new(path).exists();
        if !is_bare {
            return Ok(Self { source, place: Place::Disk(path.into()), split });
        }
        let (repository, file) = paper::file_of(path, split.as_deref()).ok_or_else(|| unknown(path))?;
        let source = source.or_else(|| Some(path.to_owned()));
        Ok(Self { source, place: Place::Hub(repository, file), split: None })
    }
}

/// The place and the split in an address.
fn address(text: &str) -> Option<(Place, Option<String>)> {
    let rest = text.strip_prefix("hf://datasets/")?;
    let end = rest.find('/')? + 1;
    let end = rest[end..].find(['/', '@']).map_or(rest.len(), |length| end + length);
    let (name, rest) = rest.split_at(end);
    let (revision, rest) = match rest.strip_prefix('@') {
        None => (None, rest),
        Some(rest) => {
            let (revision, rest) = rest.split_at(revision_length(rest));
            (Some(revision.replace("%2F", "/")), rest)
        }
    };
    let rest = rest.strip_prefix('/').unwrap_or(rest);
    let (path, split) = match rest.rsplit_once('@') {
        Some((path, split)) if !split.is_empty() && !split.contains('/') => (path, Some(split.to_owned())),
        _ => (rest, None),
    };
    let repository = Repository::new(Kind::Dataset, name, revision.as_deref())?;
    Some((Place::Hub(repository, path.trim_end_matches('/').to_owned()), split))
}

/// A revision ends at the next slash; those of pull requests and conversions have two of their own.
fn revision_length(text: &str) -> usize {
    let own = if text.starts_with("refs/pr/") || text.starts_with("refs/convert/") { 2 } else { 0 };
    text.match_indices('/').nth(own).map_or(text.len(), |(at, _)| at)
}

fn unknown(name: &str) -> QuestionError {
    let known = paper::names();
    let meant = nearest(name, &known).map_or(String::new(), |near| format!("; did you mean `{near}`?"));
    QuestionError::Place(format!(
        "there is no file `{name}`, and no data set is known by that name{meant} (known are {})",
        known.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(path: &str) -> Place {
        Place::Disk(path.into())
    }

    fn hub(name: &str, revision: Option<&str>, path: &str) -> Place {
        Place::Hub(Repository::new(Kind::Dataset, name, revision).unwrap(), path.to_owned())
    }

    #[test]
    fn a_place_may_have_a_name_and_a_split() {
        let folder = tempfile::tempdir().unwrap();
        let odd = folder.path().join("odd@name.jsonl").display().to_string();
        std::fs::write(&odd, "").unwrap();
        let flash = "RUC-NLPIR/FlashRAG_datasets";
        for (text, source, place, split) in [
            ("a/b.jsonl", None, disk("a/b.jsonl"), None),
            ("nq=a/b.jsonl", Some("nq"), disk("a/b.jsonl"), None),
            ("a/b.parquet@test", None, disk("a/b.parquet"), Some("test")),
            ("nq=a/b.parquet@test", Some("nq"), disk("a/b.parquet"), Some("test")),
            ("me@home/b.jsonl", None, disk("me@home/b.jsonl"), None),
            (odd.as_str(), None, disk(&odd), None),
            ("hf://datasets/o/n", None, hub("o/n", None, ""), None),
            ("x=hf://datasets/o/n/d/t.jsonl", Some("x"), hub("o/n", None, "d/t.jsonl"), None),
            ("hf://datasets/o/n@v1/t.jsonl@dev", None, hub("o/n", Some("v1"), "t.jsonl"), Some("dev")),
            ("hf://datasets/o/n@v1", None, hub("o/n", Some("v1"), ""), None),
            ("hf://datasets/o/n/@dev", None, hub("o/n", None, ""), Some("dev")),
            ("hf://datasets/o/n/data@dev", None, hub("o/n", None, "data"), Some("dev")),
            ("hf://datasets/o/n@refs/pr/3/t.jsonl", None, hub("o/n", Some("refs/pr/3"), "t.jsonl"), None),
            ("hf://datasets/o/n@refs%2Fpr%2F3/d/", None, hub("o/n", Some("refs/pr/3"), "d"), None),
            ("nq", Some("nq"), hub(flash, None, "nq/test.jsonl"), None),
            ("mine=musique", Some("mine"), hub(flash, None, "musique/dev.jsonl"), None),
            ("hotpotqa@train", Some("hotpotqa"), hub(flash, None, "hotpotqa/train.jsonl"), None),
        ] {
            let expected = Written { source: source.map(Into::into), place, split: split.map(Into::into) };
            assert_eq!(Written::parse(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_place_is_refused_with_what_it_may_have_been() {
        let told = |text: &str| Written::parse(text).unwrap_err().to_string();
        assert!(told("hotpot").contains("did you mean `hotpotqa`?"), "{}", told("hotpot"));
        assert!(told("x=2wiki").contains("did you mean `2wikimultihopqa`?"));
        assert!(told("qqqq").contains("(known are nq, triviaqa, "));
        for bad in
            ["hf://datasets/name", "hf://models/o/n", "hf://datasets/o/n@/t", "hf:o/n", "hf://datasets/../n"]
        {
            assert!(told(bad).contains("is no data set of the Hugging Face hub"), "{bad}");
        }
    }
}
