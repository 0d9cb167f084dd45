//! The text of a GGUF model: its tokenizer, special tokens and chat template, from the metadata.

use std::path::Path;

use serde_json::json;
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{PostProcessorWrapper, Tokenizer};
use zerosearch_learner::text::{Text, TextParts};
use zerosearch_learner::{Result, TokenId};

use super::metadata::Metadata;
use super::tokenizer;
use super::vocabulary::Vocabulary;

/// Roles of special tokens, and the keys of their ids.
const NAMED: [(&str, &str); 4] = [
    ("bos_token", "tokenizer.ggml.bos_token_id"),
    ("eos_token", "tokenizer.ggml.eos_token_id"),
    ("unk_token", "tokenizer.ggml.unknown_token_id"),
    ("pad_token", "tokenizer.ggml.padding_token_id"),
];
/// Keys of tokens that end a text, a turn or a message.
const STOPS: [&str; 3] =
    ["tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"];

/// The text of the file at `path`, whose model has `rows` rows in its embedding.
pub(super) fn read(path: &Path, metadata: &Metadata<'_>, rows: usize) -> Result<Text> {
    let vocabulary = Vocabulary::read(metadata)?;
    if vocabulary.tokens.len() > rows {
        return Err(metadata.refuse(format!(
            "its tokenizer has {} tokens, its embedding only {rows} rows; the file is damaged",
            vocabulary.tokens.len()
        )));
    }
    let mut tokenizer = tokenizer::build(&vocabulary)?;
    if tokenizer::begins_texts(metadata)? {
        begin_with(&mut tokenizer, &vocabulary)?;
    }
    let mut named_tokens = Vec::new();
    for (role, key) in NAMED {
        if let Some(id) = token_id(&vocabulary, key)? {
            named_tokens.push((role.to_owned(), vocabulary.tokens[id as usize].to_owned()));
        }
    }
    let mut stop_tokens = Vec::new();
    for key in STOPS {
        stop_tokens.extend(token_id(&vocabulary, key)?);
    }
    Text::new(TextParts {
        origin: path.to_owned(),
        tokenizer,
        chat_template: metadata.text("tokenizer.chat_template")?.map(str::to_owned),
        named_tokens,
        stop_tokens,
        files: Vec::new(),
    })
}

fn token_id(vocabulary: &Vocabulary<'_>, key: &str) -> Result<Option<TokenId>> {
    match vocabulary.metadata.count(key)? {
        Some(id) if id >= vocabulary.tokens.len() => Err(vocabulary.metadata.refuse(format!(
            "metadata key `{key}` is {id}, its tokenizer has {} tokens",
            vocabulary.tokens.len()
        ))),
        id => Ok(id.map(|id| id as TokenId)),
    }
}

/// Makes the tokenizer put the beginning-of-text token before a text, where it is asked to add special tokens.
fn begin_with(tokenizer: &mut Tokenizer, vocabulary: &Vocabulary<'_>) -> Result<()> {
    let key = "tokenizer.ggml.bos_token_id";
    let metadata = vocabulary.metadata;
    let id = token_id(vocabulary, key)?.ok_or_else(|| metadata.missing(key))?;
    let token = vocabulary.tokens[id as usize];
    let first = json!({ "SpecialToken": { "id": token, "type_id": 0 } });
    let text = |name: &str| json!({ "Sequence": { "id": name, "type_id": 0 } });
    let processor: TemplateProcessing = serde_json::from_value(json!({
        "type": "TemplateProcessing",
        "single": [first, text("A")],
        "pair": [first, text("A"), text("B")],
        "special_tokens": { token: { "id": token, "ids": [id], "tokens": [token] } },
    }))
    .map_err(|why| metadata.refuse(format!("its tokenizer cannot begin texts with `{token}`: {why}")))?;
    tokenizer.with_post_processor(Some(PostProcessorWrapper::from(processor)));
    Ok(())
}
