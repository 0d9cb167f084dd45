//! A problem: an error as people see it: `error:` what failed, `because:` why, `hint:` what to do next.

use std::error::Error as StdError;
use std::fmt::Write;
use std::io::ErrorKind;

use zerosearch_search::{CorpusError, IndexError, SearchError};

use crate::config::Complaint;

/// Something that cannot go on, in words for the person who started it.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    message: String,
    hint: Option<String>,
    #[source]
    cause: Option<Box<dyn StdError + Send + Sync>>,
}

/// A problem with this message.
pub fn problem(message: impl Into<String>) -> Problem {
    Problem { message: message.into(), hint: None, cause: None }
}

impl Problem {
    /// The same problem with what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same problem with its cause.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }
}

/// The report of `error`: one line for what failed, one for each cause, one for each hint. Causes that only repeat
/// what was said are left out.
pub fn report(error: &anyhow::Error) -> String {
    let mut said: Vec<String> = Vec::new();
    let mut hints: Vec<String> = Vec::new();
    for cause in error.chain() {
        let words = printable(&cause.to_string());
        if !said.iter().any(|earlier| earlier.contains(&words)) {
            said.push(words);
        }
        hints.extend(hint_of(cause).map(|hint| printable(&hint)));
    }
    let mut text = String::new();
    for (index, words) in said.iter().enumerate() {
        let label = if index == 0 { "error" } else { "because" };
        let _ = writeln!(text, "{label}: {words}");
    }
    hints.dedup();
    for hint in hints {
        let _ = writeln!(text, "hint: {hint}");
    }
    text
}

fn hint_of(cause: &(dyn StdError + 'static)) -> Option<String> {
    if let Some(problem) = cause.downcast_ref::<Problem>() {
        return problem.hint.clone();
    }
    if let Some(complaint) = cause.downcast_ref::<Complaint>() {
        return complaint.hint.clone();
    }
    if let Some(IndexError::Corpus(why)) = cause.downcast_ref() {
        return hint_of(why);
    }
    if let Some(why) = cause.downcast_ref::<CorpusError>() {
        return hint_of_corpus(why);
    }
    match cause.downcast_ref::<SearchError>()? {
        SearchError::Silent { .. } | SearchError::Unreachable { .. } => {
            Some("is the server running, and is its address right?".into())
        }
        SearchError::Refused { status: 401 | 403, .. } => Some(
            "name the environment variable that holds the key: simulator.key_env, server.key_env of a policy, or web.key_env".into(),
        ),
        SearchError::Refused { status: 404, .. } => {
            Some("are the address, the api and the model's name right?".into())
        }
        _ => None,
    }
}

fn hint_of_corpus(why: &CorpusError) -> Option<String> {
    match why {
        CorpusError::Io { source, .. } if source.kind() == ErrorKind::NotFound => Some(
            "give the path of a file that is there, or `hf://datasets/ORG/NAME/PATH` for one on the Hugging Face hub".into(),
        ),
        CorpusError::Row { unit, .. } => {
            Some(format!("mend that {unit} of the file or take it out, and give the same command again"))
        }
        _ => None,
    }
}

/// `text` without what would steer a terminal: models and servers write what they like.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|letter| if letter.is_control() && letter != '\n' { '\u{fffd}' } else { letter })
        .collect()
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn a_report_says_what_why_and_what_next() {
        let complaint = Complaint::new("rl.steps", 0, "must be at least 1").hint("use more");
        let error = Err::<(), _>(complaint).context("the config file a.toml cannot be used").unwrap_err();
        assert_eq!(
            report(&error),
            "error: the config file a.toml cannot be used\nbecause: rl.steps = 0: must be at least 1\nhint: use more\n"
        );
    }

    #[test]
    fn a_quoted_escape_sequence_does_not_reach_the_terminal() {
        let error = anyhow::Error::from(problem("it said \u{1b}[2J").hint("look\u{7} there"));
        assert_eq!(report(&error), "error: it said \u{fffd}[2J\nhint: look\u{fffd} there\n");
    }
}
