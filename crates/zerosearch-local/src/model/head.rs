//! The language-model head, computed only where a log-probability is wanted and a few positions at a time.

use std::sync::Arc;

use super::Batch;
use super::forward::Share;
use super::layout::ProjectionLayout;
use super::projection::{Between, Turned};
use super::{Machine, Network};
use crate::kernels::{Buffer, LogSoftmax, RowGradient, log_softmax_rows, logits_gradient, rms_norm_backward};

/// Positions whose logits are in memory together.
pub(crate) const LOGITS_AT_ONCE: usize = 256;

/// A token whose log-probability is wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    /// Index in the batch of the token before it, whose output predicts it.
    pub(crate) from: usize,
    /// The token.
    pub(crate) token: u32,
}

/// What the head says about one target.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Predictions {
    /// Its log-probability.
    pub(crate) logprob: f32,
    /// Entropy of the distribution it was taken from, in nats.
    pub(crate) entropy: f32,
}

/// What flows back into the head.
pub(super) struct HeadGradients<'a> {
    /// The head, and where what trains of it lies.
    pub(super) head: (&'a Turned<'a>, &'a ProjectionLayout),
    /// Of all that trains, added to.
    pub(super) all: &'a mut [f32],
    /// Of the last norm, added to.
    pub(super) norm: &'a mut [f32],
    /// Of the last layer's output, `[tokens][width]`, added to.
    pub(super) stream: &'a mut [f32],
}

/// d loss / d log-probability and d loss / d entropy of one target.
pub(crate) type Slopes = (f32, f32);

impl Network {
    /// Logits at `positions` (ascending) of the last layer's output for `batch`, `[positions][vocabulary]`.
    pub(crate) fn logits(&self, stream: &[f32], positions: &[usize], batch: &Batch) -> Buffer {
        let (_, normalised) = self.head_input(stream, positions.iter().copied());
        let before = |token: usize| positions.partition_point(|&position| position < token);
        let share = |Share { tokens, network }: &Share| Share {
            tokens: before(tokens.start)..before(tokens.end),
            network: Arc::clone(network),
        };
        self.through_head(&normalised, &batch.shares.iter().map(share).collect::<Vec<_>>()).0
    }

    /// What the head makes of rows that are normalised, and what lies between its factors.
    fn through_head(&self, normalised: &[f32], shares: &[Share]) -> (Buffer, Between) {
        let mut logits = self.machine.take(normalised.len() / self.config.width * self.config.vocabulary);
        let between = self.project(|it| &it.head, shares, (normalised, (&mut *logits, false)));
        (logits, between)
    }

    /// The log-probability of each target under softmax(logits / temperature).
    pub(crate) fn predictions(
        &self,
        stream: &[f32],
        targets: &[Target],
        temperature: f32,
    ) -> Vec<Predictions> {
        let mut out = Vec::with_capacity(targets.len());
        for targets in targets.chunks(LOGITS_AT_ONCE) {
            let (_, normalised) = self.head_input(stream, targets.iter().map(|target| target.from));
            let (logits, _) = self.through_head(&normalised, &[]);
            let (_, predictions) = predict(&self.machine, &logits, targets, temperature);
            out.extend(predictions);
        }
        out
    }

    /// As [`Network::predictions`]; `slopes` says for each target (by index and prediction) what the loss sends back,
    /// and the gradients are added to `gradients`.
    pub(super) fn predictions_and_gradients(
        &self,
        stream: &[f32],
        (targets, temperature): (&[Target], f32),
        slopes: &mut dyn FnMut(usize, Predictions) -> Slopes,
        gradients: &mut HeadGradients<'_>,
    ) -> Vec<Predictions> {
        let mut out = Vec::with_capacity(targets.len());
        for (chunk, targets) in targets.chunks(LOGITS_AT_ONCE).enumerate() {
            let (rows, normalised) = self.head_input(stream, targets.iter().map(|target| target.from));
            let (mut logits, between) = self.through_head(&normalised, &[]);
            let (sums, predictions) = predict(&self.machine, &logits, targets, temperature);
            let row_gradients: Vec<(LogSoftmax, RowGradient)> = (0..targets.len())
                .map(|index| {
                    let (logprob, entropy) = slopes(chunk * LOGITS_AT_ONCE + index, predictions[index]);
                    let target = targets[index].token as usize;
                    (sums[index], RowGradient { target, logprob, entropy })
                })
                .collect();
            logits_gradient(self.machine.kernels(), &mut logits, 1.0 / temperature, &row_gradients);
            let (head, place) = gradients.head;
            let normalised_gradient = head.input_gradient(&self.machine, &logits);
            let flow = (&*logits, &normalised_gradient);
            head.add_gradients(&self.machine, flow, (&normalised, &between), (place, gradients.all));
            self.norm_gradient((&rows, &normalised_gradient.numbers), targets, gradients);
            out.extend(predictions);
        }
        out
    }

    fn norm_gradient(
        &self,
        (rows, normalised_gradient): (&[f32], &[f32]),
        targets: &[Target],
        gradients: &mut HeadGradients<'_>,
    ) {
        let width = self.config.width;
        let mut row_gradient = self.machine.zeroed(rows.len());
        rms_norm_backward(
            self.machine.kernels(),
            (rows, normalised_gradient),
            (&self.norm, self.config.norm_epsilon),
            (&mut row_gradient, gradients.norm),
        );
        for (target, gradient) in targets.iter().zip(row_gradient.chunks_exact(width)) {
            super::forward::add(&mut gradients.stream[target.from * width..][..width], gradient);
        }
    }

    /// Rows of the last layer's output, as they are and normalised.
    fn head_input(
        &self,
        stream: &[f32],
        positions: impl ExactSizeIterator<Item = usize>,
    ) -> (Buffer, Buffer) {
        let width = self.config.width;
        let mut rows = self.machine.take(positions.len() * width);
        for (row, at) in rows.chunks_exact_mut(width).zip(positions) {
            row.copy_from_slice(&stream[at * width..][..width]);
        }
        let normalised = self.normalised(&rows, &self.norm);
        (rows, normalised)
    }
}

fn predict(
    machine: &Machine,
    logits: &[f32],
    targets: &[Target],
    temperature: f32,
) -> (Vec<LogSoftmax>, Vec<Predictions>) {
    let vocabulary = logits.len() / targets.len();
    let mut sums = vec![LogSoftmax::default(); targets.len()];
    let inverse_temperatures = vec![1.0 / temperature; targets.len()];
    log_softmax_rows(machine.kernels(), logits, &inverse_temperatures, &mut sums);
    let predictions = targets
        .iter()
        .zip(&sums)
        .zip(logits.chunks_exact(vocabulary))
        .map(|((target, sum), logits)| Predictions {
            logprob: sum.logprob(logits[target.token as usize] * (1.0 / temperature)),
            entropy: sum.entropy,
        })
        .collect();
    (sums, predictions)
}
