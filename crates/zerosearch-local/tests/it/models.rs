//! The small models that these tests run, and how they are opened.

use std::path::Path;
use std::sync::Arc;

use rand::RngExt;
use zerosearch_learner::SamplingRequest;
use zerosearch_learner::seed::Seed;
use zerosearch_learner::text::tiny_text;
use zerosearch_local::{
    Adapter, AdapterShape, AdapterTarget, Arithmetic, Checkpoint, Family, Isa, LearnerOptions, Llama3Scaling,
    LocalLearner, ModelConfig, PolicyOptions, Threads,
};

/// One model of each family, with random weights as `transformers` draws them and a tokenizer of 384 entries.
pub(crate) const FIXTURES: [&str; 3] = ["llama-tiny", "qwen2-tiny", "qwen3-tiny"];

/// Both arithmetics.
pub(crate) const ARITHMETICS: [Arithmetic; 2] = [Arithmetic::F32, Arithmetic::Bf16];

/// The instruction sets of this machine, the fastest first.
pub(crate) fn instruction_sets() -> impl Iterator<Item = Isa> {
    Isa::ALL.into_iter().filter(|isa| isa.available())
}

/// One of [`FIXTURES`].
pub(crate) fn fixture(name: &str) -> Checkpoint {
    Checkpoint::open_path(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)).unwrap()
}

/// A model that reads more than a sampler reads in one pass, with odd sizes, an untied head and stretched positions.
pub(crate) fn long_reader() -> Checkpoint {
    let config = ModelConfig {
        family: Family::Llama,
        vocabulary: 271,
        width: 36,
        layers: 2,
        heads: 6,
        kv_heads: 2,
        head_width: 10,
        mlp_width: 50,
        norm_epsilon: 1e-5,
        rope_theta: 10_000.0,
        rope_scaling: Some(Llama3Scaling {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_context: 256,
        }),
        context_length: 3000,
        tied_head: false,
        qkv_bias: false,
        qk_norm: false,
    };
    Checkpoint::random(config, Arc::new(tiny_text()), 5).unwrap()
}

/// Options with small micro-batches, so that a few rows make several.
pub(crate) fn options(arithmetic: Arithmetic, isa: Isa, threads: usize) -> LearnerOptions {
    let policy = PolicyOptions::new(Arc::new(Threads::new(threads)));
    let policy = PolicyOptions { arithmetic, isa, ..policy };
    LearnerOptions { micro_batch_tokens: 300, ..LearnerOptions::new(policy) }
}

/// Bytes of one whole context's keys and values: for each position, layer and key head one key and one value, which is
/// padded to a multiple of 16 numbers.
pub(crate) fn one_context(checkpoint: &Checkpoint, arithmetic: Arithmetic) -> usize {
    let config = &checkpoint.config;
    let numbers =
        config.layers * config.kv_heads * (config.head_width + config.head_width.next_multiple_of(16));
    let bytes = if arithmetic == Arithmetic::Bf16 { 2 } else { 4 };
    config.context_length.next_multiple_of(16) * numbers * bytes
}

/// A new adapter for a model: all projections but the head, so that it can be merged.
pub(crate) fn adapter_inside(checkpoint: &Checkpoint) -> Adapter {
    let shape = AdapterShape { rank: 8, alpha: 16.0, rslora: false, targets: AdapterTarget::LINEAR.to_vec() };
    Adapter::new(checkpoint, "a model", shape, 1).unwrap()
}

/// The adapter that peft made for one of [`FIXTURES`]: it changes what the model says.
pub(crate) fn foreign_adapter(name: &str, checkpoint: &Checkpoint) -> Adapter {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/adapters");
    Adapter::read(&fixtures.join(name), checkpoint, name).unwrap()
}

/// A learner on the fastest instruction set.
pub(crate) fn open(checkpoint: &Checkpoint, arithmetic: Arithmetic, threads: usize) -> LocalLearner {
    LocalLearner::open(checkpoint, options(arithmetic, Isa::detect(), threads)).unwrap()
}

/// Requests with random prompts of the given lengths and changing temperatures (0 among them), cuts and ends.
pub(crate) fn requests(
    vocabulary: usize,
    lengths: std::ops::Range<usize>,
    count: u64,
    seed: u64,
) -> Vec<SamplingRequest> {
    let request = |index: u64| {
        let mut generator = Seed::run(seed).purpose("requests").index(index).generator();
        let length = generator.random_range(lengths.clone());
        SamplingRequest {
            prompt: (0..length).map(|_| generator.random_range(0..vocabulary as u32)).collect(),
            max_tokens: generator.random_range(1..24),
            temperature: [0.7, 1.0, 1.3, 0.0][index as usize % 4],
            top_p: if index.is_multiple_of(5) { 0.9 } else { 1.0 },
            top_k: if index.is_multiple_of(7) { 20 } else { 0 },
            stop_strings: Vec::new(),
            stop_tokens: vec![generator.random_range(0..vocabulary as u32)],
            seed: generator.random(),
        }
    };
    (0..count).map(request).collect()
}
