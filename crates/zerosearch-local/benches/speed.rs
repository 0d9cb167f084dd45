//! Tokens per second of training and sampling at the shape of SmolLM2-135M with random weights.
//!
//! `cargo bench -p zerosearch-local [-- train|sample]` prints one line per case: median of three.

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
    if wanted("sample") {
        for rows in [1, 8, 64] {
            sample(&learner, rows).await;
        }
    }
}

async fn train(learner: &LocalLearner) {
    let (rows, length) = (4, 256);
    let mut times = Vec::new();
    for step in 0..4 {
        let batch: Vec<Example> = (0..rows)
            .map(|index| Example {
                tokens: row(length, step * rows + index),
                weights: (0..length).map(|at| if at == 0 { 0.0 } else { 1.0 }).collect(),
                ..Example::default()
            })
            .collect();
        let normalizer = (rows * (length - 1)) as f64;
        let loss = Loss {
            objective: Objective::CrossEntropy,
            kl: None,
            entropy_bonus: 0.0,
            temperature: 1.0,
            normalizer,
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
    report(&format!("train 4 x 256: {:.0} tokens/s", (rows * length) as f64 / seconds));
}

async fn sample(learner: &LocalLearner, rows: usize) {
    let mut times = Vec::new();
    for salt in 0..3 {
        let policy = learner.policy();
        let start = Instant::now();
        let replies = (0..rows).map(|index| {
            policy.sample(SamplingRequest {
                prompt: row(64, salt * rows + index),
                max_tokens: 64,
                temperature: 1.0,
                top_p: 1.0,
                top_k: 0,
                stop_strings: Vec::new(),
                stop_tokens: Vec::new(),
                seed: index as u64,
            })
        });
        futures::future::try_join_all(replies).await.expect("samples");
        times.push(start.elapsed().as_secs_f64());
    }
    report(&format!("sample {rows} x (64 + 64): {:.0} new tokens/s", (rows * 64) as f64 / median(times)));
}

#[allow(clippy::print_stdout)]
fn report(line: &str) {
    println!("{line}");
}
