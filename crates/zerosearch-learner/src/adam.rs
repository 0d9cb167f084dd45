//! The optimizer's numbers and what one step reports.

/// AdamW (arXiv 1711.05101) with bias correction. Weight decay is decoupled: `weight -= lr * weight_decay * weight`.
#[derive(Clone, Debug, PartialEq)]
pub struct Adam {
    /// Learning rate of this step.
    pub learning_rate: f32,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub epsilon: f32,
    /// Decoupled weight decay.
    pub weight_decay: f32,
    /// Whether norms and biases decay too.
    pub decay_all: bool,
    /// Gradients are scaled down so that their norm over all parameters is at most this; `None` for never.
    pub max_grad_norm: Option<f32>,
}

impl Default for Adam {
    fn default() -> Self {
        Self {
            learning_rate: 1e-6,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.01,
            decay_all: false,
            max_grad_norm: Some(1.0),
        }
    }
}

/// What one optimizer step saw.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StepReport {
    /// L2 norm of the gathered gradients before clipping.
    pub grad_norm: f64,
    /// How many steps the weights have seen, this one included.
    pub step: u64,
}
