//! A pair: policy and simulator that sample at once, as two adapters over one model and as two models.

use anyhow::Result;
use futures::future::try_join;
use serde::Serialize;
use zerosearch_local::LocalPolicy;

use super::sample::{Sampling, prompts, replies};
use super::subject::{About, Subject};
use super::times::{Rounds, median, peak_gib, timed};

/// What both ways reach.
#[derive(Debug, Serialize)]
pub struct PairFigures {
    #[serde(flatten)]
    about: About,
    /// Rows of each of the two.
    rows: usize,
    prompt: usize,
    tokens: usize,
    repeats: usize,
    /// New tokens of both over all seconds, prompts included: adapters over one model.
    tokens_per_second: f64,
    seconds: f64,
    /// Bytes of the model's packed matrices and of both adapters' factors.
    weight_gib: f64,
    /// The same of two models.
    two_models_tokens_per_second: f64,
    two_models_seconds: f64,
    two_models_weight_gib: f64,
    /// Bytes of the keys and values of all rows, the same for both.
    key_value_gib: f64,
    share_of_weight_memory: f64,
    /// The median of the rounds' ratios of seconds.
    times_faster: f64,
    /// The most memory that the process has held at once: three models.
    peak_memory_gib: Option<f64>,
}

/// Measures `sampling` for each of two, both ways in turns. Every round has new prompts and empty caches.
pub async fn pair(subject: &Subject<[[LocalPolicy; 2]; 2]>, sampling: Sampling) -> Result<PairFigures> {
    let Sampling { rows, prompt, tokens, repeats } = sampling;
    let [over_one, apart] = &subject.model;
    let (mut rounds, mut ratios) = (Rounds::<2>::default(), Vec::new());
    for round in Rounds::<2>::numbers(repeats) {
        let mut seconds = [0.0; 2];
        for (pair, seconds) in [over_one, apart].into_iter().zip(&mut seconds) {
            let both = [0, 1].map(|of| prompts(subject, sampling, 2 * round + of));
            let [one, other] = pair.each_ref().map(LocalPolicy::anew);
            let work = try_join(replies(&one, &both[0], tokens), replies(&other, &both[1], tokens));
            let (done, taken) = timed(work).await;
            done?;
            *seconds = taken;
        }
        ratios.extend((round > 0).then_some(seconds[1] / seconds[0]));
        rounds.push(seconds);
    }
    let [seconds, two_models_seconds] = rounds.medians();
    let weights = pair_bytes(over_one, &apart[0]);
    let two_models = apart[0].weight_bytes() + apart[1].weight_bytes();
    let gib = |bytes: usize| bytes as f64 / f64::from(1 << 30);
    let all = (2 * rows * tokens) as f64;
    Ok(PairFigures {
        about: subject.about.clone(),
        rows,
        prompt,
        tokens,
        repeats,
        tokens_per_second: all / seconds,
        seconds,
        weight_gib: gib(weights),
        two_models_tokens_per_second: all / two_models_seconds,
        two_models_seconds,
        two_models_weight_gib: gib(two_models),
        key_value_gib: gib(2 * rows * (prompt + tokens) * over_one[0].key_value_bytes()),
        share_of_weight_memory: weights as f64 / two_models as f64,
        times_faster: median(ratios),
        peak_memory_gib: peak_gib(),
    })
}

/// Bytes of two adapters over one model, of which `bare` is another copy.
fn pair_bytes(pair: &[LocalPolicy; 2], bare: &LocalPolicy) -> usize {
    pair[0].weight_bytes() + pair[1].weight_bytes() - bare.weight_bytes()
}
