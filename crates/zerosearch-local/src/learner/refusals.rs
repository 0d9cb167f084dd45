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

pub(super) fn greedy(prompt: &[u32], max_tokens: usize) -> SamplingRequest {
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

fn loss() -> Loss {
    Loss::sum(zerosearch_learner::Objective::CrossEntropy, 1)
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
    let width = learner.inner.trained.config().width;
    let embedding = learner.inner.trained.layout().embedding.start + BROKEN as usize * width;
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
    let loss = loss();
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

fn teach(learner: &LocalLearner) {
    let examples = [Example { tokens: vec![1, 2, 3], weights: vec![0.0, 1.0, 1.0], ..Example::default() }];
    run(Learner::accumulate(learner, &examples, &loss())).unwrap();
    run(Learner::step(learner, &Adam::default())).unwrap();
}

/// By hand: a safetensors file is the length of its header in 8 bytes, the header as JSON, and the numbers.
#[test]
fn a_damaged_state_is_refused_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("learner.safetensors");
    let learner = learner();
    teach(&learner);
    run(learner.save(folder.path())).unwrap();
    let whole = std::fs::read(&path).unwrap();
    teach(&learner);
    let rows = [vec![1, 2, 3, 4], vec![5, 6, 7]];
    let scores = run(learner.policy().score(&rows, 1.0)).unwrap();

    let header = u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let spelled = String::from_utf8(whole[8..8 + header].to_vec()).unwrap();
    let with_header = |changed: &str| {
        let length = (changed.len() as u64).to_le_bytes();
        [&length[..], changed.as_bytes(), &whole[8 + header..]].concat()
    };
    let total = learner.inner.trained.layout().total();
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x80;
        bytes
    };
    let damages = [
        ("cut in its numbers", whole[..whole.len() - 5].to_vec()),
        ("cut in its header", whole[..8 + header / 2].to_vec()),
        ("empty", Vec::new()),
        (
            "another shape",
            with_header(&spelled.replacen(&format!("[{total}]"), &format!("[2,{}]", total / 2), 1)),
        ),
        ("another type", with_header(&spelled.replacen("F32", "I32", 1))),
        ("a tensor of another name", with_header(&spelled.replacen("second_moment", "second_memory", 1))),
        ("a bit of the header's length", flipped(3)),
        ("a bit of the header", flipped(12)),
    ];
    for (what, bytes) in damages {
        std::fs::write(&path, bytes).unwrap();
        let problem = run(learner.load(folder.path())).expect_err(what).to_string();
        assert!(problem.starts_with(&path.display().to_string()), "{what}: {problem}");
        assert_eq!(run(learner.policy().score(&rows, 1.0)).unwrap(), scores, "{what}");
    }
    std::fs::write(&path, &whole).unwrap();
    run(learner.load(folder.path())).unwrap();
    assert_ne!(run(learner.policy().score(&rows, 1.0)).unwrap(), scores);
}

/// A step that overtakes its gradients is refused: there would be nothing to step with.
#[test]
fn calls_are_carried_out_in_the_order_in_which_they_came() {
    let learner = learner();
    let loss = loss();
    let examples = [Example { tokens: vec![1, 2, 3], weights: vec![0.0, 1.0, 1.0], ..Example::default() }];
    let adam = Adam::default();
    for step in 1..=20 {
        let (gathered, stepped) =
            run(join(Learner::accumulate(&learner, &examples, &loss), Learner::step(&learner, &adam)));
        assert_eq!(gathered.unwrap().weight, 2.0);
        assert_eq!(stepped.unwrap().step, step);
    }
}
