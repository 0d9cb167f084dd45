//! A GGUF file as a source of weights: opened once, its tensors read when asked for.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use zerosearch_learner::text::Text;
use zerosearch_learner::{LearnerError, Result};

use super::header::{Header, Tensor};
use super::names::{gguf_name, undo_interleaving};
use super::{config, text};
use crate::model::config::{Family, ModelConfig};
use crate::weights::map::Map;

/// Tensors that are used up when the file is opened.
const USED_UP: [&str; 1] = ["rope_freqs.weight"];

/// The tensors of an open file.
pub(crate) struct GgufFile {
    path: PathBuf,
    map: Map,
    /// By the names that the model uses.
    tensors: HashMap<String, Place>,
}

/// Where a tensor of the model lies.
struct Place {
    tensor: Tensor,
    /// The width of a head, where the file has another order of rows than the model.
    interleaved: Option<usize>,
}

impl GgufFile {
    /// Opens the file at `path` and reads all of it but the tensors. Every tensor of the model is there afterwards, in its
    /// right shape.
    pub(crate) fn open(path: &Path) -> Result<(ModelConfig, Text, Self)> {
        let map = Map::open(path)?;
        let header = Header::read(path, &map)?;
        let config = config::read(&header)?;
        let text = text::read(path, &header.metadata, config.vocabulary)?;
        let tensors = places(&header, &config)?;
        drop(header);
        Ok((config, text, Self { path: path.to_owned(), map, tensors }))
    }

    /// The numbers of the model's tensor `name`, row by row.
    pub(crate) fn tensor(&self, name: &str) -> Result<Vec<f32>> {
        let place = self
            .tensors
            .get(name)
            .ok_or_else(|| LearnerError::bad_model(&self.path, format!("tensor `{name}` is missing")))?;
        let decode = |bytes: &[u8]| place.tensor.encoding.decode(bytes);
        let numbers = self.map.read(place.tensor.bytes.clone(), decode);
        let numbers = numbers
            .ok_or_else(|| LearnerError::bad_model(&self.path, "the file ends before its tensors do"))?;
        Ok(match place.interleaved {
            Some(head_width) => {
                let row = place.tensor.shape.last().copied().unwrap_or(1);
                undo_interleaving(&numbers, row, head_width)
            }
            None => numbers,
        })
    }
}

/// Finds every tensor of the model. One too few, one too many, or one of another shape is refused.
fn places(header: &Header<'_>, config: &ModelConfig) -> Result<HashMap<String, Place>> {
    let metadata = &header.metadata;
    let stored: HashMap<&str, &Tensor> =
        header.tensors.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
    let mut places = HashMap::new();
    let mut known: HashSet<String> = USED_UP.iter().map(|&name| name.to_owned()).collect();
    for (name, shape) in config.tensors() {
        let there = gguf_name(&name)
            .ok_or_else(|| metadata.refuse(format!("tensor `{name}` has no name in the GGUF format")))?;
        let tensor = stored
            .get(there.as_str())
            .ok_or_else(|| metadata.refuse(format!("tensor `{there}` is missing")))?;
        if tensor.shape != shape {
            return Err(metadata.refuse(format!(
                "tensor `{there}` is {}, the model's dimensions ask for {}",
                spell(&tensor.shape),
                spell(&shape)
            )));
        }
        let turned = name.ends_with("self_attn.q_proj.weight") || name.ends_with("self_attn.k_proj.weight");
        let interleaved = (config.family == Family::Llama && turned).then_some(config.head_width);
        places.insert(name, Place { tensor: (*tensor).clone(), interleaved });
        known.insert(there);
    }
    match header.tensors.iter().find(|tensor| !known.contains(&tensor.name)) {
        Some(extra) => Err(metadata.refuse(format!(
            "tensor `{}` ({}, {}) is not part of a {} model as this program knows it",
            extra.name,
            spell(&extra.shape),
            extra.encoding.name(),
            metadata.text("general.architecture")?.unwrap_or("known")
        ))),
        None => Ok(places),
    }
}

/// A shape as people write it: `576 x 1536`.
fn spell(shape: &[usize]) -> String {
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" x ")
}
