//! Sampling: many rows at once, prompts included, and decoding alone.

use anyhow::Result;
use futures::future::try_join_all;
use serde::Serialize;
use zerosearch_learner::seed::Seed;
use zerosearch_learner::{Policy, SamplingRequest, TokenId};
use zerosearch_local::measure::read_bandwidth;
use zerosearch_local::{Isa, LocalPolicy};

use super::rows::tokens;
use super::subject::{About, Subject};
use super::times::{Rounds, peak_gib, timed};

/// What is sampled.
#[derive(Clone, Copy, Debug)]
pub struct Sampling {
    /// Rows at once.
    pub rows: usize,
    /// Tokens of each prompt.
    pub prompt: usize,
    /// New tokens of each row, at least 2.
    pub tokens: usize,
    /// How often it is measured.
    pub repeats: usize,
}

/// What sampling reaches.
#[derive(Debug, Serialize)]
pub struct SampleFigures {
    #[serde(flatten)]
    about: About,
    rows: usize,
    prompt: usize,
    tokens: usize,
    repeats: usize,
    /// New tokens over all seconds, prompts included.
    tokens_per_second: f64,
    seconds: f64,
    /// The same rows with one new token each.
    prefill_seconds: f64,
    prefill_tokens_per_second: f64,
    /// New tokens but each row's first, over the seconds less those of the prefill.
    decode_tokens_per_second: f64,
    /// Seconds of one decoded token, for all rows together.
    decode_step_seconds: f64,
    /// The most memory that the process has held at once.
    peak_memory_gib: Option<f64>,
    /// For one row: the bytes of the weights over those that all threads could have read in such a step.
    #[serde(skip_serializing_if = "Option::is_none")]
    share_of_read_bandwidth: Option<f64>,
}

/// Measures `sampling`. Every round has new prompts and an empty cache.
pub async fn sample(subject: &Subject<LocalPolicy>, sampling: Sampling) -> Result<SampleFigures> {
    let Sampling { rows, prompt, tokens, repeats } = sampling;
    let mut rounds = Rounds::<2>::default();
    for round in Rounds::<2>::numbers(repeats) {
        let prompts = prompts(subject, sampling, round);
        let (replies, prefill) = timed(replies(&subject.model.anew(), &prompts, 1)).await;
        replies?;
        let (replies, whole) = timed(self::replies(&subject.model.anew(), &prompts, tokens)).await;
        replies?;
        rounds.push([whole, prefill]);
    }
    let [seconds, prefill_seconds] = rounds.medians();
    let step = (seconds - prefill_seconds) / (tokens - 1) as f64;
    Ok(SampleFigures {
        about: subject.about.clone(),
        rows,
        prompt,
        tokens,
        repeats,
        tokens_per_second: (rows * tokens) as f64 / seconds,
        seconds,
        prefill_seconds,
        prefill_tokens_per_second: (rows * prompt) as f64 / prefill_seconds,
        decode_tokens_per_second: rows as f64 / step,
        decode_step_seconds: step,
        peak_memory_gib: peak_gib(),
        share_of_read_bandwidth: (rows == 1).then(|| share_of_read_bandwidth(subject, step)),
    })
}

fn share_of_read_bandwidth(subject: &Subject<LocalPolicy>, step: f64) -> f64 {
    let bandwidth = read_bandwidth(&subject.threads, Isa::detect());
    subject.model.weight_bytes() as f64 / step / bandwidth
}

/// As many prompts as are asked for, others each round.
pub(super) fn prompts<M>(subject: &Subject<M>, sampling: Sampling, round: u64) -> Vec<Vec<TokenId>> {
    let seed = Seed::run(round).purpose("prompt");
    let prompt = |row| tokens(seed.index(row as u64), sampling.prompt, subject.config.vocabulary);
    (0..sampling.rows).map(prompt).collect()
}

/// Continues all prompts at once by exactly `tokens` tokens each.
pub(super) async fn replies(policy: &LocalPolicy, prompts: &[Vec<TokenId>], tokens: usize) -> Result<()> {
    let reply = |(row, prompt): (usize, &Vec<TokenId>)| policy.sample(request(prompt, tokens, row as u64));
    let replies = try_join_all(prompts.iter().enumerate().map(reply)).await?;
    assert!(replies.iter().all(|reply| reply.tokens.len() == tokens), "a reply ended early");
    Ok(())
}

/// A request that nothing but the number of tokens ends.
pub(super) fn request(prompt: &[TokenId], tokens: usize, seed: u64) -> SamplingRequest {
    SamplingRequest::of_length(prompt.to_vec(), tokens, seed)
}
