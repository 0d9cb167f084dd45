//! What a learner and its policies refuse, and that the rest goes on.

use futures::future::join;
use zerosearch_learner::SamplingRequest;

use super::*;
use crate::kernels::{Arithmetic, BLOCK, Isa, Threads};
use crate::options::PolicyOptions;

/// A token that the tests' prompts contain only where they say so.
const BROKEN: u32 = 77;

fn checkpoint() -> Checkpoint {
    let text = Arc::new(zerosearch_learner::text::tiny_text());
    let config = ModelConfig {
        family: crate::Family::Llama,
        vocabulary: text.vocabulary_size(),
        width: 32,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        head_width: 8,
        mlp_width: 48,
        norm_epsilon: 1e-5,
        rope_theta: 10_000.0,
        rope_scaling: None,
        context_length: 200,
        tied_head: false,
        qkv_bias: false,
        qk_norm: false,
    };
    Checkpoint::random(config, text, 3).unwrap()
}

fn options() -> PolicyOptions {
    PolicyOptions { arithmetic: Arithmetic::F32, ..PolicyOptions::new(Arc::new(Threads::new(2))) }
}

fn learner() -> LocalLearner {
    LocalLearner::open(&checkpoint(), LearnerOptions::new(options())).unwrap()
}

fn greedy(prompt: &[u32], max_tokens: usize) -> SamplingRequest {
    SamplingRequest {
        prompt: prompt.to_vec(),
        max_tokens,
        temperature: 0.0,
        top_p: 1.0,
        top_k: 0,
        stop_strings: Vec::new(),
        stop_tokens: Vec::new(),
        seed: 0,
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap().block_on(future)
}

#[test]
fn a_row_whose_numbers_are_not_finite_is_refused_and_its_neighbours_go_on() {
    let learner = learner();
    let rows = [vec![1, 2, 3, 4], vec![1, 2, BROKEN, 4], vec![5, 6, 7]];
    let whole = [rows[0].clone(), rows[2].clone()];
    let before = run(learner.policy().sample(greedy(&rows[0], 6))).unwrap();
    let scores = run(learner.policy().score(&whole, 1.0)).unwrap();
    assert!(!before.tokens.contains(&BROKEN), "the fixture has to be drawn again");
    let width = learner.inner.config.width;
    let embedding = learner.inner.layout.embedding.start + BROKEN as usize * width;
    learner.inner.training().state.weights[embedding..][..width].fill(f32::NAN);
    learner.inner.training().network = None;

    let policy = learner.policy();
    let (good, bad) = run(join(policy.sample(greedy(&rows[0], 6)), policy.sample(greedy(&rows[1], 6))));
    assert_eq!(good.unwrap(), before);
    let problem = bad.unwrap_err().to_string();
    assert!(problem.contains("token 0 of the reply to a prompt of 4 tokens"), "{problem}");
    let problem = run(policy.score(&rows, 1.0)).unwrap_err().to_string();
    assert!(problem.contains("token 3 of row 1"), "{problem}");
    assert_eq!(run(policy.score(&whole, 1.0)).unwrap(), scores);
    let loss = Loss {
        objective: zerosearch_learner::Objective::CrossEntropy,
        kl: None,
        entropy_bonus: 0.0,
        temperature: 1.0,
        normalizer: 1.0,
    };
    let example =
        Example { tokens: rows[1].clone(), weights: vec![0.0, 0.0, 0.0, 1.0], ..Example::default() };
    let refused = run(Learner::accumulate(&learner, &[example], &loss));
    assert!(matches!(refused, Err(LearnerError::NotFinite(_))));
}

/// By hand: a block of 16 tokens has 2 layers * 2 heads * (8 * 16 keys + 16 * 16 padded values) * 4 bytes = 6,144 bytes.
#[test]
fn the_cache_is_a_limit() {
    let with = |context_length, blocks: usize| {
        let cache_bytes = blocks * 6144;
        LocalPolicy::open(&checkpoint(), PolicyOptions { context_length, cache_bytes, ..options() })
    };
    assert_eq!(with(0, 13).unwrap().context_length(), 200);
    assert_eq!(with(100, 7).unwrap().context_length(), 100);
    let problem = with(100, 6).map(|_| ()).unwrap_err().to_string();
    assert!(
        problem.contains("one row of 100 tokens") && problem.contains("shorten the context"),
        "{problem}"
    );
    assert!(with(0, 0).is_err());

    let bounded = with(0, 3).unwrap();
    assert_eq!(bounded.context_length(), 3 * BLOCK);
    let reply = run(bounded.sample(greedy(&[1; 40], 100))).unwrap();
    assert_eq!(reply.tokens.len(), 8, "as many as there is room for");
    let long = run(bounded.sample(greedy(&[1; 49], 1)));
    assert!(matches!(long, Err(LearnerError::TooLong { length: 49, context_length: 48 })));
}

#[test]
fn instructions_that_this_machine_lacks_are_refused() {
    for isa in Isa::ALL {
        let policy = LocalPolicy::open(&checkpoint(), PolicyOptions { isa, ..options() });
        let policy_options = PolicyOptions { isa, ..options() };
        let learner = LocalLearner::open(&checkpoint(), LearnerOptions::new(policy_options));
        assert_eq!((policy.is_ok(), learner.is_ok()), (isa.available(), isa.available()), "{isa}");
    }
}

#[test]
fn memory_counts_do_not_wrap() {
    let mut config = checkpoint().config;
    (config.width, config.vocabulary, config.layers) = (1 << 30, 1 << 30, 1 << 12);
    let options = LearnerOptions { activation_bytes: usize::MAX, ..LearnerOptions::new(options()) };
    assert_eq!(LocalLearner::memory(&config, &options), usize::MAX);
    assert!(LocalPolicy::memory(&config, &options.policy) > 1 << 60);
}

/// A step that overtakes its gradients is refused: there would be nothing to step with.
#[test]
fn calls_are_carried_out_in_the_order_in_which_they_came() {
    let learner = learner();
    let loss = Loss {
        objective: zerosearch_learner::Objective::CrossEntropy,
        kl: None,
        entropy_bonus: 0.0,
        temperature: 1.0,
        normalizer: 1.0,
    };
    let examples = [Example { tokens: vec![1, 2, 3], weights: vec![0.0, 1.0, 1.0], ..Example::default() }];
    let adam = Adam::default();
    for step in 1..=20 {
        let (gathered, stepped) =
            run(join(Learner::accumulate(&learner, &examples, &loss), Learner::step(&learner, &adam)));
        assert_eq!(gathered.unwrap().weight, 2.0);
        assert_eq!(stepped.unwrap().step, step);
    }
}
