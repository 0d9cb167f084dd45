//! A layout: where each parameter lies in the one flat vector that holds weights, or their gradients, or their moments.
//!
//! The order is that of [`ModelConfig::tensors`], in which the projections of queries, keys and values follow one
//! another, and so do those of gate and up: each such group is one matrix here. In the layout of an adapter nothing of
//! the model has a place: there, `A`s and `B`s of each such group follow one another.

use std::ops::Range;

use super::adapter::{AdapterShape, AdapterTarget};
use super::config::ModelConfig;

/// The places of all parameters. What is not part of the vector has an empty place.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// `[vocabulary][width]`
    pub(crate) embedding: Range<usize>,
    pub(crate) layers: Vec<LayerLayout>,
    pub(crate) norm: Range<usize>,
    /// The embedding again where the head is tied to it.
    pub(crate) head: ProjectionLayout,
    /// Every parameter by its name, with its place and whether it is a matrix (which decays) or a norm or bias.
    pub(crate) tensors: Vec<Tensor>,
}

/// One parameter as files know it.
#[derive(Clone, Debug)]
pub(crate) struct Tensor {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) place: Range<usize>,
    pub(crate) matrix: bool,
}

/// The places of a matrix, and of the factors that are added to it.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProjectionLayout {
    /// `[outputs][inputs]`
    pub(crate) matrix: Range<usize>,
    /// Those of each of its parts that an adapter changes. Their `A`s follow one another.
    pub(crate) factors: Vec<Factors>,
}

/// The places of one pair of low-rank factors.
#[derive(Clone, Debug)]
pub(crate) struct Factors {
    /// `[rank][inputs]`
    pub(crate) a: Range<usize>,
    /// `[outputs][rank]`
    pub(crate) b: Range<usize>,
    /// Which outputs of the whole matrix they make.
    pub(crate) outputs: Range<usize>,
}

/// The places of one layer's parameters.
#[derive(Clone, Debug, Default)]
pub(crate) struct LayerLayout {
    pub(crate) input_norm: Range<usize>,
    /// Queries, keys and values: `[fused width][width]`.
    pub(crate) fused: ProjectionLayout,
    /// Empty without biases.
    pub(crate) fused_bias: Range<usize>,
    /// Empty without query and key norms.
    pub(crate) query_norm: Range<usize>,
    pub(crate) key_norm: Range<usize>,
    /// `[width][heads * head_width]`
    pub(crate) output: ProjectionLayout,
    pub(crate) middle_norm: Range<usize>,
    /// `[2 * mlp_width][width]`
    pub(crate) gate_up: ProjectionLayout,
    /// `[width][mlp_width]`
    pub(crate) down: ProjectionLayout,
}

impl Layout {
    /// That of a whole model.
    pub(crate) fn new(config: &ModelConfig) -> Self {
        let mut start = 0;
        let tensors: Vec<Tensor> = config
            .tensors()
            .into_iter()
            .map(|(name, shape)| {
                let place = start..start + shape.iter().product::<usize>();
                start = place.end;
                let matrix = shape.len() == 2;
                Tensor { name, shape, place, matrix }
            })
            .collect();
        let span = |first: &str, last: &str| -> Range<usize> {
            let find = |name: &str| tensors.iter().find(|tensor| tensor.name == name);
            match (find(first), find(last)) {
                (Some(first), Some(last)) => first.place.start..last.place.end,
                _ => 0..0,
            }
        };
        let whole = |matrix| ProjectionLayout { matrix, factors: Vec::new() };
        let embedding = span("model.embed_tokens.weight", "model.embed_tokens.weight");
        let layers = (0..config.layers)
            .map(|layer| {
                let span = |first: &str, last: &str| {
                    span(&format!("model.layers.{layer}.{first}"), &format!("model.layers.{layer}.{last}"))
                };
                let one = |name: &str| span(name, name);
                LayerLayout {
                    input_norm: one("input_layernorm.weight"),
                    fused: whole(span("self_attn.q_proj.weight", "self_attn.v_proj.weight")),
                    fused_bias: span("self_attn.q_proj.bias", "self_attn.v_proj.bias"),
                    query_norm: one("self_attn.q_norm.weight"),
                    key_norm: one("self_attn.k_norm.weight"),
                    output: whole(one("self_attn.o_proj.weight")),
                    middle_norm: one("post_attention_layernorm.weight"),
                    gate_up: whole(span("mlp.gate_proj.weight", "mlp.up_proj.weight")),
                    down: whole(one("mlp.down_proj.weight")),
                }
            })
            .collect();
        let norm = span("model.norm.weight", "model.norm.weight");
        let head =
            if config.tied_head { embedding.clone() } else { span("lm_head.weight", "lm_head.weight") };
        Self { embedding, layers, norm, head: whole(head), tensors }
    }

    /// That of an adapter of `shape` over such a model.
    pub(crate) fn of_adapter(config: &ModelConfig, shape: &AdapterShape) -> Self {
        use AdapterTarget::{Down, Gate, Head, Key, Output, Query, Up, Value};
        let mut tensors = Vec::new();
        let mut group = |prefix: &str, targets: &[AdapterTarget]| ProjectionLayout {
            matrix: 0..0,
            factors: factors((config, shape), (prefix, targets), &mut tensors),
        };
        let layers = (0..config.layers)
            .map(|layer| {
                let prefix = format!("model.layers.{layer}.");
                LayerLayout {
                    fused: group(&prefix, &[Query, Key, Value]),
                    output: group(&prefix, &[Output]),
                    gate_up: group(&prefix, &[Gate, Up]),
                    down: group(&prefix, &[Down]),
                    ..LayerLayout::default()
                }
            })
            .collect();
        let head = group("", &[Head]);
        Self { embedding: 0..0, layers, norm: 0..0, head, tensors }
    }

    /// How many numbers there are.
    pub(crate) fn total(&self) -> usize {
        self.tensors.last().map_or(0, |tensor| tensor.place.end)
    }
}

/// Appends the tensors of those parts of one group that the adapter changes, and says where they are.
fn factors(
    (config, shape): (&ModelConfig, &AdapterShape),
    (prefix, targets): (&str, &[AdapterTarget]),
    tensors: &mut Vec<Tensor>,
) -> Vec<Factors> {
    let mut first = 0;
    let mut parts = Vec::new();
    for target in targets {
        let [outputs, inputs] = target.shape(config);
        if shape.has(*target) {
            parts.push((format!("{prefix}{}", target.module()), first..first + outputs, inputs));
        }
        first += outputs;
    }
    let mut append = |module: &str, factor: &str, shape: [usize; 2]| {
        let start = tensors.last().map_or(0, |tensor| tensor.place.end);
        let place = start..start + shape[0] * shape[1];
        let name = format!("base_model.model.{module}.lora_{factor}.weight");
        tensors.push(Tensor { name, shape: shape.to_vec(), place: place.clone(), matrix: true });
        place
    };
    let rank = shape.rank;
    let places_of_a: Vec<_> =
        parts.iter().map(|(module, _, inputs)| append(module, "A", [rank, *inputs])).collect();
    let part = |((module, outputs, _), a): ((String, Range<usize>, usize), Range<usize>)| Factors {
        a,
        b: append(&module, "B", [outputs.len(), rank]),
        outputs,
    };
    parts.into_iter().zip(places_of_a).map(part).collect()
}
