//! One version of a model's weights, packed for the kernels. It never changes.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use super::config::ModelConfig;
use super::layout::LayerLayout;
use super::projection::Projection;
use super::{Layout, Machine};
use crate::kernels::{AttentionShape, Panels, RotaryTable};

/// Frozen weights. Sampler and trainer of the same version share it; versions of an adapter share all but their factors.
pub(crate) struct Network {
    pub(crate) config: ModelConfig,
    pub(crate) machine: Machine,
    pub(super) rotary: Arc<RotaryTable>,
    /// `[vocabulary]` columns; also the head's matrix where that is tied.
    pub(super) embedding: Arc<Panels>,
    pub(super) layers: Vec<Layer>,
    pub(super) norm: Vec<f32>,
    pub(super) head: Projection,
}

/// One layer of frozen weights.
#[derive(Clone)]
pub(super) struct Layer {
    pub(super) input_norm: Vec<f32>,
    pub(super) fused: Projection,
    pub(super) fused_bias: Vec<f32>,
    pub(super) query_norm: Vec<f32>,
    pub(super) key_norm: Vec<f32>,
    pub(super) output: Projection,
    pub(super) middle_norm: Vec<f32>,
    pub(super) gate_up: Projection,
    pub(super) down: Projection,
}

impl Network {
    /// Packs the weights that `read` gives for the places of `layout`; of these it holds one at a time.
    ///
    /// # Errors
    /// What `read` fails with.
    pub(crate) fn new<'a, E>(
        (config, layout): (&ModelConfig, &Layout),
        read: impl Fn(&Range<usize>) -> Result<Cow<'a, [f32]>, E>,
        machine: &Machine,
        rotary: Arc<RotaryTable>,
    ) -> Result<Self, E> {
        let matrix = |place: &Range<usize>, inner: usize| {
            let matrix = Panels::of_rows(machine.arithmetic, &read(place)?, inner, machine.kernels());
            Ok(Projection::new(matrix))
        };
        // Stored as the matrices are: what is exported in this arithmetic is then the very same model.
        let vector = |place: &Range<usize>| {
            let mut vector = read(place)?.into_owned();
            machine.arithmetic.round(&mut vector);
            Ok(vector)
        };
        let width = config.width;
        let layer = |layer: &LayerLayout| {
            Ok(Layer {
                input_norm: vector(&layer.input_norm)?,
                fused: matrix(&layer.fused.matrix, width)?,
                fused_bias: vector(&layer.fused_bias)?,
                query_norm: vector(&layer.query_norm)?,
                key_norm: vector(&layer.key_norm)?,
                output: matrix(&layer.output.matrix, config.heads * config.head_width)?,
                middle_norm: vector(&layer.middle_norm)?,
                gate_up: matrix(&layer.gate_up.matrix, width)?,
                down: matrix(&layer.down.matrix, config.mlp_width)?,
            })
        };
        let embedding = matrix(&layout.embedding, width)?;
        Ok(Self {
            config: config.clone(),
            machine: machine.clone(),
            rotary,
            layers: layout.layers.iter().map(layer).collect::<Result<_, E>>()?,
            norm: vector(&layout.norm)?,
            head: if config.tied_head { embedding.clone() } else { matrix(&layout.head.matrix, width)? },
            embedding: embedding.matrix,
        })
    }

    /// The same model with the adapter that lies in `weights` by `layout`.
    pub(crate) fn adapted(&self, layout: &Layout, adapter: (&[f32], f32)) -> Self {
        let machine = &self.machine;
        let layer = |(layer, place): (&Layer, &LayerLayout)| Layer {
            fused: layer.fused.adapted(machine, &place.fused, adapter),
            output: layer.output.adapted(machine, &place.output, adapter),
            gate_up: layer.gate_up.adapted(machine, &place.gate_up, adapter),
            down: layer.down.adapted(machine, &place.down, adapter),
            ..layer.clone()
        };
        Self {
            config: self.config.clone(),
            machine: machine.clone(),
            rotary: Arc::clone(&self.rotary),
            embedding: Arc::clone(&self.embedding),
            layers: self.layers.iter().zip(&layout.layers).map(layer).collect(),
            norm: self.norm.clone(),
            head: self.head.adapted(machine, &layout.head, adapter),
        }
    }

    /// The heads of its attention.
    pub(crate) fn shape(&self) -> AttentionShape {
        AttentionShape {
            heads: self.config.heads,
            kv_heads: self.config.kv_heads,
            head_width: self.config.head_width,
        }
    }

    /// Whether the frozen matrices of both are the same memory.
    #[cfg(test)]
    pub(crate) fn shares_matrices(&self, other: &Self) -> bool {
        let matrices = |it: &Self| -> Vec<*const Panels> {
            let layer =
                |it: &Layer| [&it.fused, &it.output, &it.gate_up, &it.down].map(|it| Arc::as_ptr(&it.matrix));
            let ends = [Arc::as_ptr(&it.embedding), Arc::as_ptr(&it.head.matrix)];
            it.layers.iter().flat_map(layer).chain(ends).collect()
        };
        matrices(self) == matrices(other)
    }

    /// Bytes of the packed matrices, an adapter's included.
    pub(crate) fn bytes(&self) -> usize {
        let layer = |layer: &Layer| {
            [&layer.fused, &layer.output, &layer.gate_up, &layer.down]
                .iter()
                .map(|it| it.bytes())
                .sum::<usize>()
        };
        let embedding = if self.config.tied_head { 0 } else { self.embedding.bytes() };
        self.layers.iter().map(layer).sum::<usize>() + embedding + self.head.bytes()
    }
}

/// The turning frequencies of each pair of numbers of a head, stretched as Llama 3.1 does it where the model says so.
pub(crate) fn rotary_frequencies(config: &ModelConfig) -> Vec<f32> {
    let half = config.head_width / 2;
    let plain = (0..half).map(|i| (1.0 / config.rope_theta.powf(i as f64 / half as f64)) as f32);
    let Some(scaling) = config.rope_scaling else {
        return plain.collect();
    };
    let original = scaling.original_context as f32;
    plain
        .map(|frequency| {
            let wavelength = std::f32::consts::TAU / frequency;
            if wavelength > original / scaling.low_freq_factor {
                frequency / scaling.factor
            } else if wavelength < original / scaling.high_freq_factor {
                frequency
            } else {
                let share = (original / wavelength - scaling.low_freq_factor)
                    / (scaling.high_freq_factor - scaling.low_freq_factor);
                (1.0 - share) * frequency / scaling.factor + share * frequency
            }
        })
        .collect()
}
