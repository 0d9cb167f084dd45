//! What differs between recipes: keys and the values that each evaluation has for them.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value};

use super::entry::Entry;

/// How far several evaluations were made alike.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Recipes {
    /// Whether all are known and one.
    pub same: bool,
    /// The evaluations whose recipe is not known.
    pub unknown: Vec<String>,
    /// Keys in which the known ones differ.
    pub differing: Vec<Differing>,
}

/// One key, and its value in each recipe that has it, by the evaluation's name.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Differing {
    /// The key.
    pub key: String,
    /// Its values.
    pub values: Map<String, Value>,
}

impl Recipes {
    pub(super) fn of(entries: &[Entry]) -> Self {
        let known: Vec<_> =
            entries.iter().filter_map(|it| Some((&it.name, &it.record.as_ref()?.recipe))).collect();
        let keys: BTreeSet<&str> =
            known.iter().flat_map(|(_, recipe)| recipe.entries().map(|(key, _)| key)).collect();
        let differs = |key: &&str| known.windows(2).any(|pair| pair[0].1.get(key) != pair[1].1.get(key));
        let values = |key: &str| {
            let value = |(name, recipe): &(&String, &crate::eval::Recipe)| {
                Some(((*name).clone(), recipe.get(key)?.clone()))
            };
            known.iter().filter_map(value).collect()
        };
        let differing: Vec<Differing> = keys
            .into_iter()
            .filter(differs)
            .map(|key| Differing { key: key.to_owned(), values: values(key) })
            .collect();
        let unknown: Vec<String> =
            entries.iter().filter(|it| it.record.is_none()).map(|it| it.name.clone()).collect();
        Self { same: unknown.is_empty() && differing.is_empty(), unknown, differing }
    }
}

impl Differing {
    /// The value of the evaluation `name` in words; a dash where its recipe has none.
    pub(super) fn words(&self, name: &str) -> String {
        match self.values.get(name) {
            None => "-".into(),
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
        }
    }
}
