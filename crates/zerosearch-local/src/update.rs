//! Gradients of a batch: rows are packed into micro-batches, in the order of their tokens, and added up one after another.

use zerosearch_learner::{Example, ExampleReport, LearnerError, Loss, LossReport, Result, TokenId};

use crate::loss::{TokenLoss, token_loss};
use crate::model::{Layout, Network, Pass, Predictions, Recording, Target};
use crate::packed::Packed;

/// What an update computes with.
pub(crate) struct Update<'a> {
    pub(crate) network: &'a Network,
    /// Where the gradients of what trains lie.
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
        let rows: Vec<&[TokenId]> = examples.iter().map(|example| example.tokens.as_slice()).collect();
        let unseen = |row: &&[TokenId]| ExampleReport { logprobs: vec![0.0; row.len()] };
        let mut report = LossReport { examples: rows.iter().map(unseen).collect(), ..LossReport::default() };
        for packed in Packed::all(&rows, self.micro_batch_tokens) {
            self.micro_batch((&packed, examples, loss), &mut report, gradients)?;
        }
        Ok(report)
    }

    fn micro_batch(
        &self,
        (packed, examples, loss): (&Packed, &[Example], &Loss),
        report: &mut LossReport,
        gradients: &mut [f32],
    ) -> Result<()> {
        let (targets, places) = targets_of(examples, packed);
        if targets.is_empty() {
            return Ok(());
        }
        let mut broken = None;
        let mut slopes = |index: usize, prediction: Predictions| {
            let (row, at) = places[index];
            let weight = f64::from(examples[row].weights[at]);
            let token = token_loss(loss, &examples[row], at, prediction.logprob);
            note(report, loss, (row, at), (weight, token, prediction));
            let scale = weight / loss.normalizer;
            let slope = (token.slope * scale) as f32;
            if !(slope.is_finite() && token.value.is_finite()) && broken.is_none() {
                broken = Some((row, at, prediction.logprob));
            }
            (slope, (-f64::from(loss.entropy_bonus) * scale) as f32)
        };
        let _pass = self.network.machine.threads.pass();
        let network = self.network;
        let per_token = Recording::bytes_per_token(&network.config, network.machine.arithmetic);
        let per_layer = per_token * packed.batch.tokens.len();
        let mut pass = Pass {
            network: self.network,
            layout: self.layout,
            batch: &packed.batch,
            blocks: &mut packed.blocks(self.network),
            keep: self.activation_bytes / per_layer,
        };
        pass.run((&targets, loss.temperature), &mut slopes, gradients);
        match broken {
            Some((row, at, logprob)) => Err(LearnerError::NotFinite(format!(
                "the loss of token {at} of row {row} is not finite (log-probability {logprob}); the gathered gradients are \
                 dropped"
            ))),
            None => Ok(()),
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

/// The tokens that have a weight, as targets and as (example, token). Examples that share a token each have a target of
/// their own there.
fn targets_of(examples: &[Example], packed: &Packed) -> (Vec<Target>, Vec<(usize, usize)>) {
    let mut targets = Vec::new();
    let mut places = Vec::new();
    for (index, &(row, _)) in packed.rows.iter().enumerate() {
        let example = &examples[row];
        for (at, _) in example.weights.iter().enumerate().filter(|(_, weight)| **weight != 0.0) {
            targets.push(Target { from: packed.token(index, at - 1), token: example.tokens[at] });
            places.push((row, at));
        }
    }
    (targets, places)
}
