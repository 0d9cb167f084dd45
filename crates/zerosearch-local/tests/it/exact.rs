//! What is trained is what was sampled, and the same run twice is the same run: bit for bit.
//!
//! Expected numbers come from the learner itself, computed another way: alone on one thread, in another batch, by scoring,
//! by training.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use futures::future::{join, join_all};
use zerosearch_learner::{
    Adam, Example, KlEstimator, KlPenalty, Learner, Loss, Objective, Policy, Sample, SamplingRequest, TokenId,
};
use zerosearch_local::{Adapter, Checkpoint, Dtype, Isa, LearnerOptions, LocalLearner, LocalPolicy, Threads};

use crate::models::{
    ARITHMETICS, FIXTURES, adapter_inside, fixture, foreign_adapter, instruction_sets, long_reader,
    one_context, open, options, requests,
};

/// A request and its reply.
type Pair = (SamplingRequest, Sample);

/// The temperature that a reply's log-probabilities belong to.
fn temperature(request: &SamplingRequest) -> f32 {
    if request.temperature == 0.0 { 1.0 } else { request.temperature }
}

/// Log-probabilities as bits: 0 and -0 differ, NaN equals itself.
fn bits(logprobs: &[f32]) -> Vec<u32> {
    logprobs.iter().map(|number| number.to_bits()).collect()
}

async fn together(policy: &dyn Policy, requests: &[SamplingRequest]) -> Vec<Pair> {
    let replies = join_all(requests.iter().map(|request| policy.sample(request.clone()))).await;
    requests.iter().cloned().zip(replies.into_iter().map(Result::unwrap)).collect()
}

/// Each on its own, on one thread, by a sampler that has seen nothing else.
async fn alone(learner: &LocalLearner, requests: &[SamplingRequest]) -> Vec<Pair> {
    let mut pairs = Vec::new();
    for request in requests {
        pairs.push((request.clone(), learner.policy().sample(request.clone()).await.unwrap()));
    }
    pairs
}

/// Fails unless both have the same tokens and bits.
fn assert_same(got: &[Pair], expected: &[Pair], what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (index, (got, expected)) in got.iter().zip(expected).enumerate() {
        assert_eq!(got.1.tokens, expected.1.tokens, "{what}: tokens of reply {index}");
        assert_eq!(got.1.stop, expected.1.stop, "{what}: end of reply {index}");
        assert_eq!(bits(&got.1.logprobs), bits(&expected.1.logprobs), "{what}: reply {index}");
    }
}

fn row(pair: &Pair) -> Vec<TokenId> {
    [&pair.0.prompt[..], &pair.1.tokens].concat()
}

/// The row with its reply as what is trained, on policy.
fn example(pair: &Pair, advantage: f32) -> Example {
    let tokens = row(pair);
    let prompt = pair.0.prompt.len();
    let old_logprobs = [&vec![0.0; prompt][..], &pair.1.logprobs].concat();
    Example {
        weights: (0..tokens.len()).map(|at| f32::from(at >= prompt)).collect(),
        advantages: vec![advantage; tokens.len()],
        reference_logprobs: old_logprobs.iter().map(|logprob| logprob - 0.1).collect(),
        old_logprobs,
        tokens,
    }
}

fn loss(temperature: f32, normalizer: f64) -> Loss {
    Loss {
        objective: Objective::ClippedSurrogate { low: 0.2, high: 0.2 },
        kl: Some(KlPenalty { estimator: KlEstimator::K3, coefficient: 0.01 }),
        entropy_bonus: 0.01,
        temperature,
        normalizer,
        rows: 1,
    }
}

/// Fails unless scoring (all rows in one call, and each alone) and training report the log-probabilities of the replies.
async fn assert_scored_and_trained_alike(learner: &LocalLearner, pairs: &[Pair], what: &str) {
    let mut by_temperature: BTreeMap<u32, Vec<&Pair>> = BTreeMap::new();
    for pair in pairs {
        by_temperature.entry(temperature(&pair.0).to_bits()).or_default().push(pair);
    }
    let policy = learner.policy();
    for (temperature, pairs) in by_temperature {
        let temperature = f32::from_bits(temperature);
        let rows: Vec<Vec<TokenId>> = pairs.iter().map(|pair| row(pair)).collect();
        let scored = policy.score(&rows, temperature).await.unwrap();
        let examples: Vec<Example> = pairs.iter().map(|pair| example(pair, 0.5)).collect();
        let trained = learner.accumulate(&examples, &loss(temperature, 100.0)).await.unwrap();
        for (index, pair) in pairs.iter().enumerate() {
            let (prompt, sampled) = (pair.0.prompt.len(), bits(&pair.1.logprobs));
            assert_eq!(bits(&scored[index][prompt..]), sampled, "{what}: scored row {index}");
            assert_eq!(bits(&trained.examples[index].logprobs[prompt..]), sampled, "{what}: row {index}");
            if index % 8 == 0 {
                let one = policy.score(std::slice::from_ref(&rows[index]), temperature).await.unwrap();
                assert_eq!(bits(&one[0]), bits(&scored[index]), "{what}: row {index} scored alone");
            }
        }
    }
}

#[tokio::test]
async fn a_sampled_tokens_logprob_is_what_scoring_and_training_compute() {
    for name in FIXTURES {
        for arithmetic in ARITHMETICS {
            for (isa, threads) in instruction_sets().zip([3, 2, 1]) {
                let learner = LocalLearner::open(&fixture(name), options(arithmetic, isa, threads)).unwrap();
                let pairs = together(&learner.policy(), &requests(384, 1..90, 41, 1)).await;
                let what = format!("{name} {arithmetic} {isa} on {threads} threads");
                assert_scored_and_trained_alike(&learner, &pairs, &what).await;
            }
        }
    }
}

#[tokio::test]
async fn with_an_adapter_too() {
    for name in FIXTURES {
        for arithmetic in ARITHMETICS {
            let asked = requests(384, 1..90, 12, 21);
            let open = |isa, threads| {
                let adapter = foreign_adapter(name, &fixture(name));
                LocalLearner::open_adapted(fixture(name), adapter, options(arithmetic, isa, threads)).unwrap()
            };
            for (isa, threads) in instruction_sets().zip([3, 2, 1]) {
                let learner = open(isa, threads);
                let pairs = together(&learner.policy(), &asked).await;
                let what = format!("{name} {arithmetic} {isa} on {threads} threads");
                assert_same(&pairs, &alone(&open(isa, 1), &asked).await, &what);
                assert_scored_and_trained_alike(&learner, &pairs, &what).await;
                let adam = Adam { learning_rate: 3e-3, ..Adam::default() };
                learner.step(&adam).await.unwrap();
                let pairs = together(&learner.policy(), &asked).await;
                assert_scored_and_trained_alike(&learner, &pairs, &format!("{what}, a step later")).await;
            }
        }
    }
}

#[tokio::test]
async fn a_reply_does_not_depend_on_its_neighbours_threads_or_memory() {
    for name in FIXTURES {
        for arithmetic in ARITHMETICS {
            let checkpoint = fixture(name);
            let all = requests(384, 1..90, 41, 2);
            let expected = alone(&open(&checkpoint, arithmetic, 1), &all).await;
            for threads in [1, 2, 3] {
                // The cache of one context of 512 tokens: rows wait and blocks are taken away.
                for cache_bytes in [one_context(&checkpoint, arithmetic), 1 << 28] {
                    let mut options = options(arithmetic, Isa::detect(), threads);
                    options.policy.cache_bytes = cache_bytes;
                    let learner = LocalLearner::open(&checkpoint, options).unwrap();
                    let what = format!("{name} {arithmetic}, {threads} threads, {cache_bytes} bytes");
                    let policy = learner.policy();
                    assert_same(&together(&policy, &all).await, &expected, &what);
                    let again = together(&policy, &all).await;
                    assert_same(&again, &expected, &format!("{what}, prompts seen before"));
                }
            }
        }
    }
}

#[tokio::test]
async fn a_reply_does_not_depend_on_when_its_request_comes() {
    for arithmetic in ARITHMETICS {
        for name in FIXTURES {
            let learner = open(&fixture(name), arithmetic, 2);
            let all: Vec<SamplingRequest> = requests(384, 30..120, 16, 3)
                .into_iter()
                .map(|request| SamplingRequest { max_tokens: 40, stop_tokens: Vec::new(), ..request })
                .collect();
            let (early, late) = all.split_at(8);
            let policy = learner.policy();
            // Each of the late ones is asked for when another reply is complete, while the early ones are being written.
            let after_each_other = async {
                let mut pairs = Vec::new();
                for request in late {
                    let first = SamplingRequest { max_tokens: 3, ..request.clone() };
                    policy.sample(SamplingRequest { seed: 1, ..first }).await.unwrap();
                    pairs.extend(together(&policy, std::slice::from_ref(request)).await);
                }
                pairs
            };
            let (first, rest) = join(together(&policy, early), after_each_other).await;
            let got = [first, rest].concat();
            assert_same(&got, &alone(&learner, &all).await, &format!("{name} {arithmetic}"));
            assert_scored_and_trained_alike(&learner, &got, &format!("{name} {arithmetic}")).await;
        }
    }
}

/// A conversation of four turns by eight members of a group: every prompt begins with what the cache has seen, cut at
/// any place of a block.
#[tokio::test]
async fn a_known_beginning_changes_nothing() {
    for arithmetic in ARITHMETICS {
        for name in FIXTURES {
            let learner = open(&fixture(name), arithmetic, 2);
            let policy = learner.policy();
            let question = requests(384, 45..46, 1, 4).remove(0).prompt;
            let mut talks = vec![question; 8];
            for turn in 0..4_u64 {
                let asked: Vec<SamplingRequest> = requests(384, 1..40, 8, 5 + turn)
                    .into_iter()
                    .zip(&talks)
                    .map(|(request, talk)| SamplingRequest { prompt: talk.clone(), ..request })
                    .collect();
                let got = together(&policy, &asked).await;
                let what = format!("{name} {arithmetic}, turn {turn}");
                assert_same(&got, &alone(&learner, &asked).await, &what);
                assert_scored_and_trained_alike(&learner, &got, &what).await;
                let documents = requests(384, 1..40, 8, 50 + turn);
                talks =
                    got.iter().zip(documents).map(|(pair, more)| [row(pair), more.prompt].concat()).collect();
            }
        }
    }
}

/// A pass of the sampler reads 1,024 tokens: the long prompts are cut once or twice, at places that depend on the others.
#[tokio::test]
async fn a_prompt_read_in_pieces_gives_the_same_bits() {
    for arithmetic in ARITHMETICS {
        for isa in instruction_sets() {
            let options = options(arithmetic, isa, 2);
            let learner = LocalLearner::open(&long_reader(), options).unwrap();
            let asked = [requests(271, 1000..2300, 2, 6), requests(271, 1..300, 4, 7)].concat();
            let got = together(&learner.policy(), &asked).await;
            let what = format!("{arithmetic} {isa}");
            assert_same(&got, &alone(&learner, &asked).await, &what);
            assert_scored_and_trained_alike(&learner, &got, &what).await;
        }
    }
}

/// Samples, trains and steps three times; writes the weights in f32 and returns the bytes of the files.
async fn run(checkpoint: &Checkpoint, options: LearnerOptions) -> Vec<(String, Vec<u8>)> {
    let learner = LocalLearner::open(checkpoint, options).unwrap();
    train(&learner, checkpoint.config.vocabulary, 0..3).await;
    let folder = tempfile::TempDir::new().unwrap();
    learner.export_as(folder.path(), Dtype::F32).unwrap();
    read(folder.path())
}

/// A few steps of what a run does.
async fn train(learner: &LocalLearner, vocabulary: usize, steps: std::ops::Range<u64>) {
    for step in steps {
        let asked: Vec<SamplingRequest> = requests(vocabulary, 1..70, 12, 8 + step)
            .into_iter()
            .map(|request| SamplingRequest { temperature: 0.7, ..request })
            .collect();
        let pairs = together(&learner.policy(), &asked).await;
        let weight: usize = pairs.iter().map(|pair| pair.1.tokens.len()).sum();
        let advantages = (0..).map(|index| [1.0, -0.5, 0.25][index % 3]);
        let examples: Vec<Example> =
            pairs.iter().zip(advantages).map(|(pair, advantage)| example(pair, advantage)).collect();
        for half in examples.chunks(6) {
            learner.accumulate(half, &loss(0.7, weight as f64)).await.unwrap();
        }
        learner.step(&Adam { learning_rate: 3e-3, ..Adam::default() }).await.unwrap();
    }
}

fn read(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<(String, Vec<u8>)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()))
        .collect();
    files.sort();
    files
}

#[tokio::test]
async fn two_runs_end_in_the_same_files_whatever_the_threads_and_the_memory() {
    for arithmetic in ARITHMETICS {
        for checkpoint in FIXTURES.map(fixture).into_iter().chain([long_reader()]) {
            let what = format!("{} {arithmetic}", checkpoint.path().display());
            let plan = || options(arithmetic, Isa::detect(), 1);
            let first = run(&checkpoint, plan()).await;
            assert!(first.iter().any(|(name, _)| name.ends_with(".safetensors")), "{what}");
            assert!(first == run(&checkpoint, plan()).await, "{what}: another run");
            for threads in [2, 3] {
                let mut other = plan();
                other.policy.threads = Arc::new(Threads::new(threads));
                assert!(first == run(&checkpoint, other).await, "{what}: {threads} threads");
            }
            let mut other = plan();
            other.policy.cache_bytes = one_context(&checkpoint, other.policy.arithmetic);
            other.activation_bytes = 0;
            assert!(first == run(&checkpoint, other).await, "{what}: little memory");
        }
    }
}

/// Saved after two steps and gone on with elsewhere, on other threads and with little memory: the same files after the third.
#[tokio::test]
async fn an_adapters_run_ends_in_the_same_files_also_when_it_is_resumed() {
    for name in FIXTURES {
        for arithmetic in ARITHMETICS {
            let open = |threads, activation_bytes| {
                let checkpoint = fixture(name);
                let adapter = adapter_inside(&checkpoint);
                let options =
                    LearnerOptions { activation_bytes, ..options(arithmetic, Isa::detect(), threads) };
                LocalLearner::open_adapted(checkpoint, adapter, options).unwrap()
            };
            let files = async |learner: &LocalLearner| {
                let folder = tempfile::TempDir::new().unwrap();
                learner.save(folder.path()).await.unwrap();
                (read(folder.path()), folder)
            };
            let whole = open(1, 1 << 30);
            train(&whole, 384, 0..3).await;
            let (expected, _) = files(&whole).await;
            let names: Vec<&str> = expected.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, ["adapter_config.json", "adapter_model.safetensors", "learner.safetensors"]);
            let first = open(3, 0);
            train(&first, 384, 0..2).await;
            let (_, saved) = files(&first).await;
            let second = open(2, 1 << 30);
            second.load(saved.path()).await.unwrap();
            train(&second, 384, 2..3).await;
            assert!(files(&second).await.0 == expected, "{name} {arithmetic}");

            // The saved folder is the policy, bit for bit.
            let (_, folder) = files(&second).await;
            let adapter = Adapter::read(folder.path(), &fixture(name), "a model").unwrap();
            let options = options(arithmetic, Isa::detect(), 2).policy;
            let reopened = LocalPolicy::open_adapted(&fixture(name), &adapter, options).unwrap();
            let rows = requests(384, 30..60, 3, 5).into_iter().map(|it| it.prompt).collect::<Vec<_>>();
            let scores = reopened.score(&rows, 1.0).await.unwrap();
            assert_eq!(scores, second.policy().score(&rows, 1.0).await.unwrap(), "{name} {arithmetic}");
        }
    }
}
