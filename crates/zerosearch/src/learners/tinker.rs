//! A learner on a server: from a plan's `[tinker]` to who trains, with the words and the shape of the model's folder.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use zerosearch_hub::{Hub, HubError, Kind, Repository};
use zerosearch_learner::text::Text;
use zerosearch_learner::tinker::{Merge, Patience, TinkerLearner, TinkerOptions};
use zerosearch_learner::{Learner, LearnerError};
use zerosearch_local::{Checkpoint, Dtype};

use super::{
    BIGRAM, Opened, RANDOM, SCRIPTED, SERVER, blocking, file_hashes_of, identity::identity, is_of_words,
};
use crate::config::{Arithmetic, Plan};
use crate::engines::key;
use crate::problem::problem;

/// What must be known of a model to speak to it.
struct Shape {
    vocabulary: usize,
    context: usize,
}

/// Opens the learner that `plan` names. The model's folder gives its words and its shape; no weights of it are loaded.
pub(super) async fn open(plan: &Plan) -> Result<Opened> {
    let path = plan.model.path.clone();
    let (folder, text, shape, hashes) = blocking(move || {
        let folder = folder(&path)?;
        let text =
            Text::from_directory(&folder).with_context(|| format!("the words of {path} cannot be read"))?;
        let hashes = file_hashes_of(&folder, |file| {
            file.file_name().and_then(|name| name.to_str()).is_some_and(is_of_words)
        })?;
        Ok((folder.clone(), Arc::new(text), shape(&folder)?, hashes))
    })
    .await?;
    let options = options(plan, &folder, Arc::clone(&text), &shape)?;
    let learner = TinkerLearner::open(options).await.context("the training server cannot be used")?;
    let can = learner.capabilities();
    let identity = identity(&plan.model, plan.run.seed, &hashes, (&can.numeric_path, can.context_length));
    Ok(Opened { learner: Arc::new(learner), text, hashes, identity })
}

fn options(plan: &Plan, folder: &Path, text: Arc<Text>, shape: &Shape) -> Result<TinkerOptions> {
    let tinker = &plan.tinker;
    let quirks = tinker.quirks().ok_or_else(|| problem("tinker.preset is not given"))?;
    let seconds = |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::from_secs(1 << 20));
    // Asked for its complaints, which name the key of the plan.
    key("tinker.key_env", &tinker.key_env)?;
    let secret = if tinker.key_env.is_empty() { None } else { std::env::var(&tinker.key_env).ok() };
    Ok(TinkerOptions {
        url: tinker.url.clone(),
        key: secret.map(|secret| secret.trim().to_owned()),
        quirks,
        patience: Patience {
            answer: seconds(tinker.timeout_s),
            result: seconds(tinker.wait_s),
            retries: u32::try_from(tinker.retries).unwrap_or(u32::MAX),
            ..Patience::default()
        },
        concurrency: tinker.concurrency,
        base_model: if tinker.base_model.is_empty() {
            plan.model.path.clone()
        } else {
            tinker.base_model.clone()
        },
        adapter_base: plan.model.path.clone(),
        rank: plan.adapter.rank,
        seed: plan.run.seed,
        text,
        vocabulary: shape.vocabulary,
        context_length: shape.context,
        merge: merge(plan, folder),
    })
}

/// How a downloaded adapter becomes a model: with the base's weights, which are looked for only then.
fn merge(plan: &Plan, folder: &Path) -> Arc<Merge> {
    let (path, folder) = (plan.model.path.clone(), folder.to_owned());
    let dtype = match plan.model.arithmetic {
        Arithmetic::Bf16 => Dtype::Bf16,
        Arithmetic::F32 => Dtype::F32,
    };
    Arc::new(move |adapter: &Path, out: &Path| {
        let base = if Path::new(&path).exists() { folder.display().to_string() } else { path.clone() };
        let checkpoint = Checkpoint::open(&base)?;
        let adapter = zerosearch_local::Adapter::read(adapter, &checkpoint, &path)?;
        adapter.export_merged(&checkpoint, out, dtype)
    })
}

/// The folder with the model's tokenizer and config: as it is named, or fetched from the hub, without the weights.
fn folder(path: &str) -> Result<PathBuf> {
    if Path::new(path).is_dir() {
        return Ok(PathBuf::from(path));
    }
    let (name, revision) = match path.split_once('@') {
        Some((name, revision)) => (name, Some(revision)),
        None => (path, None),
    };
    // These would be ids too, of models that nobody means by them.
    let is_of_this_program = [RANDOM, BIGRAM, SCRIPTED, SERVER].contains(&name);
    let repository = Repository::new(Kind::Model, name, revision).filter(|_| !is_of_this_program);
    let repository = repository.ok_or_else(|| {
        problem(format!("model.path = \"{path}\" is neither a folder nor a hub id"))
            .hint("a learner on a server reads the tokenizer and the config of the model there; name where they are")
    })?;
    let taken: Result<PathBuf, HubError> = Hub::from_environment().take(&repository, |snapshot| {
        for file in snapshot.files().iter().filter(|file| is_of_words(file)) {
            snapshot.file(file)?;
        }
        Ok(snapshot.folder())
    });
    taken.with_context(|| format!("the words of {path} cannot be fetched"))
}

/// What `config.json` says.
fn shape(folder: &Path) -> Result<Shape> {
    let path = folder.join("config.json");
    let bytes = std::fs::read(&path).map_err(|source| LearnerError::io(&path, source))?;
    let config: Value = serde_json::from_slice(&bytes)
        .map_err(|error| LearnerError::bad_model(&path, format!("this is not JSON: {error}")))?;
    let number = |key: &str| {
        let number = config[key].as_u64().or_else(|| config["text_config"][key].as_u64());
        let number = number.and_then(|number| usize::try_from(number).ok()).filter(|number| *number > 0);
        number.ok_or_else(|| LearnerError::bad_model(&path, format!("`{key}` is no number above 0")))
    };
    Ok(Shape { vocabulary: number("vocab_size")?, context: number("max_position_embeddings")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_models_shape_is_in_its_config() {
        let folder = tempfile::tempdir().unwrap();
        let read = |text: &str| {
            std::fs::write(folder.path().join("config.json"), text).unwrap();
            shape(folder.path())
                .map(|shape| (shape.vocabulary, shape.context))
                .map_err(|error| error.to_string())
        };
        assert_eq!(read(r#"{"vocab_size":9,"max_position_embeddings":512}"#), Ok((9, 512)));
        let nested = r#"{"text_config":{"vocab_size":9,"max_position_embeddings":512}}"#;
        assert_eq!(read(nested), Ok((9, 512)));
        assert!(
            read(r#"{"vocab_size":0,"max_position_embeddings":512}"#).unwrap_err().contains("`vocab_size`")
        );
        assert!(read("{").unwrap_err().contains("not JSON"));
    }

    #[test]
    fn a_path_that_is_nothing_is_refused_with_what_is_needed() {
        for path in ["random", "bigram", "scripted", "server", "no/such/model/anywhere"] {
            assert!(
                folder(path).unwrap_err().to_string().contains("neither a folder nor a hub id"),
                "{path}"
            );
        }
    }
}
