//! An identity: all that decides what a model replies besides what it is asked, in one line of JSON.

use std::collections::BTreeMap;

use serde_json::json;

use super::adapter::PREFIX;
use crate::config::Model;

/// The identity of `model`, whose files have `hashes`: where they lie does not matter. A model without files is what
/// its shape and `seed` make of it. `context` is the longest row it reads, `numeric_path` its arithmetic.
pub(super) fn identity(
    model: &Model,
    seed: u64,
    hashes: &BTreeMap<String, String>,
    (numeric_path, context): (&str, usize),
) -> String {
    let (adapter, files): (BTreeMap<_, _>, BTreeMap<_, _>) =
        hashes.iter().partition(|(name, _)| name.starts_with(PREFIX));
    if !files.is_empty() {
        return json!({ "files": hashes, "numeric_path": numeric_path, "context": context }).to_string();
    }
    let Model { path, tokenizer, layers, width, heads, .. } = model;
    let mut identity = json!({
        "model": path,
        "tokenizer": tokenizer,
        "layers": layers,
        "width": width,
        "heads": heads,
        "seed": seed,
        "numeric_path": numeric_path,
        "context": context,
    });
    if !adapter.is_empty() {
        identity["adapter"] = json!(adapter);
    }
    identity.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ConfigFile, Purpose};

    #[test]
    fn files_count_wherever_they_lie_and_a_random_model_is_its_shape_and_seed() {
        let model = |settings: &str| {
            let text = format!("[model]\npath = \"random\"\n{settings}");
            ConfigFile::parse(&text, &[]).unwrap().resolve(Purpose::Use).unwrap().model
        };
        let files = |hash: &str| BTreeMap::from([("model.safetensors".to_owned(), hash.to_owned())]);
        let usual = |model: &Model, seed, hashes| identity(model, seed, &hashes, ("local/f32/portable", 64));
        let (small, deep) = (model("layers = 1"), model("layers = 2"));
        assert_eq!(usual(&small, 1, files("a")), usual(&deep, 2, files("a")));
        assert_ne!(usual(&small, 1, files("a")), usual(&small, 1, files("b")));
        assert_ne!(usual(&small, 1, BTreeMap::new()), usual(&deep, 1, BTreeMap::new()));
        assert_ne!(usual(&small, 1, BTreeMap::new()), usual(&small, 2, BTreeMap::new()));
        let adapter =
            |hash: &str| BTreeMap::from([("adapter/adapter_model.safetensors".to_owned(), hash.to_owned())]);
        assert_ne!(usual(&small, 1, adapter("a")), usual(&small, 1, BTreeMap::new()));
        assert_ne!(usual(&small, 1, adapter("a")), usual(&small, 1, adapter("b")));
        assert_ne!(usual(&small, 1, adapter("a")), usual(&small, 2, adapter("a")));
        for other in [("local/bf16/portable", 64), ("local/f32/portable", 32)] {
            assert_ne!(identity(&small, 1, &files("a"), other), usual(&small, 1, files("a")));
        }
    }
}
