//! An address: which saved weights a request means, and the folder that they lie in.

use std::fmt;
use std::path::{Path, PathBuf};

use super::super::refusal::Refusal;

/// What saved weights are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Training goes on from them.
    Training,
    /// They are sampled from.
    Sampler,
}

/// `tinker://RUN/KIND/NAME`. Every part is checked: none of them leads out of the folder of checkpoints.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Address {
    pub(super) run: String,
    pub(super) kind: Kind,
    pub(super) name: String,
}

/// The longest name of saved weights.
const LONGEST_NAME: usize = 128;
/// What stands between a session and the number of its model.
const TRAIN: &str = ":train:";

impl Kind {
    pub(super) const ALL: [Self; 2] = [Self::Training, Self::Sampler];

    /// As an address has it.
    pub(super) fn segment(self) -> &'static str {
        match self {
            Self::Training => "weights",
            Self::Sampler => "sampler_weights",
        }
    }

    /// As a list has it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Training => "training",
            Self::Sampler => "sampler",
        }
    }

    fn named(segment: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.segment() == segment)
    }
}

/// The name of model `index` of `session`, which its client may work out by itself.
pub(super) fn run_of(session: &str, index: i64) -> String {
    format!("{session}{TRAIN}{index}")
}

/// The run whose checkpoints lie in the folder `name`.
pub(super) fn run_in(name: &str) -> Option<String> {
    let (session, index) = name.rsplit_once("-train-")?;
    let run = format!("{session}{TRAIN}{index}");
    is_run(&run).then_some(run)
}

/// Where the checkpoints of `run` lie. A colon is no letter of a file's name everywhere.
pub(super) fn folder_of(out: &Path, run: &str) -> PathBuf {
    out.join(run.replace(':', "-"))
}

/// Whether `run` could be a name that we gave.
pub(super) fn is_run(run: &str) -> bool {
    let Some((session, index)) = run.split_once(TRAIN) else { return false };
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    !session.is_empty()
        && session.len() <= 64
        && session.chars().all(is_word)
        && !index.is_empty()
        && index.len() <= 18
        && index.chars().all(|letter| letter.is_ascii_digit())
}

fn is_name(name: &str) -> bool {
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    !name.is_empty() && name.len() <= LONGEST_NAME && !name.starts_with('.') && name.chars().all(is_letter)
}

impl Address {
    /// The weights that `run` saves as `name`.
    pub(super) fn new(run: &str, kind: Kind, name: &str) -> Result<Self, Refusal> {
        if !is_name(name) {
            let message = format!(
                "{name:?} cannot name saved weights; take letters, digits, `.`, `_` and `-`, at most {LONGEST_NAME} of them and \
                 no `.` at the beginning"
            );
            return Err(Refusal::bad(message).about("path").coded("bad_name"));
        }
        Ok(Self { run: run.to_owned(), kind, name: name.to_owned() })
    }

    /// The weights at `tinker://RUN/KIND/NAME`.
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        let parts: Vec<&str> = text.strip_prefix("tinker://").unwrap_or_default().split('/').collect();
        if let [run, segment, name] = parts[..]
            && let Some(kind) = Kind::named(segment)
            && is_run(run)
        {
            return Self::new(run, kind, name);
        }
        let message = format!(
            "{text:?} is no address of saved weights; it looks like tinker://SESSION:train:0/weights/NAME, or with \
             sampler_weights, as saving answered it"
        );
        Err(Refusal::bad(message).about("path").coded("bad_address"))
    }

    /// The folder inside `out` that they lie in.
    pub(super) fn folder(&self, out: &Path) -> PathBuf {
        folder_of(out, &self.run).join(self.kind.segment()).join(&self.name)
    }

    /// `KIND/NAME`, as lists have it.
    pub(super) fn within_run(&self) -> String {
        format!("{}/{}", self.kind.segment(), self.name)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "tinker://{}/{}", self.run, self.within_run())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_it_was_written_and_lies_inside_its_folder() {
        let address = Address::new("session_0a:train:3", Kind::Sampler, "step-10.b").unwrap();
        assert_eq!(address.to_string(), "tinker://session_0a:train:3/sampler_weights/step-10.b");
        assert_eq!(Address::parse(&address.to_string()).unwrap(), address);
        let folder = address.folder(Path::new("out"));
        assert_eq!(folder, Path::new("out/session_0a-train-3/sampler_weights/step-10.b"));
        assert_eq!(run_in("session_0a-train-3").as_deref(), Some("session_0a:train:3"));
    }

    #[test]
    fn no_name_leads_anywhere_else() {
        for name in ["", ".", "..", ".hidden", "a/b", "../a", "a\\b", "a b", "é", "a\0", &"x".repeat(129)] {
            assert!(Address::new("s:train:0", Kind::Training, name).is_err(), "{name:?}");
        }
        for text in [
            "",
            "s:train:0/weights/a",
            "tinker://s:train:0/weights",
            "tinker://s:train:0/other/a",
            "tinker://../weights/a",
            "tinker://..:train:0/weights/a",
            "tinker://s:train:x/weights/a",
            "tinker://s:train:0/weights/..",
            "tinker://s:train:0/weights/a/b",
            "tinker:///etc/weights/a",
        ] {
            assert!(Address::parse(text).is_err(), "{text:?}");
        }
        assert_eq!(run_in("..-train-0"), None);
        assert_eq!(run_in("lost+found"), None);
    }
}
