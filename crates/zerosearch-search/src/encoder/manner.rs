//! A manner: what stands before a text, and how the vectors of its tokens become one.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{EncoderError, Family};

/// Which of a text's token vectors stand for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// The mean of all.
    Mean,
    /// The first.
    Cls,
}

/// How an encoder is used. An index records it, so that its queries are encoded as its passages were.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manner {
    /// Put before a query.
    pub query_prefix: String,
    /// Put before a passage.
    pub passage_prefix: String,
    /// How the vectors of tokens become one.
    pub pooling: Pooling,
    /// Whether vectors are scaled to length 1.
    pub normalize: bool,
    /// Tokens that are read of a text, prefix included; the rest is left out.
    pub max_tokens: usize,
}

/// What a person says of it; the rest is known by the model's name, or told by its files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MannerChoice {
    /// Use it as a model of this family.
    pub family: Option<Family>,
    /// See [`Manner::query_prefix`].
    pub query_prefix: Option<String>,
    /// See [`Manner::passage_prefix`].
    pub passage_prefix: Option<String>,
    /// See [`Manner::pooling`].
    pub pooling: Option<Pooling>,
    /// See [`Manner::normalize`].
    pub normalize: Option<bool>,
    /// See [`Manner::max_tokens`].
    pub max_tokens: Option<usize>,
}

/// What the files of sentence-transformers beside a model say.
struct Told {
    pooling: Option<Pooling>,
    normalize: Option<bool>,
    max_tokens: Option<usize>,
    query_prefix: Option<String>,
    passage_prefix: Option<String>,
}

impl MannerChoice {
    /// The manner of the BERT in `folder`, which goes by `name` and reads at most `most_tokens`: what is chosen here,
    /// else what the family wants, else what the model's own files tell.
    ///
    /// # Errors
    /// When nothing tells the pooling: a guess would search with nonsense. Also when more tokens are wanted than the
    /// model can read.
    pub(super) fn of_bert(
        &self,
        folder: &Path,
        name: &str,
        most_tokens: usize,
    ) -> Result<Manner, EncoderError> {
        let refused =
            |problem: &str| EncoderError::Manner { path: folder.to_owned(), problem: problem.into() };
        let told = Told::by(folder)?;
        let max_tokens = self.max_tokens.or(told.max_tokens).unwrap_or(most_tokens);
        if self.max_tokens.is_some_and(|wanted| wanted > most_tokens || wanted < 3) {
            return Err(refused(&format!("it reads 3 to {most_tokens} tokens, not {max_tokens}")));
        }
        let max_tokens = max_tokens.min(most_tokens);
        let family =
            self.family.or_else(|| Family::of_name(name)).map(|family| family.manner(name, max_tokens));
        let known = |of: fn(&Manner) -> String| family.as_ref().map(of);
        let pooling = self.pooling.or(family.as_ref().map(|known| known.pooling)).or(told.pooling);
        Ok(Manner {
            query_prefix: self
                .query_prefix
                .clone()
                .or(known(|known| known.query_prefix.clone()))
                .or(told.query_prefix)
                .unwrap_or_default(),
            passage_prefix: self
                .passage_prefix
                .clone()
                .or(known(|known| known.passage_prefix.clone()))
                .or(told.passage_prefix)
                .unwrap_or_default(),
            pooling: pooling.ok_or_else(|| {
                refused(
                    "nothing says how the vectors of its tokens become one: its name is of no known family (e5, bge, \
                     all-minilm) and there is no 1_Pooling/config.json; say which family it is, or its pooling",
                )
            })?,
            normalize: self
                .normalize
                .or(family.as_ref().map(|known| known.normalize))
                .or(told.normalize)
                .unwrap_or(true),
            max_tokens,
        })
    }

    /// The manner of a static embedding: always the mean, no prefixes unless chosen. `normalize` is what its own file
    /// says.
    pub(super) fn of_table(&self, folder: &Path, normalize: bool) -> Result<Manner, EncoderError> {
        if self.pooling == Some(Pooling::Cls) {
            let problem =
                "static embeddings have no first token that stands for a text; leave the pooling out".into();
            return Err(EncoderError::Manner { path: folder.to_owned(), problem });
        }
        let family = self.family.map(|family| family.manner("", TABLE_TOKENS));
        let (query, passage) =
            family.map_or_else(Default::default, |known| (known.query_prefix, known.passage_prefix));
        Ok(Manner {
            query_prefix: self.query_prefix.clone().unwrap_or(query),
            passage_prefix: self.passage_prefix.clone().unwrap_or(passage),
            pooling: Pooling::Mean,
            normalize: self.normalize.unwrap_or(normalize),
            max_tokens: self.max_tokens.unwrap_or(TABLE_TOKENS),
        })
    }
}

/// As model2vec cuts texts unless told otherwise.
const TABLE_TOKENS: usize = 512;

impl Told {
    fn by(folder: &Path) -> Result<Self, EncoderError> {
        let pooling = json(&folder.join("1_Pooling/config.json"))?;
        let pooling_path = folder.join("1_Pooling/config.json");
        let mode = |name: &str| pooling.get(name).and_then(Value::as_bool).unwrap_or(false);
        let pooling = match (mode("pooling_mode_mean_tokens"), mode("pooling_mode_cls_token")) {
            (true, false) => Some(Pooling::Mean),
            (false, true) => Some(Pooling::Cls),
            _ if pooling.is_null() => None,
            _ => {
                let problem = "it asks for another pooling than mean or cls; only these two are known";
                return Err(EncoderError::file(&pooling_path, problem));
            }
        };
        let modules = json(&folder.join("modules.json"))?;
        let kinds = modules.as_array().map(|modules| {
            let kind = |module: &Value| module.get("type").and_then(Value::as_str).map(str::to_owned);
            modules.iter().filter_map(kind).collect::<Vec<String>>()
        });
        let sentence = json(&folder.join("sentence_bert_config.json"))?;
        let prompts = json(&folder.join("config_sentence_transformers.json"))?;
        let prompt = |names: [&str; 2]| {
            let prompts = prompts.get("prompts")?;
            names.iter().find_map(|name| prompts.get(name)?.as_str().map(str::to_owned))
        };
        Ok(Self {
            pooling,
            normalize: kinds.map(|kinds| kinds.iter().any(|kind| kind.ends_with(".Normalize"))),
            max_tokens: sentence
                .get("max_seq_length")
                .and_then(Value::as_u64)
                .and_then(|tokens| usize::try_from(tokens).ok())
                .filter(|tokens| *tokens > 2),
            query_prefix: prompt(["query", "queries"]),
            passage_prefix: prompt(["passage", "document"]),
        })
    }
}

/// What stands in a JSON file; null where there is no file.
pub(super) fn json(path: &Path) -> Result<Value, EncoderError> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map_err(|why| EncoderError::file(path, format!("it is not JSON: {why}"))),
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => Ok(Value::Null),
        Err(source) => Err(EncoderError::Io { path: path.to_owned(), source }),
    }
}
