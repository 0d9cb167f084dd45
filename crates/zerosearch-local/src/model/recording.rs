//! A recording: what a layer's forward pass leaves for its backward pass.

use super::Network;
use super::config::ModelConfig;
use super::forward::{Attended, Batch, FedForward};
use super::projection::Between;
use crate::kernels::{Arithmetic, Buffer, KeyValueBlocks, Stored};

/// What one layer leaves.
pub(crate) struct Recording {
    pub(super) attended: Attended,
    /// The residual stream between attention and feed-forward.
    pub(super) middle: Buffer,
    /// Gates and ups: the largest part by far, so in the arithmetic's own numbers.
    pub(super) gate_up: Stored,
    /// What lies between the factors on the way to them, and on the way down.
    pub(super) between: [Between; 2],
}

impl Recording {
    /// Computes a layer as sampling does and keeps what it leaves.
    pub(super) fn of(
        network: &Network,
        index: usize,
        stream: &mut [f32],
        batch: &Batch,
        blocks: &mut KeyValueBlocks,
    ) -> Self {
        let machine = &network.machine;
        let attended = network.attend(index, stream, batch, (blocks, 0));
        let middle = machine.keep_copy(stream);
        let FedForward { gate_up, between } = network.feed_forward(index, stream, batch);
        let gate_up = Stored::of(machine.arithmetic, gate_up, machine.kernels());
        Self { attended, middle, gate_up, between }
    }

    /// Bytes for one token of a model, the layer's input included.
    pub(crate) fn bytes_per_token(config: &ModelConfig, arithmetic: Arithmetic) -> usize {
        let queries = config.heads.saturating_mul(config.head_width);
        let fused = queries.saturating_add(2 * config.kv_heads * config.head_width);
        let norms = if config.qk_norm { 2 } else { 1 };
        let floats = (fused * norms).saturating_add(config.heads + queries).saturating_add(2 * config.width);
        4 * floats + arithmetic.bytes() * 2 * config.mlp_width
    }
}
