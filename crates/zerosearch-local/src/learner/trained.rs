//! What trains: all of a model, or an adapter over one that stays as it is.

use std::borrow::Cow;
use std::convert::Infallible;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use zerosearch_learner::{LearnerError, Result};

use crate::kernels::RotaryTable;
use crate::model::config::ModelConfig;
use crate::model::{Layout, Machine, Network};
use crate::policy::LocalPolicy;
use crate::weights::{Adapter, Checkpoint, Dtype, Origin, export};

/// What the flat vector of weights means.
pub(super) enum Trained {
    /// Every parameter of the model.
    Model(Box<Whole>),
    /// The factors of an adapter.
    Adapter(Box<Adapted>),
}

/// A model all of which trains: everything but its weights.
pub(super) struct Whole {
    pub(super) origin: Origin,
    pub(super) config: ModelConfig,
    pub(super) layout: Layout,
    pub(super) rotary: Arc<RotaryTable>,
}

/// A model that stays as it is, and an adapter over it as it was at first.
pub(super) struct Adapted {
    pub(super) checkpoint: Checkpoint,
    /// The model without an adapter.
    pub(super) base: LocalPolicy,
    pub(super) adapter: Adapter,
}

impl Trained {
    /// The model's dimensions.
    pub(super) fn config(&self) -> &ModelConfig {
        match self {
            Self::Model(whole) => &whole.config,
            Self::Adapter(adapted) => &adapted.base.network().config,
        }
    }

    /// Where the parts of the flat vector lie.
    pub(super) fn layout(&self) -> &Layout {
        match self {
            Self::Model(whole) => &whole.layout,
            Self::Adapter(adapted) => &adapted.adapter.layout,
        }
    }

    /// The version of the model that these weights make.
    pub(super) fn network(&self, machine: &Machine, weights: &[f32]) -> Network {
        match self {
            Self::Model(whole) => {
                let Whole { config, layout, rotary, .. } = &**whole;
                let read = |place: &Range<usize>| Ok::<_, Infallible>(Cow::Borrowed(&weights[place.clone()]));
                let Ok(network) = Network::new((config, layout), read, machine, Arc::clone(rotary));
                network
            }
            Self::Adapter(adapted) => {
                let scale = adapted.adapter.shape().scale();
                adapted.base.network().adapted(&adapted.adapter.layout, (weights, scale))
            }
        }
    }

    /// Writes what a policy is opened from: a model directory, or that of an adapter.
    pub(super) fn write(&self, directory: &Path, dtype: Dtype, weights: &[f32]) -> Result<()> {
        match self {
            Self::Model(_) => self.export(directory, dtype, weights),
            Self::Adapter(adapted) => adapted.adapter.with_weights(weights).write(directory),
        }
    }

    /// Writes a model directory; an adapter is merged into its model.
    pub(super) fn export(&self, directory: &Path, dtype: Dtype, weights: &[f32]) -> Result<()> {
        match self {
            Self::Model(whole) => {
                let Whole { origin, layout, .. } = &**whole;
                let tensor = |name: &str| {
                    let tensor = layout.tensors.iter().find(|tensor| tensor.name == name);
                    let tensor =
                        tensor.ok_or_else(|| LearnerError::Unsupported(format!("no parameter `{name}`")))?;
                    Ok(Cow::Borrowed(&weights[tensor.place.clone()]))
                };
                export(directory, origin, dtype, &tensor)
            }
            Self::Adapter(adapted) => {
                adapted.adapter.with_weights(weights).export_merged(&adapted.checkpoint, directory, dtype)
            }
        }
    }
}
