//! Tokens per second of training and sampling at the shape of SmolLM2-135M with random weights.
//!
//! `cargo bench -p zerosearch-local [-- train|rollout|prefill|sample]` prints one line per case: median of three.

use std::sync::Arc;
use std::time::Instant;

use zerosearch_learner::text::tiny_text;
use zerosearch_learner::{Adam, Example, Learner, Loss, Objective, Policy, SamplingRequest};
use zerosearch_local::{
    Checkpoint, Family, LearnerOptions, LocalLearner, ModelConfig, PolicyOptions, Threads,
};

fn shape() -> ModelConfig {
    ModelConfig {
        family: Family::Llama,
        vocabulary: 49_152,
        width: 576,
        layers: 30,
        heads: 9,
        kv_heads: 3,
        head_width: 64,
        mlp_width: 1536,
        norm_epsilon: 1e-5,
        rope_theta: 100_000.0,
        rope_scaling: None,
        context_length: 2048,
        tied_head: true,
        qkv_bias: false,
        qk_norm: false,
    }
}

fn row(length: usize, salt: usize) -> Vec<u32> {
    (0..length).map(|at| ((at * 7919 + salt * 104_729 + 13) % 49_152) as u32).collect()
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

#[tokio::main]
async fn main() {
    let wanted =
        |name: &str| std::env::args().all(|it| it == name || it.starts_with('-') || it.contains('/'));
    let threads = Arc::new(Threads::new(Threads::available()));
    let checkpoint = Checkpoint::random(shape(), Arc::new(tiny_text()), 1).expect("a valid shape");
    let options = LearnerOptions::new(PolicyOptions::new(threads));
    let learner = LocalLearner::open(&checkpoint, options).expect("it fits");
    if wanted("train") {
        train(&learner).await;
    }
    if wanted("rollout") {
        rollout(&learner).await;
    }
    if wanted("prefill") {
        prefill(&learner).await;
    }
    if wanted("sample") {
        for rows in [1, 8, 64] {
            sample(&learner, rows).await;
        }
    }
}

async fn train(learner: &LocalLearner) {
    let (rows, length) = (4, 256);
    let batch = |step| -> Vec<Example> {
        (0..rows)
            .map(|index| Example {
                tokens: row(length, step * rows + index),
                weights: (0..length).map(|at| if at == 0 { 0.0 } else { 1.0 }).collect(),
                ..Example::default()
            })
            .collect()
    };
    train_on(learner, "train 4 x 256", batch).await;
}

/// Two groups of eight conversations of three turns: a prompt of 150 tokens that the group shares, then documents and what the
/// policy wrote (35 % of all tokens) in turns, 200 to 700 tokens in all.
async fn rollout(learner: &LocalLearner) {
    let conversation = |step: usize, index: usize| {
        let length = 200 + index * 500 / 15;
        let prompt = row(150, 31 * step + index / 8);
        let tokens = [prompt, row(length - 150, 1000 * step + index)].concat();
        let turn = (length - 150).div_ceil(3);
        let written = length * 35 / 300;
        let weight = |at: usize| f32::from(at >= 150 && (at - 150) % turn < written);
        Example { weights: (0..length).map(weight).collect(), tokens, ..Example::default() }
    };
    train_on(learner, "train 16 conversations", |step| (0..16).map(|it| conversation(step, it)).collect())
        .await;
}

async fn train_on(learner: &LocalLearner, case: &str, batch: impl Fn(usize) -> Vec<Example>) {
    let mut times = Vec::new();
    let mut tokens = 0;
    for step in 0..4 {
        let batch = batch(step);
        tokens = batch.iter().map(|example| example.tokens.len()).sum();
        let weights = batch.iter().flat_map(|example| &example.weights);
        let loss = Loss {
            objective: Objective::CrossEntropy,
            kl: None,
            entropy_bonus: 0.0,
            temperature: 1.0,
            normalizer: weights.copied().map(f64::from).sum(),
        };
        let start = Instant::now();
        learner.accumulate(&batch, &loss).await.expect("accumulates");
        let gradients = start.elapsed().as_secs_f64();
        learner.step(&Adam::default()).await.expect("steps");
        learner.snapshot().await.expect("packs");
        times.push(start.elapsed().as_secs_f64());
        report(&format!("  gradients {gradients:.2} s of {:.2} s", times[step]));
    }
    let seconds = median(times.split_off(1));
    report(&format!("{case}: {:.0} tokens/s", tokens as f64 / seconds));
}

/// Sixteen prompts of 512 tokens, of which they share 150.
async fn prefill(learner: &LocalLearner) {
    let rows = 16;
    let mut times = Vec::new();
    for salt in 0..3 {
        let policy = learner.policy();
        let prompt = |index| [row(150, salt), row(512 - 150, 100 * (salt + 1) + index)].concat();
        let start = Instant::now();
        let replies = (0..rows).map(|index| policy.sample(request(prompt(index), 1, index)));
        futures::future::try_join_all(replies).await.expect("samples");
        times.push(start.elapsed().as_secs_f64());
    }
    report(&format!("prefill {rows} x 512: {:.0} tokens/s", (rows * 512) as f64 / median(times)));
}

fn request(prompt: Vec<u32>, max_tokens: usize, seed: usize) -> SamplingRequest {
    SamplingRequest {
        prompt,
        max_tokens,
        temperature: 1.0,
        top_p: 1.0,
        top_k: 0,
        stop_strings: Vec::new(),
        stop_tokens: Vec::new(),
        seed: seed as u64,
    }
}

async fn sample(learner: &LocalLearner, rows: usize) {
    let mut times = Vec::new();
    for salt in 0..3 {
        let policy = learner.policy();
        let start = Instant::now();
        let replies = (0..rows).map(|index| policy.sample(request(row(64, salt * rows + index), 64, index)));
        futures::future::try_join_all(replies).await.expect("samples");
        times.push(start.elapsed().as_secs_f64());
    }
    report(&format!("sample {rows} x (64 + 64): {:.0} new tokens/s", (rows * 64) as f64 / median(times)));
}

#[allow(clippy::print_stdout)]
fn report(line: &str) {
    println!("{line}");
}
