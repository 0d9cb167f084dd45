//! A model of the hub: which of a repository's files it needs, and which models are refused before they are fetched.

use std::path::PathBuf;

use zerosearch_hub::{Hub, HubError, Snapshot};
use zerosearch_learner::{LearnerError, Result};

use super::ModelId;
use crate::kernels::Arithmetic;
use crate::model::config::ModelConfig;
use crate::weights::directory::{CONFIG, GENERATION_CONFIG, object, read_json};
use crate::weights::memory::refuse_if_too_large;
use crate::weights::safetensors::{INDEX, SINGLE, shard_names};

/// Without these there is no model.
const NEEDED: [&str; 2] = [CONFIG, "tokenizer.json"];

/// Fetched if the repository has them: they are read, or handed on by an export.
const WELCOME: [&str; 8] = [
    GENERATION_CONFIG,
    "tokenizer_config.json",
    "chat_template.jinja",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
];

/// Makes sure that the model `id` is in the cache and returns its folder (or its GGUF file).
pub(in crate::weights) fn fetch(hub: &Hub, id: &ModelId) -> Result<PathBuf> {
    let taken: Result<PathBuf, Failure> = hub.take(&id.repository, |snapshot| match &id.file {
        Some(file) => gguf(snapshot, file),
        None => directory(snapshot, id),
    });
    taken.map_err(Failure::told)
}

/// Why a model cannot be had.
enum Failure {
    Hub(HubError),
    Model(LearnerError),
}

impl From<HubError> for Failure {
    fn from(error: HubError) -> Self {
        Self::Hub(error)
    }
}

impl From<LearnerError> for Failure {
    fn from(error: LearnerError) -> Self {
        Self::Model(error)
    }
}

impl Failure {
    fn told(self) -> LearnerError {
        match self {
            Self::Model(error) => error,
            Self::Hub(HubError::Io { path, source }) => LearnerError::io(path, source),
            Self::Hub(HubError::Fetch { what, problem }) => LearnerError::Fetch { what, problem },
            Self::Hub(error) => LearnerError::Fetch { what: "a model".into(), problem: error.to_string() },
        }
    }
}

fn gguf(snapshot: &Snapshot<'_>, file: &str) -> Result<PathBuf, Failure> {
    if !snapshot.has(file) {
        return Err(missing(snapshot, file).into());
    }
    Ok(snapshot.file(file)?)
}

fn directory(snapshot: &Snapshot<'_>, id: &ModelId) -> Result<PathBuf, Failure> {
    if let Some(name) = NEEDED.into_iter().find(|name| !snapshot.has(name)) {
        return Err(missing(snapshot, name).into());
    }
    judge(&snapshot.file(CONFIG)?, id)?;
    for name in NEEDED.into_iter().chain(WELCOME.into_iter().filter(|name| snapshot.has(name))) {
        snapshot.file(name)?;
    }
    if snapshot.has(SINGLE) {
        snapshot.file(SINGLE)?;
        return Ok(snapshot.folder());
    }
    if !snapshot.has(INDEX) {
        return Err(snapshot.lacks(format!("it has neither `{SINGLE}` nor `{INDEX}`")).into());
    }
    let index = snapshot.file(INDEX)?;
    for shard in shard_names(&index, &read_json(&index)?)? {
        snapshot.file(&shard)?;
    }
    Ok(snapshot.folder())
}

/// Refuses what could not be opened anyway, before gigabytes of it are fetched: a family or format that is not known, or
/// a model whose weights alone would not fit this machine.
fn judge(config: &std::path::Path, id: &ModelId) -> Result<()> {
    let config = ModelConfig::from_json(config, &object(read_json(config)?))?;
    let bytes = config.parameters().saturating_mul(Arithmetic::Bf16.bytes());
    refuse_if_too_large(&format!("the model {id}"), bytes as u64)
}

fn missing(snapshot: &Snapshot<'_>, name: &str) -> HubError {
    let files = snapshot.files().iter().map(String::as_str);
    let other = match files.filter(|name| name.ends_with(".gguf")).collect::<Vec<_>>().as_slice() {
        [] => String::new(),
        names => format!("; for a GGUF file append its name: it has {}", names.join(", ")),
    };
    snapshot.lacks(format!("there is no `{name}` in it{other}"))
}
