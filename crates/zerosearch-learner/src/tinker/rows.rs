//! Rows: training examples as a server takes them, and what its log-probabilities say about the loss.
//!
//! Weights and normaliser are folded into the numbers that multiply a token's loss, and so is what a server's own average would
//! divide by: the gradient is that of [`Loss`] everywhere. What a server has no loss for is taught by its slope: with
//! `importance_sampling`, the current log-probabilities as those of the sampler (the ratio is 1) and `-dL/dlp` as advantages.

use std::collections::BTreeMap;

use super::quirks::{Quirks, Reduction};
use super::wire::{Datum, ForwardBackwardInput, ModelInput, Tensor};
use crate::objective::{Facts, token_loss};
use crate::{Example, ExampleReport, KlPenalty, LearnerError, Loss, LossReport, Objective, Result};

/// The most rows of one request, and its most bytes: what the protocol's own client keeps to.
const MOST_ROWS: usize = 1024;
const MOST_BYTES: usize = 5_000_000;

/// A loss as one server computes it.
pub(super) struct Teacher<'a> {
    pub(super) loss: &'a Loss,
    pub(super) quirks: &'a Quirks,
}

impl Teacher<'_> {
    /// Whether the server's own losses give this one. Where not, the log-probabilities are asked for first.
    pub(super) fn is_native(&self, batch: &[Example]) -> bool {
        let of_one_sign = || batch.iter().flat_map(|row| &row.weights).all(|weight| *weight >= 0.0);
        match (self.loss.kl, self.loss.objective) {
            (Some(KlPenalty { .. }), _) => false,
            (None, Objective::CrossEntropy) => self.quirks.reduction == Reduction::Sum,
            (None, Objective::ImportanceSampling) => true,
            (None, Objective::ClippedSurrogate { .. }) => of_one_sign(),
        }
    }

    /// A request that teaches `rows` by the server's own loss.
    pub(super) fn native(&self, rows: &[Example]) -> ForwardBackwardInput {
        let (loss_fn, config) = match self.loss.objective {
            Objective::CrossEntropy => return self.cross_entropy(rows),
            Objective::ImportanceSampling => ("importance_sampling", None),
            Objective::ClippedSurrogate { low, high } => ("ppo", Some((low, high))),
        };
        let datum = |row: &Example| {
            let scale = self.scale(row);
            let advantage = |at: usize| row.advantages[at] as f64 * f64::from(row.weights[at]) * scale;
            policy_gradient(row, advantage, |at| row.old_logprobs[at])
        };
        let config = config.map(|(low, high)| {
            let bounds = [("clip_low_threshold", 1.0 - low), ("clip_high_threshold", 1.0 + high)];
            bounds.map(|(name, bound)| (name.to_owned(), f64::from(bound))).into()
        });
        input(loss_fn, config, rows.iter().map(datum).collect())
    }

    fn cross_entropy(&self, rows: &[Example]) -> ForwardBackwardInput {
        let datum = |row: &Example| {
            let scale = self.scale(row);
            let weights = targets(row).map(|at| (f64::from(row.weights[at]) * scale) as f32).collect();
            datum(row, [("weights", Tensor::Floats(weights))])
        };
        input("cross_entropy", None, rows.iter().map(datum).collect())
    }

    /// A request that teaches `rows`, whose log-probabilities are `now`, by the slope of the loss.
    pub(super) fn by_slope(&self, rows: &[Example], now: &[ExampleReport]) -> ForwardBackwardInput {
        let datum = |(row, now): (&Example, &ExampleReport)| {
            let scale = self.scale(row);
            let advantage = |at: usize| {
                let slope = token_loss(self.loss, Facts::of(row, at, now.logprobs[at])).slope;
                -slope * f64::from(row.weights[at]) * scale
            };
            policy_gradient(row, advantage, |at| now.logprobs[at])
        };
        input("importance_sampling", None, rows.iter().zip(now).map(datum).collect())
    }

    /// What a token's number is multiplied by, so that the server's sum or average becomes the loss's.
    fn scale(&self, row: &Example) -> f64 {
        let divided = match self.quirks.reduction {
            Reduction::Sum => 1.0,
            Reduction::MeanOfRows => (self.loss.rows * targets(row).len()) as f64,
        };
        divided / self.loss.normalizer
    }

    /// What the loss is, by its formula, where the tokens of `rows` have the log-probabilities `now`.
    pub(super) fn report(&self, rows: &[Example], now: Vec<ExampleReport>) -> Result<LossReport> {
        let mut report = LossReport::default();
        for (row, now) in rows.iter().zip(&now) {
            for (at, weight) in row.weights.iter().enumerate().filter(|(_, weight)| **weight != 0.0) {
                let (token, weight) =
                    (token_loss(self.loss, Facts::of(row, at, now.logprobs[at])), f64::from(*weight));
                report.loss += weight * token.value;
                report.weight += weight;
                report.kl += weight * token.kl;
                report.clipped += if token.clipped { weight } else { 0.0 };
            }
        }
        report.loss /= self.loss.normalizer;
        report.examples = now;
        if report.loss.is_finite() {
            return Ok(report);
        }
        Err(LearnerError::NotFinite(format!("the loss is {}", report.loss)))
    }
}

/// A request that only asks for the log-probabilities of `rows`.
pub(super) fn question(rows: &[Example]) -> ForwardBackwardInput {
    let datum = |row: &Example| {
        let weights = vec![1.0; targets(row).len()];
        datum(row, [("weights", Tensor::Floats(weights))])
    };
    input("cross_entropy", None, rows.iter().map(datum).collect())
}

/// The log-probabilities of `rows` that an answer holds; 0 where there is no weight.
pub(super) fn logprobs(
    rows: &[Example],
    outputs: &[BTreeMap<String, Tensor>],
) -> Result<Vec<ExampleReport>, String> {
    if outputs.len() != rows.len() {
        return Err(format!("it speaks of {} rows, {} were sent", outputs.len(), rows.len()));
    }
    rows.iter().zip(outputs).map(|(row, output)| logprobs_of(row, output)).collect()
}

fn logprobs_of(row: &Example, output: &BTreeMap<String, Tensor>) -> Result<ExampleReport, String> {
    let told = output.get("logprobs").ok_or("a row has no `logprobs`")?.to_floats();
    let wanted = targets(row);
    if told.len() != wanted.len() {
        return Err(format!(
            "a row has {} log-probabilities, it has {} tokens to predict",
            told.len(),
            wanted.len()
        ));
    }
    let mut logprobs = vec![0.0; row.tokens.len()];
    for (at, logprob) in wanted.zip(told) {
        if at < row.tokens.len() && row.weights[at] != 0.0 {
            if !logprob.is_finite() {
                return Err(format!("the log-probability of token {at} of a row is {logprob}"));
            }
            logprobs[at] = logprob;
        }
    }
    Ok(ExampleReport { logprobs })
}

/// Cuts `rows` into requests that are small enough, in order.
pub(super) fn requests<'a>(rows: &'a [Example], quirks: &Quirks) -> Vec<&'a [Example]> {
    // A token has an id, its target's, and two numbers.
    let bytes_per_token = match quirks.wire {
        super::Wire::Protobuf => 20,
        super::Wire::Json => 50,
    };
    let bytes = |row: &Example| 100 + bytes_per_token * row.tokens.len();
    let (mut requests, mut start, mut size) = (Vec::new(), 0, 0);
    for (at, row) in rows.iter().enumerate() {
        if at > start && (at - start == MOST_ROWS || size + bytes(row) > MOST_BYTES) {
            requests.push(&rows[start..at]);
            (start, size) = (at, 0);
        }
        size += bytes(row);
    }
    if start < rows.len() {
        requests.push(&rows[start..]);
    }
    requests
}

/// The tokens that are predicted. A row of one has none: its token is asked for after itself, and has no weight.
fn targets(row: &Example) -> std::ops::Range<usize> {
    1..row.tokens.len().max(2)
}

fn policy_gradient(row: &Example, advantage: impl Fn(usize) -> f64, old: impl Fn(usize) -> f32) -> Datum {
    let counts = |at: &usize| row.weights.get(*at).is_some_and(|weight| *weight != 0.0);
    let advantages = targets(row).map(|at| if counts(&at) { advantage(at) as f32 } else { 0.0 }).collect();
    let old = targets(row).map(|at| if counts(&at) { old(at) } else { 0.0 }).collect();
    datum(row, [("advantages", Tensor::Floats(advantages)), ("logprobs", Tensor::Floats(old))])
}

fn datum<const N: usize>(row: &Example, tensors: [(&str, Tensor); N]) -> Datum {
    let tokens = || row.tokens.iter().map(|&token| i64::from(token));
    let read = row.tokens.len().max(2) - 1;
    let predicted = if row.tokens.len() < 2 { tokens().collect() } else { tokens().skip(1).collect() };
    let mut inputs = BTreeMap::from([("target_tokens".to_owned(), Tensor::Integers(predicted))]);
    inputs.extend(tensors.map(|(name, tensor)| (name.to_owned(), tensor)));
    Datum { model_input: ModelInput::of(tokens().take(read)), loss_fn_inputs: inputs }
}

fn input(
    loss_fn: &str,
    loss_fn_config: Option<BTreeMap<String, f64>>,
    data: Vec<Datum>,
) -> ForwardBackwardInput {
    ForwardBackwardInput { loss_fn: loss_fn.to_owned(), loss_fn_config, data }
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
