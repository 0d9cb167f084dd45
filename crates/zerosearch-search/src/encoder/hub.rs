//! An encoder on the Hugging Face hub: which of a repository's files it is made of.

use std::path::{Path, PathBuf};

use zerosearch_hub::{Hub, HubError, Kind, Repository, Snapshot};

use super::EncoderError;

/// Without these there is no encoder.
const NEEDED: [&str; 2] = ["tokenizer.json", "model.safetensors"];

/// Fetched if the repository has them: they tell the network and how it wants to be used.
const WELCOME: [&str; 5] = [
    "config.json",
    "1_Pooling/config.json",
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
];

/// The folder of the encoder that `named` names: a folder as it is; else that of a model on the hub (`org/name`,
/// `org/name@revision`), which is fetched first.
///
/// # Errors
/// When the hub does not have or give it, or it has no weights in `model.safetensors`.
pub fn encoder_folder(named: &str, hub: &Hub) -> Result<PathBuf, EncoderError> {
    let folder = Path::new(named);
    let (name, revision) = match named.split_once('@') {
        Some((name, revision)) => (name, Some(revision)),
        None => (named, None),
    };
    let id = Some(name).filter(|name| !folder.exists() && name.contains('/'));
    let Some(repository) = id.and_then(|name| Repository::new(Kind::Model, name, revision)) else {
        return Ok(folder.to_owned());
    };
    hub.take(&repository, fetch)
        .map_err(|source| EncoderError::Hub { named: named.to_owned(), source: Box::new(source) })
}

fn fetch(snapshot: &Snapshot<'_>) -> Result<PathBuf, HubError> {
    if let Some(missing) = NEEDED.into_iter().find(|name| !snapshot.has(name)) {
        return Err(snapshot.lacks(format!("there is no `{missing}` in it")));
    }
    for name in WELCOME.into_iter().filter(|name| snapshot.has(name)).chain(NEEDED) {
        snapshot.file(name)?;
    }
    Ok(snapshot.folder())
}
