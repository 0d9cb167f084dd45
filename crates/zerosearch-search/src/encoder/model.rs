//! A model: the folder of an encoder, opened, and its way from texts to vectors.

use std::fmt;
use std::path::Path;

use ndarray::{Array2, ArrayViewMut1, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokenizers::{Tokenizer, TruncationParams};

use super::activation::normalize;
use super::bert::{Bert, BertConfig};
use super::manner::json;
use super::table::Table;
use super::weights::Weights;
use super::{EncoderError, Manner, MannerChoice, Pooling};
use crate::corpus::hex;

/// Tokens that go through the layers together: enough for fast products, few enough for a core's own memory.
const PACK_TOKENS: usize = 1024;

/// Turns texts into vectors, on all cores of this machine. The vector of a text depends on the texts that are encoded
/// with it in no more than its last bits; the same list of texts gives the same bits.
pub struct Encoder {
    network: Network,
    tokenizer: Tokenizer,
    unknown: Option<u32>,
    record: EncoderRecord,
}

enum Network {
    Bert(Bert),
    Table(Table),
}

/// What decides an encoder's vectors: what an index keeps of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncoderRecord {
    /// The name of its folder.
    pub name: String,
    /// SHA-256 of its weights.
    pub weights: String,
    /// SHA-256 of its tokenizer.
    pub tokenizer: String,
    /// The length of its vectors.
    pub dimensions: usize,
    /// How it is used.
    pub manner: Manner,
}

/// Which side of a search a text stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What is looked for.
    Query,
    /// What can be found.
    Passage,
}

impl Encoder {
    /// Opens the folder of a BERT or an XLM-RoBERTa (`config.json`, `tokenizer.json`, `model.safetensors`, as sentence-transformers,
    /// E5 and BGE publish them) or of a static embedding (`tokenizer.json` and a `model.safetensors` with one table).
    ///
    /// # Errors
    /// A file that is missing, broken or of a model that is not known; a manner that nothing tells.
    pub fn open(folder: &Path, choice: &MannerChoice) -> Result<Self, EncoderError> {
        let weights = Weights::read(folder)?;
        let tensors = weights.tensors()?;
        let config_path = folder.join("config.json");
        let config = json(&config_path)?;
        let name = name_of(folder);
        let (network, manner, dimensions) = if Table::is_in(&tensors) {
            let table = Table::read(&tensors)?;
            let normalizes = config.get("normalize").and_then(Value::as_bool).unwrap_or(true);
            let dimensions = table.dimensions();
            (Network::Table(table), choice.of_table(folder, normalizes)?, dimensions)
        } else {
            let config = bert_config(&config_path, config)?;
            let manner = choice.of_bert(folder, &name, config.most_tokens())?;
            (Network::Bert(Bert::read(&config, &tensors)?), manner, config.hidden_size)
        };
        let (tokenizer, tokenizer_hash) = tokenizer(folder, &network, &manner)?;
        let unknown = unknown_token(&tokenizer);
        let record =
            EncoderRecord { name, weights: weights.hash(), tokenizer: tokenizer_hash, dimensions, manner };
        Ok(Self { network, tokenizer, unknown, record })
    }

    /// Opens the encoder that made an index, to be used as it was then.
    ///
    /// # Errors
    /// As [`Encoder::open`]; and when the folder holds other weights or another tokenizer.
    pub fn again(folder: &Path, record: &EncoderRecord) -> Result<Self, EncoderError> {
        let Manner { query_prefix, passage_prefix, pooling, normalize, max_tokens } = record.manner.clone();
        let choice = MannerChoice {
            family: None,
            query_prefix: Some(query_prefix),
            passage_prefix: Some(passage_prefix),
            pooling: Some(pooling),
            normalize: Some(normalize),
            max_tokens: Some(max_tokens),
        };
        let encoder = Self::open(folder, &choice)?;
        let own = EncoderRecord { name: record.name.clone(), ..encoder.record.clone() };
        if own == *record {
            return Ok(encoder);
        }
        let problem =
            format!("it is not `{}`, which made the index: other weights or tokenizer", record.name);
        Err(EncoderError::Manner { path: folder.to_owned(), problem })
    }

    /// What decides its vectors.
    pub fn record(&self) -> &EncoderRecord {
        &self.record
    }

    /// One row for each text.
    ///
    /// # Errors
    /// The tokenizer's words when it cannot cope with a text.
    pub fn encode(&self, side: Side, texts: &[String]) -> Result<Array2<f32>, String> {
        let rows: Vec<Vec<u32>> =
            texts.par_iter().map(|text| self.tokens(side, text)).collect::<Result<_, String>>()?;
        let mut vectors = Array2::zeros((texts.len(), self.record.dimensions));
        // Longest first: no core is left with a long text at the end, and texts of a length share their products.
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_by_key(|&at| (std::cmp::Reverse(rows[at].len()), at));
        let packs = packs(&order, &rows);
        let done: Vec<Array2<f32>> = packs.par_iter().map(|pack| self.pooled(pack, &rows)).collect();
        for (pack, pooled) in packs.iter().zip(&done) {
            for (&at, row) in pack.iter().zip(pooled.rows()) {
                vectors.row_mut(at).assign(&row);
            }
        }
        Ok(vectors)
    }

    /// The tokens of a text with its prefix, no more than the manner allows.
    fn tokens(&self, side: Side, text: &str) -> Result<Vec<u32>, String> {
        let manner = &self.record.manner;
        let prefix = match side {
            Side::Query => &manner.query_prefix,
            Side::Passage => &manner.passage_prefix,
        };
        let is_bert = matches!(self.network, Network::Bert(_));
        let encoded = self
            .tokenizer
            .encode_fast(format!("{prefix}{text}"), is_bert)
            .map_err(|why| format!("the tokenizer failed: {why}"))?;
        let mut tokens = encoded.get_ids().to_vec();
        if !is_bert {
            tokens.retain(|token| Some(*token) != self.unknown);
        }
        Ok(tokens)
    }

    /// The vectors of the texts whose places `pack` lists.
    fn pooled(&self, pack: &[usize], rows: &[Vec<u32>]) -> Array2<f32> {
        let mut pooled = Array2::zeros((pack.len(), self.record.dimensions));
        match &self.network {
            Network::Table(table) => {
                for (&at, into) in pack.iter().zip(pooled.rows_mut()) {
                    self.keep(table.mean(&rows[at]).view(), into);
                }
            }
            Network::Bert(bert) => {
                let texts: Vec<&[u32]> = pack.iter().map(|&at| rows[at].as_slice()).collect();
                let states = bert.forward(&texts);
                let mut rest = states.view();
                for (text, into) in texts.iter().zip(pooled.rows_mut()) {
                    let (own, after) = rest.split_at(Axis(0), text.len());
                    rest = after;
                    match self.record.manner.pooling {
                        Pooling::Cls => self.keep(own.row(0), into),
                        Pooling::Mean => {
                            let mean = own.sum_axis(Axis(0)) / own.nrows() as f32;
                            self.keep(mean.view(), into);
                        }
                    }
                }
            }
        }
        pooled
    }

    fn keep(&self, vector: ndarray::ArrayView1<'_, f32>, mut into: ArrayViewMut1<'_, f32>) {
        into.assign(&vector);
        if self.record.manner.normalize {
            normalize(into);
        }
    }
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder").field("record", &self.record).finish_non_exhaustive()
    }
}

/// Cuts `order` into runs of at most [`PACK_TOKENS`], longer texts by themselves.
fn packs(order: &[usize], rows: &[Vec<u32>]) -> Vec<Vec<usize>> {
    let mut packs: Vec<Vec<usize>> = Vec::new();
    let mut room = 0;
    for &at in order {
        let length = rows[at].len().max(1);
        match packs.last_mut().filter(|_| length <= room) {
            Some(pack) => pack.push(at),
            None => {
                packs.push(vec![at]);
                room = PACK_TOKENS;
            }
        }
        room = room.saturating_sub(length);
    }
    packs
}

/// The folder's own name, or that of the repository whose snapshot in the hub's cache it is; where that says nothing (`model`, a hash), the name that `config.json` gives does not help
/// either, because it is that of the model from which training began.
fn name_of(folder: &Path) -> String {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let names: Vec<_> = folder.iter().rev().map(|part| part.to_string_lossy()).collect();
    match names.as_slice() {
        [_, snapshots, repository, ..] if snapshots == "snapshots" && repository.starts_with("models--") => {
            repository.trim_start_matches("models--").replace("--", "/")
        }
        [own, ..] => own.clone().into_owned(),
        [] => String::new(),
    }
}

fn bert_config(path: &Path, config: Value) -> Result<BertConfig, EncoderError> {
    let refused = |problem: String| EncoderError::file(path, problem);
    match config.get("model_type").and_then(Value::as_str) {
        Some(known) if BertConfig::MODEL_TYPES.contains(&known) => {}
        Some(other) => {
            let known =
                "known are `bert` (BERT, MiniLM, E5, BGE), `xlm-roberta` and static embeddings (model2vec)";
            return Err(refused(format!("it is a `{other}`; {known}")));
        }
        None => return Err(refused("it is missing, or names no `model_type`".into())),
    }
    let config: BertConfig =
        serde_json::from_value(config).map_err(|why| refused(format!("it is no BERT's: {why}")))?;
    match config.problem() {
        Some(problem) => Err(refused(problem)),
        None => Ok(config),
    }
}

fn tokenizer(folder: &Path, network: &Network, manner: &Manner) -> Result<(Tokenizer, String), EncoderError> {
    let path = folder.join("tokenizer.json");
    let bytes = std::fs::read(&path).map_err(|source| EncoderError::Io { path: path.clone(), source })?;
    let refused = |problem: String| EncoderError::file(&path, problem);
    let mut tokenizer =
        Tokenizer::from_bytes(&bytes).map_err(|why| refused(format!("it is no tokenizer: {why}")))?;
    let known = match network {
        Network::Bert(bert) => bert.vocabulary(),
        Network::Table(table) => table.vocabulary(),
    };
    let largest = tokenizer.get_vocab(true).into_values().max().map_or(0, |token| token as usize + 1);
    if largest > known {
        return Err(refused(format!(
            "it has {largest} tokens and the model {known}: they do not belong together"
        )));
    }
    tokenizer.with_padding(None);
    let truncation = TruncationParams { max_length: manner.max_tokens, ..TruncationParams::default() };
    tokenizer.with_truncation(Some(truncation)).map_err(|why| refused(why.to_string()))?;
    if matches!(network, Network::Bert(_)) {
        let empty = tokenizer.encode("", true).map_err(|why| refused(why.to_string()))?;
        if empty.is_empty() {
            return Err(refused("it puts no first and last token around a text, which a BERT needs".into()));
        }
    }
    Ok((tokenizer, hex(&Sha256::digest(&bytes))))
}

/// The token for what is not known: a static embedding leaves it out.
fn unknown_token(tokenizer: &Tokenizer) -> Option<u32> {
    ["[UNK]", "<unk>"].iter().find_map(|name| tokenizer.token_to_id(name))
}
