//! Gradients of a batch: rows are cut into micro-batches, packed end to end, and added up in their order.

use zerosearch_learner::{Example, ExampleReport, LearnerError, Loss, LossReport, Result};

use crate::kernels::{BLOCK, KeyValueBlocks};
use crate::loss::{TokenLoss, token_loss};
use crate::model::{Batch, Layout, Network, Pass, Predictions, Recording, Target, Transposed};

/// What an update computes with.
pub(crate) struct Update<'a> {
    pub(crate) network: &'a Network,
    pub(crate) transposed: &'a Transposed,
    pub(crate) layout: &'a Layout,
    pub(crate) micro_batch_tokens: usize,
    pub(crate) activation_bytes: usize,
}

impl Update<'_> {
    /// Adds the gradients of `examples` to `gradients`.
    pub(crate) fn accumulate(
        &self,
        examples: &[Example],
        loss: &Loss,
        gradients: &mut [f32],
    ) -> Result<LossReport> {
        let mut report = LossReport::default();
        for examples in micro_batches(examples, self.micro_batch_tokens) {
            report.absorb(self.micro_batch(examples, loss, gradients)?);
        }
        Ok(report)
    }

    fn micro_batch(&self, examples: &[Example], loss: &Loss, gradients: &mut [f32]) -> Result<LossReport> {
        let (batch, mut blocks) = whole_rows(self.network, examples.iter().map(|it| it.tokens.as_slice()));
        let (targets, places) = targets_of(examples, &batch);
        let mut report = LossReport {
            examples: examples
                .iter()
                .map(|example| ExampleReport { logprobs: vec![0.0; example.tokens.len()] })
                .collect(),
            ..LossReport::default()
        };
        if targets.is_empty() {
            return Ok(report);
        }
        let mut broken = None;
        let mut slopes = |index: usize, prediction: Predictions| {
            let (row, at) = places[index];
            let weight = f64::from(examples[row].weights[at]);
            let token = token_loss(loss, &examples[row], at, prediction.logprob);
            note(&mut report, loss, (row, at), (weight, token, prediction));
            let scale = weight / loss.normalizer;
            let slope = (token.slope * scale) as f32;
            if !(slope.is_finite() && token.value.is_finite()) && broken.is_none() {
                broken = Some((row, at, prediction.logprob));
            }
            (slope, (-f64::from(loss.entropy_bonus) * scale) as f32)
        };
        let per_token = Recording::bytes_per_token(self.network) * self.network.config.layers;
        let mut pass = Pass {
            network: self.network,
            transposed: self.transposed,
            layout: self.layout,
            batch: &batch,
            blocks: &mut blocks,
            keep: batch.tokens.len() * per_token <= self.activation_bytes,
        };
        pass.run((&targets, loss.temperature), &mut slopes, gradients);
        match broken {
            Some((row, at, logprob)) => Err(LearnerError::NotFinite(format!(
                "the loss of token {at} of row {row} of a micro-batch is not finite (log-probability {logprob}); the \
                 gathered gradients are dropped"
            ))),
            None => Ok(report),
        }
    }
}

fn note(
    report: &mut LossReport,
    loss: &Loss,
    (row, at): (usize, usize),
    (weight, token, prediction): (f64, TokenLoss, Predictions),
) {
    let entropy = f64::from(prediction.entropy);
    report.loss += weight * (token.value - f64::from(loss.entropy_bonus) * entropy) / loss.normalizer;
    report.weight += weight;
    report.entropy += weight * entropy;
    report.kl += weight * token.kl;
    report.clipped += if token.clipped { weight } else { 0.0 };
    report.examples[row].logprobs[at] = prediction.logprob;
}

/// Consecutive rows of at most `tokens` together; a longer row stays alone.
fn micro_batches(examples: &[Example], tokens: usize) -> Vec<&[Example]> {
    let mut batches = Vec::new();
    let mut start = 0;
    let mut size = 0;
    for (index, example) in examples.iter().enumerate() {
        if size + example.tokens.len() > tokens && index > start {
            batches.push(&examples[start..index]);
            (start, size) = (index, 0);
        }
        size += example.tokens.len();
    }
    if start < examples.len() {
        batches.push(&examples[start..]);
    }
    batches
}

/// Whole rows as a batch, and blocks for one layer's keys and values of them.
pub(crate) fn whole_rows<'a>(
    network: &Network,
    rows: impl Iterator<Item = &'a [u32]>,
) -> (Batch, KeyValueBlocks) {
    let mut batch = Batch::default();
    let used = rows.fold(0, |used, row| batch.push_whole(row, used));
    let config = &network.config;
    let mut blocks = KeyValueBlocks::new(network.machine.arithmetic, [1, config.kv_heads, config.head_width]);
    blocks.grow(used);
    debug_assert!(used * BLOCK >= batch.tokens.len());
    (batch, blocks)
}

/// The tokens that have a weight, as targets and as (row, token).
fn targets_of(examples: &[Example], batch: &Batch) -> (Vec<Target>, Vec<(usize, usize)>) {
    let mut targets = Vec::new();
    let mut places = Vec::new();
    for (row, example) in examples.iter().enumerate() {
        for (at, _) in example.weights.iter().enumerate().filter(|(_, weight)| **weight != 0.0) {
            let from = batch.rows[row].first_token + at - 1;
            targets.push(Target { from, token: example.tokens[at] });
            places.push((row, at));
        }
    }
    (targets, places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn micro_batches_keep_the_order_and_the_limit() {
        let row = |length| Example { tokens: vec![0; length], ..Example::default() };
        let rows = [row(3), row(4), row(4), row(20), row(1)];
        let sizes: Vec<Vec<usize>> = micro_batches(&rows, 8)
            .into_iter()
            .map(|batch| batch.iter().map(|row| row.tokens.len()).collect())
            .collect();
        assert_eq!(sizes, [vec![3, 4], vec![4], vec![20], vec![1]]);
        assert!(micro_batches(&[], 8).is_empty());
    }
}
