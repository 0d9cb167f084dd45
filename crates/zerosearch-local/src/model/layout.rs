//! Where each parameter lies in the one flat vector that holds a model's weights, or their gradients, or their moments.
//!
//! The order is that of [`ModelConfig::tensors`], in which the projections of queries, keys and values follow one
//! another, and so do those of gate and up: each such group is one matrix here.

use std::ops::Range;

use super::config::ModelConfig;

/// The places of all parameters.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// `[vocabulary][width]`
    pub(crate) embedding: Range<usize>,
    pub(crate) layers: Vec<LayerLayout>,
    pub(crate) norm: Range<usize>,
    /// The embedding again where the head is tied to it.
    pub(crate) head: Range<usize>,
    /// Every parameter by its name, with its place and whether it is a matrix (which decays) or a norm or bias.
    pub(crate) tensors: Vec<Tensor>,
}

/// One parameter as checkpoints know it.
#[derive(Clone, Debug)]
pub(crate) struct Tensor {
    pub(crate) name: String,
    pub(crate) place: Range<usize>,
    pub(crate) matrix: bool,
}

/// The places of one layer's parameters.
#[derive(Clone, Debug)]
pub(crate) struct LayerLayout {
    pub(crate) input_norm: Range<usize>,
    /// Queries, keys and values: `[fused width][width]`.
    pub(crate) fused: Range<usize>,
    /// Empty without biases.
    pub(crate) fused_bias: Range<usize>,
    /// Empty without query and key norms.
    pub(crate) query_norm: Range<usize>,
    pub(crate) key_norm: Range<usize>,
    /// `[width][heads * head_width]`
    pub(crate) output: Range<usize>,
    pub(crate) middle_norm: Range<usize>,
    /// `[2 * mlp_width][width]`
    pub(crate) gate_up: Range<usize>,
    /// `[width][mlp_width]`
    pub(crate) down: Range<usize>,
}

impl Layout {
    pub(crate) fn new(config: &ModelConfig) -> Self {
        let mut start = 0;
        let tensors: Vec<Tensor> = config
            .tensors()
            .into_iter()
            .map(|(name, shape)| {
                let place = start..start + shape.iter().product::<usize>();
                start = place.end;
                Tensor { name, place, matrix: shape.len() == 2 }
            })
            .collect();
        let span = |first: &str, last: &str| -> Range<usize> {
            let find = |name: &str| tensors.iter().find(|tensor| tensor.name == name);
            match (find(first), find(last)) {
                (Some(first), Some(last)) => first.place.start..last.place.end,
                _ => 0..0,
            }
        };
        let embedding = span("model.embed_tokens.weight", "model.embed_tokens.weight");
        let layers = (0..config.layers)
            .map(|layer| {
                let span = |first: &str, last: &str| {
                    span(&format!("model.layers.{layer}.{first}"), &format!("model.layers.{layer}.{last}"))
                };
                let one = |name: &str| span(name, name);
                LayerLayout {
                    input_norm: one("input_layernorm.weight"),
                    fused: span("self_attn.q_proj.weight", "self_attn.v_proj.weight"),
                    fused_bias: span("self_attn.q_proj.bias", "self_attn.v_proj.bias"),
                    query_norm: one("self_attn.q_norm.weight"),
                    key_norm: one("self_attn.k_norm.weight"),
                    output: one("self_attn.o_proj.weight"),
                    middle_norm: one("post_attention_layernorm.weight"),
                    gate_up: span("mlp.gate_proj.weight", "mlp.up_proj.weight"),
                    down: one("mlp.down_proj.weight"),
                }
            })
            .collect();
        let norm = span("model.norm.weight", "model.norm.weight");
        let head =
            if config.tied_head { embedding.clone() } else { span("lm_head.weight", "lm_head.weight") };
        Self { embedding, layers, norm, head, tensors }
    }

    /// How many numbers there are.
    pub(crate) fn total(&self) -> usize {
        self.tensors.last().map_or(0, |tensor| tensor.place.end)
    }
}
