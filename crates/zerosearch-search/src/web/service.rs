//! A service: what has to be known of a provider to ask it and to read its reply.

use serde_json::Value;

use crate::http::KeyPlace;

/// How a provider is asked and what it replies.
pub(super) struct Service {
    /// Its name in a config.
    pub(super) name: &'static str,
    /// Where it is; empty for one that everybody runs at an address of his own.
    pub(super) host: &'static str,
    /// Where it is asked there.
    pub(super) path: &'static str,
    /// The environment variables in which its key is usually kept, the first that is set counts.
    pub(super) key_variables: &'static [&'static str],
    /// Where it looks for the key.
    pub(super) key_place: KeyPlace,
    /// The most documents that it gives for one query.
    pub(super) most_documents: usize,
    /// What to look at when it refuses a request as forbidden (403).
    pub(super) forbidden: &'static str,
    pub(super) ask: fn(&Asked<'_>) -> Wording,
    /// The results of a reply; says what is wrong with it otherwise.
    pub(super) read: fn(&[u8]) -> Result<Vec<Found>, String>,
}

/// What is looked for.
pub(super) struct Asked<'a> {
    pub(super) text: &'a str,
    pub(super) k: usize,
    /// Which of its engines a Programmable Search Engine is.
    pub(super) cse_id: &'a str,
}

/// The words of a request.
pub(super) enum Wording {
    /// Posted as JSON.
    Body(Value),
    /// Behind the address.
    Parameters(Vec<(&'static str, String)>),
}

/// One result, as it came.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Found {
    pub(super) title: String,
    pub(super) text: String,
    pub(super) link: String,
    pub(super) score: Option<f32>,
}

/// What a provider calls the parts of a result.
pub(super) struct Names {
    pub(super) title: &'static str,
    pub(super) text: &'static str,
    pub(super) link: &'static str,
}

/// A reply as JSON.
pub(super) fn json(bytes: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(bytes).map_err(|why| format!("not JSON: {why}"))
}

/// The results in `list`. One without a part has it empty; the list itself must be one.
pub(super) fn results(list: &Value, names: &Names) -> Result<Vec<Found>, String> {
    let list = list.as_array().ok_or("results that are no list")?;
    let found = |value: &Value| {
        let part = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let score = value.get("score").and_then(Value::as_f64).map(|score| score as f32);
        Found { title: part(names.title), text: part(names.text), link: part(names.link), score }
    };
    Ok(list.iter().map(found).collect())
}
