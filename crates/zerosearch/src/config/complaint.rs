//! A complaint: what is wrong with one key of a config, and what would be right.

/// One key whose value cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}{}: {problem}", .value.as_ref().map(|value| format!(" = {value}")).unwrap_or_default())]
pub struct Complaint {
    /// The key as it is written: `rl.group_size`.
    pub key: String,
    /// The value as it was written, where there is one.
    pub value: Option<String>,
    /// What is wrong with it, and the range or names that are allowed.
    pub problem: String,
    /// What to do next, where that is not plain from the problem.
    pub hint: Option<String>,
}

impl Complaint {
    /// A complaint about a key and its value.
    pub fn new(key: impl Into<String>, value: impl ToString, problem: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            value: Some(shorten(&value.to_string())),
            problem: problem.into(),
            hint: None,
        }
    }

    /// A complaint about a key that is missing or unknown.
    pub fn without_value(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { key: key.into(), value: None, problem: problem.into(), hint: None }
    }

    /// The same complaint with advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// The first characters of a value: a message shows what was meant, not a whole file.
fn shorten(value: &str) -> String {
    const LONGEST: usize = 80;
    match value.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    }
}
