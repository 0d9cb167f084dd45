//! The backward pass, written out by hand: the gradient of every parameter of a layer from the gradient of its output.

use super::forward::{Attended, Batch, add, scatter};
use super::head::{HeadGradients, Predictions, Slopes, Target};
use super::projection::Between;
use super::{Layout, Network, Recording};
use crate::kernels::{
    AttentionGradients, Buffer, KeyValueBlocks, attention_backward, rms_norm_backward, swiglu_backward,
};

/// What one backward pass works with.
pub(crate) struct Pass<'a> {
    pub(crate) network: &'a Network,
    /// Where the gradients of what trains lie.
    pub(crate) layout: &'a Layout,
    pub(crate) batch: &'a Batch,
    /// Room for one layer's keys and values of the whole batch.
    pub(crate) blocks: &'a mut KeyValueBlocks,
    /// How many layers, from the last on, keep what they leave; the others are computed again. The bits are the same.
    pub(crate) keep: usize,
}

impl Pass<'_> {
    /// Forward through everything, the loss, and back: adds the gradient of each parameter that has a place to `gradients`
    /// (laid out by the layout) and returns what the head says about the targets.
    pub(crate) fn run(
        &mut self,
        targets: (&[Target], f32),
        slopes: &mut dyn FnMut(usize, Predictions) -> Slopes,
        gradients: &mut [f32],
    ) -> Vec<Predictions> {
        let network = self.network;
        let mut stream = network.embed(&self.batch.tokens);
        let mut inputs = Vec::with_capacity(network.layers.len());
        let mut recordings = Vec::with_capacity(network.layers.len());
        for layer in 0..network.layers.len() {
            inputs.push(network.machine.keep_copy(&stream));
            recordings.push(if layer + self.keep >= network.layers.len() {
                Some(Recording::of(network, layer, &mut stream, self.batch, self.blocks))
            } else {
                network.layer(layer, &mut stream, self.batch, (self.blocks, 0));
                None
            });
        }
        let mut gradient = network.machine.zeroed(stream.len());
        let mut norm_gradient = vec![0.0; network.config.width];
        let predictions = network.predictions_and_gradients(
            &stream,
            targets,
            slopes,
            &mut HeadGradients {
                head: (&network.head.turned(&network.machine), &self.layout.head),
                all: gradients,
                norm: &mut norm_gradient,
                stream: &mut gradient,
            },
        );
        add(&mut gradients[self.layout.norm.clone()], &norm_gradient);
        for layer in (0..network.layers.len()).rev() {
            let recording = recordings.pop().flatten().unwrap_or_else(|| {
                let mut stream = network.machine.keep_copy(&inputs[layer]);
                Recording::of(network, layer, &mut stream, self.batch, self.blocks)
            });
            self.layer(layer, (&inputs[layer], recording), &mut gradient, gradients);
            inputs.truncate(layer);
        }
        let width = network.config.width;
        let embedding = &mut gradients[self.layout.embedding.clone()];
        if !embedding.is_empty() {
            for (&token, gradient) in self.batch.tokens.iter().zip(gradient.chunks_exact(width)) {
                add(&mut embedding[token as usize * width..][..width], gradient);
            }
        }
        predictions
    }

    /// Replaces the gradient of a layer's output by that of its input.
    fn layer(
        &self,
        index: usize,
        (input, recording): (&[f32], Recording),
        gradient: &mut [f32],
        gradients: &mut [f32],
    ) {
        self.feed_forward(index, &recording, gradient, gradients);
        let attended = recording.attended;
        let fused_gradient = self.attention(index, &attended, gradient, gradients);
        let fused_gradient = self.unturn(index, fused_gradient, attended.unnormalised, gradients);
        self.projections(index, (input, &attended.between[0]), (&fused_gradient, gradient), gradients);
    }

    fn feed_forward(
        &self,
        index: usize,
        Recording { middle, gate_up, between: [up, down], .. }: &Recording,
        gradient: &mut [f32],
        gradients: &mut [f32],
    ) {
        let (network, place) = (self.network, &self.layout.layers[index]);
        let layer = &network.layers[index];
        let machine = &network.machine;
        let down_back = layer.down.turned(machine);
        let activated_gradient = down_back.input_gradient(machine, gradient);
        let mut activated = machine.take(activated_gradient.numbers.len());
        let mut gate_up_gradient = machine.take(2 * activated.len());
        let outs = (&mut *gate_up_gradient, &mut *activated);
        let mlp_width = network.config.mlp_width;
        swiglu_backward(machine.kernels(), gate_up, &activated_gradient.numbers, outs, mlp_width);
        let flow = (&*gradient, &activated_gradient);
        down_back.add_gradients(machine, flow, (&activated, down), (&place.down, gradients));
        let normalised = network.normalised(middle, &layer.middle_norm);
        let gate_up_back = layer.gate_up.turned(machine);
        let normalised_gradient = gate_up_back.input_gradient(machine, &gate_up_gradient);
        let flow = (&*gate_up_gradient, &normalised_gradient);
        gate_up_back.add_gradients(machine, flow, (&normalised, up), (&place.gate_up, gradients));
        rms_norm_backward(
            machine.kernels(),
            (middle, &normalised_gradient.numbers),
            (&layer.middle_norm, network.config.norm_epsilon),
            (gradient, &mut gradients[place.middle_norm.clone()]),
        );
    }

    /// From the gradient of the stream after attention to that of turned queries and keys, and values.
    fn attention(
        &self,
        index: usize,
        Attended { fused, log_sums, out, between: [_, between], .. }: &Attended,
        gradient: &[f32],
        gradients: &mut [f32],
    ) -> Buffer {
        let (network, place) = (self.network, &self.layout.layers[index]);
        let machine = &network.machine;
        let shape = network.shape();
        let output_back = network.layers[index].output.turned(machine);
        let out_gradient = output_back.input_gradient(machine, gradient);
        let flow = (gradient, &out_gradient);
        output_back.add_gradients(machine, flow, (out, between), (&place.output, gradients));
        let mut fused_gradient = machine.take(fused.len());
        attention_backward(
            machine.kernels(),
            shape,
            &self.batch.rows,
            AttentionGradients {
                arithmetic: machine.arithmetic,
                fused,
                log_sums,
                out_gradient: &out_gradient.numbers,
                fused_gradient: &mut fused_gradient,
            },
        );
        fused_gradient
    }

    /// Back through the rotation and the norms of queries and keys.
    fn unturn(
        &self,
        index: usize,
        mut fused_gradient: Buffer,
        unnormalised: Option<[Buffer; 2]>,
        gradients: &mut [f32],
    ) -> Buffer {
        let network = self.network;
        network.turn(&mut fused_gradient, &self.batch.positions, true);
        let Some([query, key]) = unnormalised else {
            return fused_gradient;
        };
        let (layer, place) = (&network.layers[index], &self.layout.layers[index]);
        let fused_width = network.shape().fused_width();
        for (before, columns, norm, place) in [
            (query, network.query_columns(), &layer.query_norm, &place.query_norm),
            (key, network.key_columns(), &layer.key_norm, &place.key_norm),
        ] {
            let after_gradient = network.machine.gather(&fused_gradient, fused_width, columns.clone());
            let mut before_gradient = network.machine.zeroed(before.len());
            rms_norm_backward(
                network.machine.kernels(),
                (&before, &after_gradient),
                (norm, network.config.norm_epsilon),
                (&mut before_gradient, &mut gradients[place.clone()]),
            );
            scatter(&before_gradient, &mut fused_gradient, fused_width, columns);
        }
        fused_gradient
    }

    fn projections(
        &self,
        index: usize,
        (input, between): (&[f32], &Between),
        (fused_gradient, gradient): (&[f32], &mut [f32]),
        gradients: &mut [f32],
    ) {
        let (network, place) = (self.network, &self.layout.layers[index]);
        let layer = &network.layers[index];
        let machine = &network.machine;
        for row in fused_gradient.chunks_exact(network.shape().fused_width()) {
            add(&mut gradients[place.fused_bias.clone()], row);
        }
        let normalised = network.normalised(input, &layer.input_norm);
        let fused_back = layer.fused.turned(machine);
        let normalised_gradient = fused_back.input_gradient(machine, fused_gradient);
        let flow = (fused_gradient, &normalised_gradient);
        fused_back.add_gradients(machine, flow, (&normalised, between), (&place.fused, gradients));
        rms_norm_backward(
            machine.kernels(),
            (input, &normalised_gradient.numbers),
            (&layer.input_norm, network.config.norm_epsilon),
            (gradient, &mut gradients[place.input_norm.clone()]),
        );
    }
}
