//! The bigram learner against hand arithmetic, slopes and its own promises.

use super::*;
use crate::text::tiny_text;
use crate::{KlEstimator, KlPenalty, SamplingRequest, StopReason};

fn learner() -> BigramLearner {
    BigramLearner::new(Arc::new(tiny_text()), 512)
}

fn cross_entropy(normalizer: f64) -> Loss {
    Loss { normalizer, ..Loss::sum(Objective::CrossEntropy, 1) }
}

fn adam(learning_rate: f32) -> Adam {
    Adam { learning_rate, max_grad_norm: None, weight_decay: 0.0, ..Adam::default() }
}

fn request(prompt: &str, seed: u64) -> SamplingRequest {
    SamplingRequest {
        prompt: tiny_text().encode(prompt),
        max_tokens: 8,
        temperature: 1.0,
        top_p: 1.0,
        top_k: 0,
        stop_strings: Vec::new(),
        stop_tokens: vec![256],
        seed,
    }
}

/// A row whose tokens after the first are all the policy's.
fn lesson(text: &str) -> Example {
    let tokens = tiny_text().encode(text);
    let weights = (0..tokens.len()).map(|position| f32::from(position > 0)).collect();
    Example { tokens, weights, ..Example::default() }
}

fn policy_gradient_row(seed: u64) -> Example {
    let tokens = tiny_text().encode("abcabba");
    let length = tokens.len();
    let wave =
        |phase: f64| (0..length).map(|at| (0.7 * (at as f64 + phase + seed as f64)).sin() as f32).collect();
    Example {
        weights: vec![0.0, 1.0, 0.0, 1.0, 0.5, 1.0, 1.0],
        advantages: wave(0.0),
        old_logprobs: (0..length).map(|at| -5.6 + 0.03 * at as f32).collect(),
        reference_logprobs: (0..length).map(|at| -5.0 - 0.2 * at as f32).collect(),
        tokens,
    }
}

/// A learner whose logits are no longer all equal.
async fn trained() -> BigramLearner {
    let learner = learner();
    for text in ["abcab<|end|>", "acbba<|end|>"] {
        learner.accumulate(&[lesson(text)], &cross_entropy(5.0)).await.unwrap();
        learner.step(&adam(0.5)).await.unwrap();
    }
    learner
}

#[tokio::test]
async fn what_is_taught_is_said() {
    let learner = learner();
    for _ in 0..60 {
        learner.accumulate(&[lesson("abc<|end|>")], &cross_entropy(3.0)).await.unwrap();
        learner.step(&adam(0.5)).await.unwrap();
    }
    let policy = learner.snapshot().await.unwrap();
    let sample = policy.sample(SamplingRequest { temperature: 0.0, ..request("a", 1) }).await.unwrap();
    assert_eq!(
        (tiny_text().decode(&sample.tokens), sample.stop),
        ("bc<|end|>".into(), StopReason::StopToken)
    );
}

/// Reward 1 for each `b` after an `a`: the share of `b` must rise from 1/268.
#[tokio::test]
async fn rewards_alone_teach() {
    let learner = learner();
    let mut shares = Vec::new();
    for step in 0..40 {
        let policy = learner.snapshot().await.unwrap();
        let mut rows = Vec::new();
        for member in 0..64 {
            let request = SamplingRequest { max_tokens: 1, ..request("a", step * 64 + member) };
            let sample = policy.sample(request).await.unwrap();
            let reward = f32::from(sample.tokens == [u32::from(b'b')]);
            rows.push(Example {
                tokens: vec![97, sample.tokens[0]],
                weights: vec![0.0, 1.0],
                advantages: vec![0.0, reward - 0.05],
                old_logprobs: vec![0.0, sample.logprobs[0]],
                reference_logprobs: Vec::new(),
            });
        }
        let loss = Loss { objective: Objective::ImportanceSampling, ..cross_entropy(64.0) };
        learner.accumulate(&rows, &loss).await.unwrap();
        learner.step(&adam(0.3)).await.unwrap();
        let score = learner.snapshot().await.unwrap().score(&[vec![97, 98]], 1.0).await.unwrap();
        shares.push(score[0][1].exp());
    }
    assert!(shares[39] > 0.9, "{shares:?}");
}

/// Central differences of the reported loss for every logit that the row touches, for each objective and penalty.
#[tokio::test]
async fn gradients_match_finite_differences() {
    let batch = [policy_gradient_row(1), policy_gradient_row(4)];
    let clipped = Objective::ClippedSurrogate { low: 0.2, high: 0.3 };
    for objective in [Objective::CrossEntropy, Objective::ImportanceSampling, clipped] {
        for estimator in [None, Some(KlEstimator::K2), Some(KlEstimator::K3)] {
            let kl = estimator.map(|estimator| KlPenalty { estimator, coefficient: 0.3 });
            let loss = Loss { objective, kl, entropy_bonus: 0.2, temperature: 1.3, normalizer: 7.0, rows: 1 };
            let learner = trained().await;
            learner.accumulate(&batch, &loss).await.unwrap();
            let gradients = learner.state().gradients.clone().unwrap();
            for (last, next) in
                [(97_u32, 98_usize), (97, 97), (98, 97), (98, 99), (99, 97), (97, 5), (98, 98)]
            {
                let at = learner.state().table.row(last).start + next;
                let h = 1e-2_f32;
                let here = learner.state().table.logits[at];
                let mut ends = [here + h, here - h].map(|logit| (logit, 0.0));
                for (logit, value) in &mut ends {
                    Arc::make_mut(&mut learner.state().table).logits[at] = *logit;
                    *value = learner.accumulate(&batch, &loss).await.unwrap().loss;
                }
                Arc::make_mut(&mut learner.state().table).logits[at] = here;
                let slope = (ends[0].1 - ends[1].1) / f64::from(2.0 * h);
                assert!(
                    (gradients[at] - slope).abs() < 2e-5,
                    "{loss:?} {last} {next}: {} {slope}",
                    gradients[at]
                );
            }
        }
    }
}

/// By hand: with zero moments the first AdamW step is rate · g/(|g| + epsilon), so a logit moves by its sign.
#[tokio::test]
async fn the_first_step_of_adam_is_the_learning_rate() {
    let learner = learner();
    learner.accumulate(&[lesson("ab")], &cross_entropy(1.0)).await.unwrap();
    let report = learner.step(&adam(0.25)).await.unwrap();
    let probability = 1.0 / 268.0_f64;
    let norm = ((1.0 - probability).powi(2) + 267.0 * probability * probability).sqrt();
    assert!((report.grad_norm - norm).abs() < 1e-6 && report.step == 1);
    let state = learner.state();
    let row = &state.table.logits[state.table.row(97)];
    assert!((row[98] - 0.25).abs() < 1e-6 && (row[99] + 0.25).abs() < 1e-6);
}

#[tokio::test]
async fn a_batch_in_two_calls_is_the_same_batch() {
    let batch = [policy_gradient_row(1), policy_gradient_row(2)];
    let loss = Loss { objective: Objective::ImportanceSampling, ..cross_entropy(9.0) };
    let (whole, split) = (trained().await, trained().await);
    let report = whole.accumulate(&batch, &loss).await.unwrap();
    let mut sums = split.accumulate(&batch[..1], &loss).await.unwrap();
    sums.absorb(split.accumulate(&batch[1..], &loss).await.unwrap());
    assert!((report.loss - sums.loss).abs() < 1e-12);
    assert_eq!((report.weight, &report.examples), (sums.weight, &sums.examples));
    assert_eq!(whole.state().gradients, split.state().gradients);
}

#[tokio::test]
async fn sampling_scoring_and_training_agree_bit_for_bit() {
    let learner = trained().await;
    let policy = learner.snapshot().await.unwrap();
    let request = SamplingRequest { temperature: 0.7, ..request("ab", 5) };
    let sample = policy.sample(request.clone()).await.unwrap();
    assert_eq!(policy.sample(request.clone()).await.unwrap(), sample);
    let row = [&request.prompt[..], &sample.tokens].concat();
    let scored = policy.score(std::slice::from_ref(&row), 0.7).await.unwrap();
    assert_eq!(scored[0][2..], sample.logprobs[..]);
    let weights = (0..row.len()).map(|at| f32::from(at >= 2)).collect();
    let example = Example { tokens: row, weights, ..Example::default() };
    let loss = Loss { temperature: 0.7, ..cross_entropy(1.0) };
    let report = learner.accumulate(&[example], &loss).await.unwrap();
    assert_eq!(report.examples[0].logprobs[2..], sample.logprobs[..]);
}

#[tokio::test]
async fn a_snapshot_does_not_change() {
    let learner = learner();
    let before = learner.snapshot().await.unwrap();
    let row = [vec![97, 98]];
    let then = before.score(&row, 1.0).await.unwrap();
    learner.accumulate(&[lesson("ab")], &cross_entropy(1.0)).await.unwrap();
    learner.step(&adam(0.5)).await.unwrap();
    assert_eq!(before.score(&row, 1.0).await.unwrap(), then);
    assert_ne!(learner.snapshot().await.unwrap().score(&row, 1.0).await.unwrap(), then);
}

#[tokio::test]
async fn a_saved_learner_goes_on_bit_for_bit() {
    let folder = tempfile::TempDir::new().unwrap();
    let (saved, other) = (trained().await, learner());
    saved.save(folder.path()).await.unwrap();
    other.accumulate(&[lesson("zz")], &cross_entropy(1.0)).await.unwrap();
    other.load(folder.path()).await.unwrap();
    assert!(other.step(&adam(0.1)).await.is_err(), "gathered gradients are forgotten");
    for it in [&saved, &other] {
        it.accumulate(&[lesson("cab")], &cross_entropy(2.0)).await.unwrap();
        assert_eq!(it.step(&adam(0.1)).await.unwrap().step, 3);
    }
    assert_eq!(saved.state().table, other.state().table);
    assert!(folder.path().join("tokenizer.json").exists());
    std::fs::write(folder.path().join("bigram.weights"), [0; 7]).unwrap();
    assert!(
        other
            .load(folder.path())
            .await
            .unwrap_err()
            .to_string()
            .ends_with("7 bytes instead of 287296; is it torn?")
    );
}

/// By hand, probabilities .5, .3, .2: top-k 2 never gives the third, top-p .5 gives only the first, .51 the second too.
#[tokio::test]
async fn top_p_and_top_k_cut_the_tail_and_greedy_takes_the_first_of_equals() {
    let learner = learner();
    let row = learner.state().table.row(97);
    {
        let mut state = learner.state();
        let logits = &mut Arc::make_mut(&mut state.table).logits[row];
        logits.fill(-100.0);
        for (token, probability) in [(10, 0.5_f32), (3, 0.3), (7, 0.2)] {
            logits[token] = probability.ln();
        }
    }
    let policy = learner.snapshot().await.unwrap();
    let drawn = async |top_p, top_k, temperature| {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let request = SamplingRequest { top_p, top_k, temperature, max_tokens: 1, ..request("a", seed) };
            seen.insert(policy.sample(request).await.unwrap().tokens[0]);
        }
        seen.into_iter().collect::<Vec<_>>()
    };
    assert_eq!(drawn(1.0, 0, 1.0).await, [3, 7, 10]);
    assert_eq!(drawn(1.0, 2, 1.0).await, [3, 10]);
    assert_eq!(drawn(0.49, 0, 1.0).await, [10]);
    assert_eq!(drawn(0.51, 0, 1.0).await, [3, 10]);
    assert_eq!(drawn(1.0, 0, 0.0).await, [10]);
    let even = self::learner().snapshot().await.unwrap();
    let greedy = SamplingRequest { temperature: 0.0, max_tokens: 1, ..request("a", 1) };
    assert_eq!(even.sample(greedy).await.unwrap().tokens, [0]);
}

#[tokio::test]
async fn what_contradicts_itself_is_refused() {
    let learner = learner();
    assert!(matches!(learner.step(&adam(0.1)).await, Err(LearnerError::BadRequest(_))));
    let unknown = Example { tokens: vec![97, 268], weights: vec![0.0, 1.0], ..Example::default() };
    let refusal = learner.accumulate(&[unknown], &cross_entropy(1.0)).await.unwrap_err();
    assert!(matches!(refusal, LearnerError::UnknownToken { token: 268, vocabulary: 268 }));
    let importance = Loss { objective: Objective::ImportanceSampling, ..cross_entropy(1.0) };
    assert!(learner.accumulate(&[lesson("ab")], &importance).await.is_err(), "no advantages");
    assert!(learner.accumulate(&[lesson("ab")], &cross_entropy(0.0)).await.is_err());
    let long = lesson(&"a".repeat(513));
    assert!(matches!(
        learner.accumulate(&[long], &cross_entropy(1.0)).await,
        Err(LearnerError::TooLong { .. })
    ));
    assert!(learner.step(&adam(0.1)).await.is_err(), "refused batches leave no gradients");
    let policy = learner.snapshot().await.unwrap();
    for request in [
        SamplingRequest { top_p: 0.0, ..request("a", 1) },
        SamplingRequest { temperature: f32::NAN, ..request("a", 1) },
        request("", 1),
    ] {
        assert!(matches!(policy.sample(request).await, Err(LearnerError::BadRequest(_))));
    }
}
