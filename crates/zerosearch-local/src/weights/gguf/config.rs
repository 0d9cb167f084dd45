//! The model's dimensions, from the metadata and the tensors of a GGUF file.

use zerosearch_learner::Result;

use super::header::Header;
use super::metadata::Metadata;
use super::rope;
use crate::model::config::{Family, ModelConfig};

/// The keys of one architecture: each begins with its name.
pub(super) struct Keys<'a> {
    pub(super) metadata: &'a Metadata<'a>,
    architecture: &'a str,
}

impl Keys<'_> {
    pub(super) fn name(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture)
    }

    /// A whole number, refused if 0.
    pub(super) fn count(&self, key: &str) -> Result<Option<usize>> {
        let name = self.name(key);
        match self.metadata.count(&name)? {
            Some(0) => Err(self.metadata.refuse(format!("metadata key `{name}` is 0"))),
            count => Ok(count),
        }
    }

    pub(super) fn number(&self, key: &str) -> Result<Option<f64>> {
        self.metadata.number(&self.name(key))
    }

    fn needed_count(&self, key: &str) -> Result<usize> {
        self.count(key)?.ok_or_else(|| self.metadata.missing(&self.name(key)))
    }

    fn needed_number(&self, key: &str) -> Result<f64> {
        self.number(key)?.ok_or_else(|| self.metadata.missing(&self.name(key)))
    }

    /// Refuses a key that changes what the model computes in a way that this program does not know.
    fn refuse_unless(&self, key: &str, harmless: usize, meaning: &str) -> Result<()> {
        match self.metadata.count(&self.name(key))? {
            Some(count) if count != harmless => Err(self.metadata.refuse(format!(
                "`{}` is {count}: {meaning} is not supported (plain llama, qwen2 and qwen3 decoders are)",
                self.name(key)
            ))),
            _ => Ok(()),
        }
    }
}

/// The dimensions of the model in the file.
pub(super) fn read(header: &Header<'_>) -> Result<ModelConfig> {
    let metadata = &header.metadata;
    let (family, keys) = architecture(metadata)?;
    let width = keys.needed_count("embedding_length")?;
    let heads = keys.needed_count("attention.head_count")?;
    let layers = keys.needed_count("block_count")?;
    if layers > header.tensors.len() {
        return Err(metadata
            .refuse(format!("it says {layers} layers, but has only {} tensors", header.tensors.len())));
    }
    let head_width = head_width(&keys, width, heads)?;
    let config = ModelConfig {
        family,
        vocabulary: vocabulary(header)?,
        width,
        layers,
        heads,
        kv_heads: keys.count("attention.head_count_kv")?.unwrap_or(heads),
        head_width,
        mlp_width: keys.needed_count("feed_forward_length")?,
        norm_epsilon: keys.needed_number("attention.layer_norm_rms_epsilon")? as f32,
        rope_theta: keys.number("rope.freq_base")?.unwrap_or(10_000.0),
        rope_scaling: rope::scaling(header, &keys, head_width)?,
        context_length: keys.needed_count("context_length")?,
        tied_head: !header.tensors.iter().any(|tensor| tensor.name == "output.weight"),
        qkv_bias: family == Family::Qwen2,
        qk_norm: family == Family::Qwen3,
    };
    config.check().map_err(|problem| metadata.refuse(problem))?;
    Ok(config)
}

fn architecture<'a>(metadata: &'a Metadata<'a>) -> Result<(Family, Keys<'a>)> {
    let name =
        metadata.text("general.architecture")?.ok_or_else(|| metadata.missing("general.architecture"))?;
    let family = match name {
        "llama" => Family::Llama,
        "qwen2" => Family::Qwen2,
        "qwen3" => Family::Qwen3,
        other => {
            return Err(metadata.refuse(format!(
                "models of the architecture `{other}` are not supported; known are llama, qwen2 and qwen3"
            )));
        }
    };
    let keys = Keys { metadata, architecture: name };
    keys.refuse_unless("expert_count", 0, "a mixture of experts")?;
    keys.refuse_unless("attention.sliding_window", 0, "attention in a sliding window")?;
    Ok((family, keys))
}

/// How many rows the embedding has: the file's own count of tokens may be smaller.
fn vocabulary(header: &Header<'_>) -> Result<usize> {
    let embedding = header.tensors.iter().find(|tensor| tensor.name == "token_embd.weight");
    match embedding.map(|tensor| tensor.shape.as_slice()) {
        Some(&[rows, _]) => Ok(rows),
        Some(_) => Err(header.metadata.refuse("tensor `token_embd.weight` is not a matrix")),
        None => Err(header.metadata.refuse("tensor `token_embd.weight` is missing")),
    }
}

fn head_width(keys: &Keys<'_>, width: usize, heads: usize) -> Result<usize> {
    let head_width = match keys.count("attention.key_length")? {
        Some(given) => given,
        None if width.is_multiple_of(heads) => width / heads,
        None => {
            return Err(keys.metadata.refuse(format!(
                "a width of {width} cannot be cut into {heads} heads, and `{}` is missing",
                keys.name("attention.key_length")
            )));
        }
    };
    // Where these differ, values have another width than keys, or only a part of each head is turned.
    for key in ["attention.value_length", "rope.dimension_count"] {
        keys.refuse_unless(key, head_width, "a width other than that of the heads")?;
    }
    Ok(head_width)
}
