//! A model directory in Hugging Face layout, opened as a checkpoint.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};
use zerosearch_learner::text::Text;
use zerosearch_learner::{LearnerError, Result};

use super::checkpoint::{Checkpoint, Files, Source};
use super::safetensors::Safetensors;
use crate::model::config::ModelConfig;

pub(super) const CONFIG: &str = "config.json";
pub(super) const GENERATION_CONFIG: &str = "generation_config.json";

/// Opens the model in `directory`: `config.json`, the tokenizer's files, `model.safetensors` or several with an index,
/// and `generation_config.json` if it is there.
pub(super) fn open(directory: &Path) -> Result<Checkpoint> {
    let path = directory.join(CONFIG);
    if !path.exists() {
        return Err(LearnerError::bad_model(directory, missing_config(directory)));
    }
    let Value::Object(json) = read_json(&path)? else {
        return Err(LearnerError::bad_model(path, "this is not a JSON object"));
    };
    let config = ModelConfig::from_json(&path, &json)?;
    let weights = Safetensors::open(directory, &config)?;
    let text = Arc::new(Text::from_directory(directory)?);
    let generation = directory.join(GENERATION_CONFIG);
    let generation_config = match generation.exists() {
        true => Some(std::fs::read(&generation).map_err(|error| LearnerError::io(&generation, error))?),
        false => None,
    };
    let files = Files { config: Some(json), generation_config };
    Checkpoint::new(directory, config, text, Source::Safetensors(weights), files)
}

/// Says what a folder without `config.json` may be.
fn missing_config(directory: &Path) -> String {
    let mut names: Vec<String> = std::fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort_unstable();
    if let Some(gguf) = names.iter().find(|name| name.ends_with(".gguf")) {
        return format!(
            "there is no `{CONFIG}` in this folder; for the GGUF file in it, give `{gguf}` itself"
        );
    }
    if names.iter().any(|name| name == "adapter_config.json") {
        return format!(
            "there is no `{CONFIG}` in this folder: it holds a LoRA adapter; give it as \
             `--adapter`, and the model that it was made for as `--model`"
        );
    }
    format!("there is no `{CONFIG}` in this folder, so it is not a model in Hugging Face layout")
}

/// A file's JSON.
pub(super) fn read_json(path: &Path) -> Result<Value> {
    let bytes = std::fs::read(path).map_err(|error| LearnerError::io(path, error))?;
    serde_json::from_slice(&bytes)
        .map_err(|error| LearnerError::bad_model(path, format!("this is not JSON: {error}")))
}

/// The object in `value`, or an empty one.
pub(super) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
