//! One step of training: forward, backward, AdamW, packing.

use anyhow::Result;
use serde::Serialize;
use zerosearch_learner::{Adam, Example, Learner, Loss, Objective};
use zerosearch_local::LocalLearner;

use super::subject::{About, Subject};
use super::times::{Rounds, peak_gib, timed};

/// What a training step reaches.
#[derive(Debug, Serialize)]
pub struct TrainFigures {
    #[serde(flatten)]
    about: About,
    rows: usize,
    /// Tokens of all rows, trained or not.
    tokens: usize,
    trained_tokens: usize,
    repeats: usize,
    /// All tokens over all seconds.
    tokens_per_second: f64,
    /// The whole step, from the rows to weights that can be sampled from and trained again.
    seconds: f64,
    /// Forward and backward, activations laid out for the kernels included.
    gradient_seconds: f64,
    optimizer_seconds: f64,
    /// The new weights laid out for the kernels (for the way back that is part of the gradients).
    packing_seconds: f64,
    /// The most memory that the process has held at once.
    peak_memory_gib: Option<f64>,
}

/// Measures steps on what `batch` gives for each round.
pub async fn train(
    subject: &Subject<LocalLearner>,
    objective: Objective,
    repeats: usize,
    batch: impl Fn(u64) -> Vec<Example>,
) -> Result<TrainFigures> {
    let learner = &subject.model;
    learner.pack().await?;
    let (mut tokens, mut trained_tokens, mut rows) = (0, 0, 0);
    let mut rounds = Rounds::<4>::default();
    for round in Rounds::<4>::numbers(repeats) {
        let batch = batch(round);
        let loss = Loss::mean(objective, &batch);
        rows = batch.len();
        tokens = batch.iter().map(|row| row.tokens.len()).sum();
        trained_tokens = loss.normalizer as usize;
        let (report, gradients) = timed(learner.accumulate(&batch, &loss)).await;
        report?;
        let (report, optimizer) = timed(learner.step(&Adam::default())).await;
        report?;
        let (packed, packing) = timed(learner.pack()).await;
        packed?;
        rounds.push([gradients, optimizer, packing, gradients + optimizer + packing]);
    }
    let [gradient_seconds, optimizer_seconds, packing_seconds, seconds] = rounds.medians();
    Ok(TrainFigures {
        about: subject.about.clone(),
        rows,
        tokens,
        trained_tokens,
        repeats,
        tokens_per_second: tokens as f64 / seconds,
        seconds,
        gradient_seconds,
        optimizer_seconds,
        packing_seconds,
        peak_memory_gib: peak_gib(),
    })
}
