//! A model directory's tokenizer files, as `transformers` lays them out.

use std::io::ErrorKind;
use std::path::Path;

use serde_json::Value;
use tokenizers::Tokenizer;

use super::{Text, TextFile, TextParts};
use crate::{LearnerError, Result, TokenId};

const TOKENIZER: &str = "tokenizer.json";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
const TEMPLATE: &str = "chat_template.jinja";

/// Files that belong to a tokenizer and are handed on unchanged; the first two and the template are also read.
const FILES: [&str; 8] = [
    TOKENIZER,
    TOKENIZER_CONFIG,
    TEMPLATE,
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
];

impl Text {
    /// Reads `tokenizer.json`, `tokenizer_config.json`, the chat template (`chat_template.jinja`, else the
    /// configuration's own) and the stop tokens that `generation_config.json` and `config.json` name. Only
    /// `tokenizer.json` must be there.
    pub fn from_directory(directory: &Path) -> Result<Self> {
        let mut files = Vec::new();
        for name in FILES {
            if let Some(bytes) = read(&directory.join(name))? {
                files.push(TextFile { name: name.into(), bytes });
            }
        }
        let file = |name: &str| files.iter().find(|file| file.name == name);
        let tokenizer = read_tokenizer(directory, file(TOKENIZER))?;
        let config = match file(TOKENIZER_CONFIG) {
            Some(file) => parse(&directory.join(TOKENIZER_CONFIG), &file.bytes)?,
            None => Value::Null,
        };
        let chat_template = match file(TEMPLATE) {
            Some(file) => Some(String::from_utf8_lossy(&file.bytes).into_owned()),
            None => template_in(&config),
        };
        let mut stop_tokens = Vec::new();
        for name in ["generation_config.json", "config.json"] {
            let path = directory.join(name);
            if let Some(bytes) = read(&path)? {
                stop_tokens.extend(ids_of(&parse(&path, &bytes)?["eos_token_id"]));
            }
        }
        let named_tokens = named_tokens_in(&config);
        let origin = directory.to_owned();
        Self::new(TextParts { origin, tokenizer, chat_template, named_tokens, stop_tokens, files })
    }
}

fn read_tokenizer(directory: &Path, file: Option<&TextFile>) -> Result<Tokenizer> {
    let path = directory.join(TOKENIZER);
    let Some(file) = file else {
        return Err(LearnerError::bad_model(
            path,
            "there is no such file; write it with transformers: \
             `AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)`",
        ));
    };
    Tokenizer::from_bytes(&file.bytes)
        .map_err(|error| LearnerError::bad_model(path, format!("this is not a tokenizer: {error}")))
}

/// The file's content, or `None` if there is no such file.
fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(LearnerError::io(path, error)),
    }
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Value> {
    serde_json::from_slice(bytes)
        .map_err(|error| LearnerError::bad_model(path, format!("this is not JSON: {error}")))
}

/// `chat_template` is one template, or a list of named ones of which `default` counts.
fn template_in(config: &Value) -> Option<String> {
    match &config["chat_template"] {
        Value::String(template) => Some(template.clone()),
        Value::Array(templates) => templates
            .iter()
            .find(|template| template["name"] == "default")
            .and_then(|template| template["template"].as_str())
            .map(str::to_owned),
        _ => None,
    }
}

/// `"eos_token": "</s>"`, or the same as an object with a `content`.
fn named_tokens_in(config: &Value) -> Vec<(String, String)> {
    let entries = config.as_object().into_iter().flatten();
    entries
        .filter(|(name, _)| name.ends_with("_token"))
        .filter_map(|(name, token)| {
            let spelling = token.as_str().or_else(|| token["content"].as_str())?;
            Some((name.clone(), spelling.to_owned()))
        })
        .collect()
}

/// One id or a list of ids; anything else names none.
fn ids_of(value: &Value) -> Vec<TokenId> {
    let one = |value: &Value| value.as_u64().and_then(|id| TokenId::try_from(id).ok());
    match value {
        Value::Array(values) => values.iter().filter_map(one).collect(),
        value => one(value).into_iter().collect(),
    }
}

#[cfg(test)]
#[path = "directory_tests.rs"]
mod tests;
