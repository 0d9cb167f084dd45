//! One version of a model's weights, packed for the kernels. It never changes.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use super::config::ModelConfig;
use super::layout::LayerLayout;
use super::{Layout, Machine};
use crate::kernels::{AttentionShape, Panels, RotaryTable};

/// Frozen weights. Sampler and trainer of the same version share it.
pub(crate) struct Network {
    pub(crate) config: ModelConfig,
    pub(crate) machine: Machine,
    pub(super) rotary: Arc<RotaryTable>,
    /// `[vocabulary]` columns; also the head where that is tied.
    pub(super) embedding: Panels,
    pub(super) layers: Vec<Layer>,
    pub(super) norm: Vec<f32>,
    pub(super) head: Option<Panels>,
}

/// One layer of frozen weights.
pub(super) struct Layer {
    pub(super) input_norm: Vec<f32>,
    pub(super) fused: Panels,
    pub(super) fused_bias: Vec<f32>,
    pub(super) query_norm: Vec<f32>,
    pub(super) key_norm: Vec<f32>,
    pub(super) output: Panels,
    pub(super) middle_norm: Vec<f32>,
    pub(super) gate_up: Panels,
    pub(super) down: Panels,
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
            Ok(Panels::of_rows(machine.arithmetic, &read(place)?, inner, machine.kernels()))
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
                fused: matrix(&layer.fused, width)?,
                fused_bias: vector(&layer.fused_bias)?,
                query_norm: vector(&layer.query_norm)?,
                key_norm: vector(&layer.key_norm)?,
                output: matrix(&layer.output, config.heads * config.head_width)?,
                middle_norm: vector(&layer.middle_norm)?,
                gate_up: matrix(&layer.gate_up, width)?,
                down: matrix(&layer.down, config.mlp_width)?,
            })
        };
        Ok(Self {
            config: config.clone(),
            machine: machine.clone(),
            rotary,
            embedding: matrix(&layout.embedding, width)?,
            layers: layout.layers.iter().map(layer).collect::<Result<_, E>>()?,
            norm: vector(&layout.norm)?,
            head: (!config.tied_head).then(|| matrix(&layout.head, width)).transpose()?,
        })
    }

    /// The heads of its attention.
    pub(crate) fn shape(&self) -> AttentionShape {
        AttentionShape {
            heads: self.config.heads,
            kv_heads: self.config.kv_heads,
            head_width: self.config.head_width,
        }
    }

    pub(super) fn head_panels(&self) -> &Panels {
        self.head.as_ref().unwrap_or(&self.embedding)
    }

    /// Bytes of the packed matrices.
    pub(crate) fn bytes(&self) -> usize {
        let layer = |layer: &Layer| {
            [&layer.fused, &layer.output, &layer.gate_up, &layer.down]
                .iter()
                .map(|it| it.bytes())
                .sum::<usize>()
        };
        self.layers.iter().map(layer).sum::<usize>()
            + self.embedding.bytes()
            + self.head.as_ref().map_or(0, Panels::bytes)
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
