//! A training from end to end: requests in their order, states that outlive the client, and what is left behind.

use std::time::Duration;

use zerosearch_learner::tinker::{Quirks, TinkerLearner};
use zerosearch_learner::{Adam, Example, Learner, Loss, Objective};

use super::options;
use super::server::Double;

fn jax() -> Quirks {
    Quirks::preset("skyrl-jax").unwrap()
}

fn rows(count: usize) -> (Vec<Example>, Loss) {
    let row = |at: usize| Example {
        tokens: vec![5, 6 + at as u32 % 7, 7],
        weights: vec![0.0, 1.0, 1.0],
        advantages: vec![0.0, 1.0, 1.0],
        old_logprobs: vec![0.0, -5.0, -5.0],
        reference_logprobs: Vec::new(),
    };
    let batch: Vec<Example> = (0..count).map(row).collect();
    let loss = Loss::mean(Objective::ImportanceSampling, &batch);
    (batch, loss)
}

fn adam() -> Adam {
    Adam { learning_rate: 0.1, weight_decay: 0.0, max_grad_norm: None, ..Adam::default() }
}

async fn scores(learner: &TinkerLearner) -> Vec<f32> {
    let policy = learner.snapshot().await.unwrap();
    policy.score(&[vec![5, 6, 7, 8]], 1.0).await.unwrap().concat()
}

/// The double refuses requests out of their order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gradients_and_their_step_are_in_flight_together() {
    let double = Double::start(jax()).await;
    let learner = TinkerLearner::open(options(&double.url, jax())).await.unwrap();
    let (rows, loss) = rows(3);
    for _ in 0..3 {
        let adam = adam();
        let (taught, stepped) = futures::join!(learner.accumulate(&rows, &loss), learner.step(&adam));
        taught.unwrap();
        assert!(stepped.unwrap().grad_norm > 0.0);
    }
    let asked = double.asked();
    assert_eq!(asked.iter().filter(|route| *route == "optim_step").count(), 3);
}

/// 2,500 rows are three requests; the mean of rows is over all of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_batch_is_several_requests_and_one_gradient() {
    let double = Double::start(jax()).await;
    let (whole, parts) = (
        TinkerLearner::open(options(&double.url, jax())).await.unwrap(),
        TinkerLearner::open(options(&double.url, jax())).await.unwrap(),
    );
    let (rows, loss) = rows(2500);
    whole.accumulate(&rows, &loss).await.unwrap();
    assert_eq!(double.asked().iter().filter(|route| *route == "forward_backward").count(), 3);
    for part in rows.chunks(900) {
        parts.accumulate(part, &loss).await.unwrap();
    }
    let norms = [whole.step(&adam()).await.unwrap().grad_norm, parts.step(&adam()).await.unwrap().grad_norm];
    assert!((norms[0] - norms[1]).abs() < 1e-6 * norms[0], "{norms:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_on_half_a_batch_is_refused() {
    let double = Double::start(jax()).await;
    let learner = TinkerLearner::open(options(&double.url, jax())).await.unwrap();
    let (rows, loss) = rows(4);
    learner.accumulate(&rows[..2], &loss).await.unwrap();
    let said = learner.step(&adam()).await.unwrap_err().to_string();
    assert!(said.contains("2 rows were accumulated of a batch that was said to have 4"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_outlives_the_client_and_not_the_server() {
    let double = Double::start(jax()).await;
    let folder = tempfile::tempdir().unwrap();
    let (rows, loss) = rows(3);
    let learner = TinkerLearner::open(options(&double.url, jax())).await.unwrap();
    learner.accumulate(&rows, &loss).await.unwrap();
    learner.step(&adam()).await.unwrap();
    learner.save(folder.path()).await.unwrap();
    let saved = scores(&learner).await;
    learner.accumulate(&rows, &loss).await.unwrap();
    let expected = learner.step(&adam()).await.unwrap();
    drop(learner);
    assert_eq!(double.models(), (0, 1), "the model is given back");
    for name in ["adapter_config.json", "adapter_model.safetensors", "tinker.json"] {
        assert!(folder.path().join(name).is_file(), "{name}");
    }

    let again = TinkerLearner::open(options(&double.url, jax())).await.unwrap();
    again.load(folder.path()).await.unwrap();
    assert_eq!(scores(&again).await, saved);
    again.accumulate(&rows, &loss).await.unwrap();
    assert_eq!(again.step(&adam()).await.unwrap(), expected);

    double.forget();
    let said = again.load(folder.path()).await.unwrap_err().to_string();
    assert!(said.contains("weights_info") && said.contains("Checkpoint not found"), "{said}");
    // Nothing was given up for it.
    again.accumulate(&rows, &loss).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_adapter_is_merged_where_a_model_is_asked_for() {
    let double = Double::start(jax()).await;
    let folder = tempfile::tempdir().unwrap();
    let learner = TinkerLearner::open(options(&double.url, jax())).await.unwrap();
    learner.export(folder.path()).await.unwrap();
    let left: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["merged"]);
}

/// A policy keeps the session, too: while one can be asked, nothing is given back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_one_gives_the_model_back() {
    let double = Double::start(jax()).await;
    let learner = TinkerLearner::open(options(&double.url, jax())).await.unwrap();
    let policy = learner.snapshot().await.unwrap();
    drop(learner);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(double.models(), (1, 0));
    drop(policy);
    assert_eq!(double.models(), (0, 1));
}
