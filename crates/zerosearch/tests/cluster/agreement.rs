//! Agreement: what the server computes and what the local learner does, on the same weights and rows.

use std::path::Path;

use zerosearch_learner::tinker::TinkerLearner;
use zerosearch_learner::{
    Adam, Example, KlEstimator, KlPenalty, Learner, Loss, Objective, Policy, SamplingRequest, TokenId,
};
use zerosearch_local::{Adapter, Checkpoint, LearnerOptions, LocalLearner, LocalPolicy};

use super::server::{SkyRl, model};
use super::{exact, learner};

const CLOSE: f32 = 1e-4;

/// Sampled rows, as a policy that has moved on would be trained on them; some tokens count half, some not at all.
async fn batch(policy: &dyn Policy, prompts: &[Vec<TokenId>]) -> Vec<Example> {
    let mut batch = Vec::new();
    for (index, prompt) in prompts.iter().enumerate() {
        let request = SamplingRequest::of_length(prompt.clone(), 12, 40 + index as u64);
        let sample = policy.sample(request).await.unwrap();
        let tokens = [&prompt[..], &sample.tokens].concat();
        let wave = |at: usize| ((3 * at + 7 * index) as f32).sin();
        let written = |at: usize| at >= prompt.len();
        let old = [&vec![0.0; prompt.len()][..], &sample.logprobs].concat();
        let row = |number: &dyn Fn(usize) -> f32| {
            (0..tokens.len()).map(|at| if written(at) { number(at) } else { 0.0 }).collect()
        };
        batch.push(Example {
            weights: row(&|at| [1.0, 0.5, 0.0][(at + index) % 3]),
            advantages: row(&|at| if (at + index) % 4 < 2 { 1.0 } else { -0.6 }),
            old_logprobs: row(&|at| old[at] + 0.3 * wave(at)),
            reference_logprobs: row(&|at| old[at] - 0.4 * wave(at)),
            tokens,
        });
    }
    batch
}

fn losses(batch: &[Example]) -> Vec<Loss> {
    let clip = Objective::ClippedSurrogate { low: 0.1, high: 0.2 };
    let loss = Loss::mean(clip, batch);
    let kl = Some(KlPenalty { estimator: KlEstimator::K3, coefficient: 0.3 });
    vec![
        loss.clone(),
        Loss { objective: Objective::ImportanceSampling, ..loss.clone() },
        Loss { objective: Objective::CrossEntropy, ..loss.clone() },
        Loss { kl, ..loss },
    ]
}

/// With an epsilon that is not far below the gradients, a step is smooth in them: what rounding does to a gradient stays rounding.
fn adam() -> Adam {
    Adam { learning_rate: 1e-3, epsilon: 0.1, weight_decay: 0.0, max_grad_norm: None, ..Adam::default() }
}

async fn scores(policy: &dyn Policy, rows: &[Vec<TokenId>]) -> Vec<f32> {
    policy.score(rows, 1.0).await.unwrap().concat()
}

#[track_caller]
fn assert_close(got: &[f32], expected: &[f32], (what, close): (&str, f32)) {
    assert_eq!(got.len(), expected.len(), "{what}");
    let off = got.iter().zip(expected).map(|(got, expected)| (got - expected).abs()).fold(0.0, f32::max);
    println!("{what}: at most {off:e} apart");
    assert!(off <= close, "{what}: {off} apart");
}

/// The local learner on the adapter that a server handed out into `folder`.
fn local(base: &str, folder: &Path) -> LocalLearner {
    let checkpoint = Checkpoint::open(base).unwrap();
    let adapter = Adapter::read(folder, &checkpoint, base).unwrap();
    LocalLearner::open_adapted(checkpoint, adapter, LearnerOptions::new(exact())).unwrap()
}

/// The whole path on one server: the same adapter on both sides, steps of every kind of loss, an export.
async fn agree(server: &SkyRl, base: &str, close: f32) -> (TinkerLearner, Vec<Example>) {
    let folder = tempfile::tempdir().unwrap();
    let remote = learner(server, base).await;
    let (start, end) = (folder.path().join("start"), folder.path().join("end"));
    for made in [&start, &end] {
        std::fs::create_dir(made).unwrap();
    }
    remote.save(&start).await.unwrap();
    let here = local(base, &start);
    let text = here.text();
    let words = ["the end of the", "one and then another thing", "searching on and on"];
    let prompts: Vec<Vec<TokenId>> = words.iter().map(|words| text.encode(words)).collect();
    let policy = remote.snapshot().await.unwrap();
    let batch = batch(&*policy, &prompts).await;
    let rows: Vec<Vec<TokenId>> = batch.iter().map(|row| row.tokens.clone()).collect();
    assert_close(
        &scores(&*policy, &rows).await,
        &scores(&here.policy(), &rows).await,
        ("log-probabilities at the start", CLOSE),
    );
    for (step, loss) in losses(&batch).iter().enumerate() {
        let (far, near) =
            (remote.accumulate(&batch, loss).await.unwrap(), here.accumulate(&batch, loss).await.unwrap());
        assert!(
            (far.loss - near.loss).abs() < 1e-4 * (1.0 + near.loss.abs()),
            "step {step}: {} and {}",
            far.loss,
            near.loss
        );
        let norms =
            [remote.step(&adam()).await.unwrap().grad_norm, here.step(&adam()).await.unwrap().grad_norm];
        println!("step {step}: losses {} and {}, norms {norms:?}", far.loss, near.loss);
        assert!((norms[0] - norms[1]).abs() < 1e-3 * norms[1], "step {step}: {norms:?}");
        let policy = remote.snapshot().await.unwrap();
        let what = format!("log-probabilities after step {step}");
        let close = if step == 0 { CLOSE } else { close };
        assert_close(&scores(&*policy, &rows).await, &scores(&here.policy(), &rows).await, (&what, close));
    }
    let policy = remote.snapshot().await.unwrap();
    let after = scores(&*policy, &rows).await;
    remote.export(&end).await.unwrap();
    let opened = LocalPolicy::open(&Checkpoint::open(&end.display().to_string()).unwrap(), exact()).unwrap();
    assert_close(&scores(&opened, &rows).await, &after, ("log-probabilities of the export", CLOSE));
    (remote, batch)
}

/// SkyRL keeps an adapter's gradients where the next one comes to lie.
async fn gradients_of_the_past_are_gone(remote: &dyn Learner, batch: &[Example], folder: &Path) {
    let kept = folder.join("kept");
    std::fs::create_dir(&kept).unwrap();
    remote.save(&kept).await.unwrap();
    let loss = &losses(batch)[1];
    remote.accumulate(batch, loss).await.unwrap();
    let expected = remote.step(&adam()).await.unwrap();
    remote.load(&kept).await.unwrap();
    remote.accumulate(batch, loss).await.unwrap();
    remote.load(&kept).await.unwrap();
    remote.accumulate(batch, loss).await.unwrap();
    let again = remote.step(&adam()).await.unwrap();
    assert_eq!(again.step, expected.step);
    let off = (again.grad_norm - expected.grad_norm).abs();
    assert!(off < 1e-4 * expected.grad_norm, "{again:?}, not {expected:?}");
}

/// The server's Qwen3 has one `A` for query, key and value, and one for gate and up; ours has one for each. In the first step an `A` has
/// no gradient (`B` is zero), and both agree as over a Llama. After it they are two ways of training, apart by what the `A` have moved.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_agrees_with_the_local_learner() {
    let folder = tempfile::tempdir().unwrap();
    let server = SkyRl::start("qwen3", 1, folder.path());
    let (remote, batch) = agree(&server, &model("qwen3"), 1e-3).await;
    gradients_of_the_past_are_gone(&remote, &batch, folder.path()).await;
}

/// Sharded over two processes that find each other as two machines would. No second model is asked for: only the first of them takes
/// note when one is given back, and they no longer agree on the place of the next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_agree_with_the_local_learner() {
    let folder = tempfile::tempdir().unwrap();
    let server = SkyRl::start("llama", 2, folder.path());
    agree(&server, &model("llama"), CLOSE).await;
}
