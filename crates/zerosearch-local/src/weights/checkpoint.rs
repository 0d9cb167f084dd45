//! A checkpoint: a model that was found, wherever it lies, and its tensors by name.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map as JsonMap, Value};
use zerosearch_hub::Hub;
use zerosearch_learner::text::Text;
use zerosearch_learner::{LearnerError, Result};

use super::directory;
use super::gguf::GgufFile;
use super::hub::{self, ModelId};
use super::random::Random;
use super::safetensors::Safetensors;
use crate::model::config::ModelConfig;

/// A model, ready to be loaded.
pub struct Checkpoint {
    /// Its dimensions.
    pub config: ModelConfig,
    /// Its tokenizer and chat template.
    pub text: Arc<Text>,
    /// What to call it in messages.
    path: PathBuf,
    source: Source,
    files: Files,
}

/// Where the tensors come from.
pub(super) enum Source {
    Safetensors(Safetensors),
    Gguf(GgufFile),
    Random(Random),
}

/// The files of a model directory that are neither weights nor text.
#[derive(Clone, Default)]
pub(super) struct Files {
    /// `config.json`, if the model came with one.
    pub(super) config: Option<JsonMap<String, Value>>,
    /// `generation_config.json`, if the model came with one.
    pub(super) generation_config: Option<Vec<u8>>,
}

/// All of a model but its weights: what it takes to [`export`](super::export()) others in their place.
#[derive(Clone)]
pub struct Origin {
    pub(super) config: ModelConfig,
    pub(super) text: Arc<Text>,
    pub(super) files: Files,
}

impl Checkpoint {
    /// Opens the model that `model` names: a folder in Hugging Face layout, a GGUF file, or the id of a repository on
    /// the hub (`org/name`, `org/name@revision`, `org/name/file.gguf`), which is fetched into the hub's cache as the
    /// environment says (`HF_HOME`, `HF_ENDPOINT`, `HF_TOKEN`, `HF_HUB_OFFLINE`).
    ///
    /// Every tensor of the model is there afterwards, in its right shape; the numbers are read by
    /// [`Checkpoint::tensor`].
    pub fn open(model: &str) -> Result<Self> {
        Self::open_with(model, &Hub::from_environment())
    }

    /// As [`Checkpoint::open`], with a hub of one's own.
    pub fn open_with(model: &str, hub: &Hub) -> Result<Self> {
        let path = Path::new(model);
        if path.exists() {
            return Self::open_path(path);
        }
        let is_path = path.is_absolute()
            || model.starts_with('.')
            || model.starts_with('~')
            || (model.ends_with(".gguf") && model.split('/').count() != 3);
        if is_path {
            return Err(LearnerError::bad_model(path, "there is no such file or folder"));
        }
        let id: ModelId = model.parse().map_err(|problem: hub::BadId| {
            LearnerError::bad_model(path, format!("there is no such file or folder, and {problem}"))
        })?;
        Self::open_path(&hub::fetch(hub, &id)?)
    }

    /// Opens a folder in Hugging Face layout or a GGUF file.
    pub fn open_path(path: &Path) -> Result<Self> {
        if path.is_dir() {
            return directory::open(path);
        }
        if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf")) {
            let (config, text, file) = GgufFile::open(path)?;
            return Self::new(path, config, Arc::new(text), Source::Gguf(file), Files::default());
        }
        Err(LearnerError::bad_model(
            path,
            "a model is a folder with `config.json`, `tokenizer.json` and `*.safetensors`, or a file `*.gguf`; for \
             weights in a folder, give the folder",
        ))
    }

    /// A model of `config` with random weights, the same for the same `seed`: matrices drawn around 0 with variance
    /// 1 / fan-in (what leads back into the residual stream by sqrt(2 * layers) smaller), norms 1, biases 0.
    /// Refused when `text` has more tokens than the model, or no such model can be computed.
    pub fn random(config: ModelConfig, text: Arc<Text>, seed: u64) -> Result<Self> {
        config.check().map_err(|problem| LearnerError::bad_model("random weights", problem))?;
        let source = Source::Random(Random::new(&config, seed));
        Self::new(Path::new("random weights"), config, text, source, Files::default())
    }

    pub(super) fn new(
        path: &Path,
        config: ModelConfig,
        text: Arc<Text>,
        source: Source,
        files: Files,
    ) -> Result<Self> {
        if text.vocabulary_size() > config.vocabulary {
            return Err(LearnerError::bad_model(
                path,
                format!(
                    "the tokenizer has {} entries, the model's embedding only {} rows; they do not belong together",
                    text.vocabulary_size(),
                    config.vocabulary
                ),
            ));
        }
        Ok(Self { config, text, path: path.to_owned(), source, files })
    }

    /// The numbers of the parameter `name` (one of [`ModelConfig::tensors`]), row by row. A number that is not finite
    /// is refused.
    pub fn tensor(&self, name: &str) -> Result<Vec<f32>> {
        let numbers = match &self.source {
            Source::Safetensors(files) => files.tensor(name)?,
            Source::Gguf(file) => file.tensor(name)?,
            Source::Random(random) => random.tensor(name)?,
        };
        match numbers.iter().position(|number| !number.is_finite()) {
            None => Ok(numbers),
            Some(index) => Err(LearnerError::bad_model(
                &self.path,
                format!("tensor `{name}` holds {} at index {index}; the weights are damaged", numbers[index]),
            )),
        }
    }

    /// The folder or file that the model lies in.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All of the model but its weights, for [`export`](super::export()).
    pub fn origin(&self) -> Origin {
        Origin { config: self.config.clone(), text: Arc::clone(&self.text), files: self.files.clone() }
    }
}

#[cfg(test)]
#[path = "checkpoint_tests.rs"]
mod tests;
