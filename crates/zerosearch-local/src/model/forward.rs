//! The forward pass, from tokens to the last layer's output.

use std::ops::Range;
use std::sync::Arc;

use zerosearch_learner::TokenId;

use super::network::{Layer, Network};
use super::projection::{Between, Projection};
use crate::kernels::{AttentionRow, Buffer, KeyValueBlocks, attention, rms_norm, rotate, swiglu};

/// Tokens to compute together: pieces of any number of rows, end to end, without padding.
#[derive(Clone, Default)]
pub(crate) struct Batch {
    /// The tokens.
    pub(crate) tokens: Vec<TokenId>,
    /// Each token's position in its row.
    pub(crate) positions: Vec<usize>,
    /// Which tokens belong to which row, and where that row's keys and values are.
    pub(crate) rows: Vec<AttentionRow>,
    /// Whose tokens these are, in order, where several versions of the weights that share their matrices compute together;
    /// without any, all are of the network that computes.
    pub(crate) shares: Vec<Share>,
}

/// The tokens of a batch that one version of the weights reads.
#[derive(Clone)]
pub(crate) struct Share {
    pub(crate) tokens: Range<usize>,
    pub(crate) network: Arc<Network>,
}

impl Batch {
    /// Appends the tokens of one row from `first_position` on.
    pub(crate) fn push(&mut self, tokens: &[TokenId], first_position: usize, blocks: Vec<u32>) {
        self.rows.push(AttentionRow {
            first_token: self.tokens.len(),
            tokens: tokens.len(),
            first_position,
            blocks,
        });
        self.tokens.extend_from_slice(tokens);
        self.positions.extend(first_position..first_position + tokens.len());
    }
}

/// What attention leaves for its backward pass.
pub(crate) struct Attended {
    /// Turned queries and keys, and values; keys and values rounded as attention saw them.
    pub(super) fused: Buffer,
    /// Queries and keys before their norms, where there are such norms.
    pub(super) unnormalised: Option<[Buffer; 2]>,
    pub(super) log_sums: Buffer,
    /// What the heads made of the values, `[tokens][heads * head_width]`.
    pub(super) out: Buffer,
    /// What lies between the factors on the way to queries, keys and values, and on the way from the heads.
    pub(super) between: [Between; 2],
}

/// What the feed-forward leaves for its backward pass.
pub(crate) struct FedForward {
    /// Gates and ups, `[tokens][2 * mlp_width]`.
    pub(super) gate_up: Buffer,
    /// What lies between the factors on the way to them, and on the way down.
    pub(super) between: [Between; 2],
}

impl Network {
    /// The embedding of each token, `[tokens][width]`.
    pub(crate) fn embed(&self, tokens: &[TokenId]) -> Buffer {
        let width = self.config.width;
        let mut out = self.machine.take(tokens.len() * width);
        for (row, &token) in out.chunks_exact_mut(width).zip(tokens) {
            self.embedding.column(token as usize, row);
        }
        out
    }

    /// All layers. Keys and values go into `blocks`, which has room for every layer.
    pub(crate) fn forward(&self, batch: &Batch, blocks: &mut KeyValueBlocks) -> Buffer {
        let mut stream = self.embed(&batch.tokens);
        for layer in 0..self.layers.len() {
            self.layer(layer, &mut stream, batch, (blocks, layer));
        }
        stream
    }

    /// One layer: replaces its input by its output. Keys and values go to `slot` of `blocks`.
    pub(crate) fn layer(
        &self,
        index: usize,
        stream: &mut [f32],
        batch: &Batch,
        (blocks, slot): (&mut KeyValueBlocks, usize),
    ) {
        self.attend(index, stream, batch, (blocks, slot));
        self.feed_forward(index, stream, batch);
    }

    /// The first half of a layer: adds what its attention makes of the stream.
    pub(super) fn attend(
        &self,
        index: usize,
        stream: &mut [f32],
        batch: &Batch,
        (blocks, slot): (&mut KeyValueBlocks, usize),
    ) -> Attended {
        let layer = &self.layers[index];
        let machine = &self.machine;
        let normalised = self.normalised(stream, &layer.input_norm);
        let mut fused = machine.keep(batch.tokens.len() * self.shape().fused_width());
        let into = (&*normalised, (&mut *fused, false));
        let into_heads = self.project(|it| &it.layers[index].fused, &batch.shares, into);
        add_bias(&mut fused, &layer.fused_bias);
        let unnormalised = self.normalise_heads(layer, &mut fused);
        self.turn(&mut fused, &batch.positions, false);
        let shape = self.shape();
        blocks.store(&machine.threads, (slot, shape), (&batch.rows, &mut fused));

        let mut out = machine.keep(batch.tokens.len() * shape.heads * shape.head_width);
        let mut log_sums = machine.keep(batch.tokens.len() * shape.heads);
        attention(
            machine.kernels(),
            shape,
            (&batch.rows, &fused),
            (blocks, slot),
            (&mut out, Some(&mut log_sums)),
        );
        let from_heads = self.project(|it| &it.layers[index].output, &batch.shares, (&out, (stream, true)));
        Attended { fused, unnormalised, log_sums, out, between: [into_heads, from_heads] }
    }

    /// The second half: adds what the feed-forward makes of the stream.
    pub(super) fn feed_forward(&self, index: usize, stream: &mut [f32], batch: &Batch) -> FedForward {
        let (layer, machine) = (&self.layers[index], &self.machine);
        let normalised = self.normalised(stream, &layer.middle_norm);
        let mut gate_up = machine.take(batch.tokens.len() * 2 * self.config.mlp_width);
        let into = (&*normalised, (&mut *gate_up, false));
        let up = self.project(|it| &it.layers[index].gate_up, &batch.shares, into);
        let activated = self.activated(&gate_up);
        let down = self.project(|it| &it.layers[index].down, &batch.shares, (&activated, (stream, true)));
        FedForward { gate_up, between: [up, down] }
    }

    /// Puts what `projection` makes of `values` into a vector, or adds it to what that holds: the matrix of all rows, and of each
    /// row what its own version adds. Returns what lies between the factors, where one version computes all.
    pub(super) fn project(
        &self,
        projection: impl Fn(&Self) -> &Projection,
        shares: &[Share],
        (values, (into, accumulate)): (&[f32], (&mut [f32], bool)),
    ) -> Between {
        let own = projection(self);
        let mut versions: Vec<_> =
            shares.iter().map(|Share { tokens, network }| (tokens.clone(), projection(network))).collect();
        if versions.is_empty() {
            versions.push((0..values.len() / own.matrix.inner(), own));
        }
        own.multiply(&self.machine, &versions, values, (into, accumulate))
    }

    pub(super) fn normalised(&self, values: &[f32], weight: &[f32]) -> Buffer {
        let mut out = self.machine.take(values.len());
        rms_norm(self.machine.kernels(), values, (weight, self.config.norm_epsilon), &mut out);
        out
    }

    pub(super) fn activated(&self, gate_up: &[f32]) -> Buffer {
        let mut out = self.machine.take(gate_up.len() / 2);
        swiglu(self.machine.kernels(), gate_up, self.config.mlp_width, &mut out);
        out
    }

    /// Turns queries and keys by their positions, or back.
    pub(super) fn turn(&self, fused: &mut [f32], positions: &[usize], back: bool) {
        let shape = self.shape();
        let heads = shape.heads + shape.kv_heads;
        rotate(self.machine.kernels(), &self.rotary, (fused, shape.fused_width()), (heads, positions), back);
    }

    /// Normalises queries and keys head by head where the model does; returns them as they were.
    fn normalise_heads(&self, layer: &Layer, fused: &mut [f32]) -> Option<[Buffer; 2]> {
        let heads = [(&layer.query_norm, self.query_columns()), (&layer.key_norm, self.key_columns())];
        self.config.qk_norm.then(|| {
            heads.map(|(norm, columns)| {
                let width = self.shape().fused_width();
                let before = self.machine.gather(fused, width, columns.clone());
                scatter(&self.normalised(&before, norm), fused, width, columns);
                before
            })
        })
    }

    pub(super) fn query_columns(&self) -> Range<usize> {
        0..self.config.heads * self.config.head_width
    }

    pub(super) fn key_columns(&self) -> Range<usize> {
        let from = self.config.heads * self.config.head_width;
        from..from + self.config.kv_heads * self.config.head_width
    }
}

/// `to += from`
pub(super) fn add(to: &mut [f32], from: &[f32]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
}

fn add_bias(rows: &mut [f32], bias: &[f32]) {
    if !bias.is_empty() {
        rows.chunks_exact_mut(bias.len()).for_each(|row| add(row, bias));
    }
}

/// Puts columns from [`Machine::gather`](super::Machine::gather) back.
pub(super) fn scatter(from: &[f32], rows: &mut [f32], width: usize, columns: Range<usize>) {
    for (row, from) in rows.chunks_exact_mut(width).zip(from.chunks_exact(columns.len())) {
        row[columns.clone()].copy_from_slice(from);
    }
}
