//! Refusals: what contradicts itself, and that refusing it changes nothing.

use super::{Fact, Subject, cross_entropy, lesson, trajectory};
use crate::{
    Example, KlEstimator, KlPenalty, Learner, LearnerError, Loss, Objective, SamplingRequest, TokenId,
};

pub(super) async fn check(subject: &Subject<'_>) {
    bad_rows_are_refused(subject).await;
    bad_losses_are_refused(subject).await;
    losses_are_finite(subject).await;
    bad_requests_are_refused(subject).await;
}

/// Changes one sound row into one that is not.
type Break = fn(&mut Example);

/// What may be wrong with a row, in words.
const BROKEN: [(&str, Break); 11] = [
    ("a row without tokens", |row| *row = Example::default()),
    ("a weight on the first token", |row| row.weights[0] = 1.0),
    ("too few weights", |row| row.weights.truncate(3)),
    ("too many advantages", |row| row.advantages.push(0.0)),
    ("no advantages", |row| row.advantages.clear()),
    ("too few old log-probabilities", |row| row.old_logprobs.truncate(2)),
    ("no reference", |row| row.reference_logprobs.clear()),
    ("a NaN advantage", |row| row.advantages[4] = f32::NAN),
    ("an infinite weight", |row| row.weights[4] = f32::INFINITY),
    ("an infinite old log-probability", |row| row.old_logprobs[4] = f32::NEG_INFINITY),
    ("an unknown token", |row| row.tokens[2] = TokenId::MAX),
];

fn too_long(row: &Example, length: usize) -> Example {
    let tokens = row.tokens.iter().copied().cycle().take(length).collect::<Vec<_>>();
    let vector = || vec![0.0; length];
    Example {
        tokens,
        weights: vector(),
        advantages: vector(),
        old_logprobs: vector(),
        reference_logprobs: vector(),
    }
}

async fn bad_rows_are_refused(subject: &Subject<'_>) {
    let fact = Fact("a batch with a bad row is refused and changes nothing");
    let (learner, untouched) = (subject.taught(fact).await, subject.taught(fact).await);
    let request = subject.request(0, 1);
    let sample = fact.got(fact.got(learner.snapshot().await).sample(request.clone()).await);
    let good = trajectory(&request, &sample, 1.0);
    let mut loss = Loss::mean(Objective::ImportanceSampling, std::slice::from_ref(&good));
    if learner.capabilities().kl_in_loss {
        loss.kl = Some(KlPenalty { estimator: KlEstimator::K3, coefficient: 0.1 });
    }
    for it in [&learner, &untouched] {
        fact.got(it.accumulate(std::slice::from_ref(&good), &loss).await);
    }
    for (what, change) in BROKEN {
        if what == "no reference" && loss.kl.is_none() {
            continue;
        }
        let mut bad = good.clone();
        change(&mut bad);
        fact.refused(learner.accumulate(&[good.clone(), bad], &loss).await, what);
    }
    let length = learner.capabilities().context_length + 1;
    let long = [good.clone(), too_long(&good, length)];
    match learner.accumulate(&long, &loss).await {
        Err(LearnerError::TooLong { length: told, context_length }) => {
            let seen = format!("{told} tokens for a context of {context_length}");
            fact.holds(told == length && context_length + 1 == length, seen);
        }
        Err(other) => fact.holds(false, format!("a row that is too long: {other}")),
        Ok(_) => fact.holds(false, "a row that is too long was not refused"),
    }
    unchanged(fact, subject, &*learner, &*untouched).await;
}

/// Fails unless a step of both gives the same.
async fn unchanged(fact: Fact, subject: &Subject<'_>, learner: &dyn Learner, untouched: &dyn Learner) {
    let norms =
        [fact.got(learner.step(&subject.adam()).await), fact.got(untouched.step(&subject.adam()).await)];
    let seen = format!("a refused batch left its mark on the gradients: {:?}", norms.map(|it| it.grad_norm));
    let close = (norms[0].grad_norm - norms[1].grad_norm).abs() <= 1e-5 * norms[1].grad_norm;
    fact.holds(close && norms[0].step == norms[1].step, seen);
    let got = subject.prompt_logprobs(fact, &*fact.got(learner.snapshot().await)).await;
    let expected = subject.prompt_logprobs(fact, &*fact.got(untouched.snapshot().await)).await;
    fact.same_logprobs(&learner.capabilities(), &got, &expected, "weights after the step");
}

async fn bad_losses_are_refused(subject: &Subject<'_>) {
    let fact = Fact("a loss that cannot be computed is refused");
    let learner = subject.fresh();
    let batch = [lesson(&subject.prompts[0])];
    let good = cross_entropy(&batch);
    for (what, loss) in [
        ("temperature 0", Loss { temperature: 0.0, ..good.clone() }),
        ("a negative temperature", Loss { temperature: -1.0, ..good.clone() }),
        ("temperature NaN", Loss { temperature: f32::NAN, ..good.clone() }),
        ("normalizer 0", Loss { normalizer: 0.0, ..good.clone() }),
        ("normalizer NaN", Loss { normalizer: f64::NAN, ..good.clone() }),
        ("a negative normalizer", Loss { normalizer: -2.0, ..good }),
    ] {
        fact.refused(learner.accumulate(&batch, &loss).await, what);
    }
    if !learner.capabilities().temperatures {
        let loss = Loss { temperature: 0.9, ..cross_entropy(&batch) };
        fact.refused(learner.accumulate(&batch, &loss).await, "a temperature that is not served");
    }
    fact.refused(learner.step(&subject.adam()).await, "a step with the gradients of refused batches");
}

/// A ratio of e^1000 is beyond any float.
async fn losses_are_finite(subject: &Subject<'_>) {
    let fact = Fact("a loss that is not finite is an error, and drops the gathered gradients");
    let learner = subject.taught(fact).await;
    let before = subject.prompt_logprobs(fact, &*fact.got(learner.snapshot().await)).await;
    let mut row = lesson(&subject.prompts[0]);
    (row.advantages, row.old_logprobs) = (vec![1.0; row.tokens.len()], vec![-1.0; row.tokens.len()]);
    let loss = Loss::mean(Objective::ImportanceSampling, std::slice::from_ref(&row));
    fact.got(learner.accumulate(std::slice::from_ref(&row), &loss).await);
    row.old_logprobs[3] = -1000.0;
    fact.refused(learner.accumulate(&[row], &loss).await, "a ratio of e^1000");
    fact.refused(learner.step(&subject.adam()).await, "a step with what was left");
    let after = subject.prompt_logprobs(fact, &*fact.got(learner.snapshot().await)).await;
    fact.same_logprobs(&learner.capabilities(), &after, &before, "the weights");
}

async fn bad_requests_are_refused(subject: &Subject<'_>) {
    let fact = Fact("a request that contradicts itself is refused");
    let learner = subject.fresh();
    let policy = fact.got(learner.snapshot().await);
    let good = || subject.request(0, 1);
    let long = |length: usize| good().prompt.into_iter().cycle().take(length).collect::<Vec<_>>();
    for (what, request) in [
        ("an empty prompt", SamplingRequest { prompt: Vec::new(), ..good() }),
        ("an unknown token", SamplingRequest { prompt: vec![good().prompt[0], TokenId::MAX], ..good() }),
        ("a long prompt", SamplingRequest { prompt: long(policy.context_length() + 1), ..good() }),
        ("a negative temperature", SamplingRequest { temperature: -0.1, ..good() }),
        ("temperature NaN", SamplingRequest { temperature: f32::NAN, ..good() }),
        ("an infinite temperature", SamplingRequest { temperature: f32::INFINITY, ..good() }),
        ("top_p 0", SamplingRequest { top_p: 0.0, ..good() }),
        ("top_p above 1", SamplingRequest { top_p: 1.1, ..good() }),
        ("top_p NaN", SamplingRequest { top_p: f32::NAN, ..good() }),
        ("an empty stop string", SamplingRequest { stop_strings: vec![String::new()], ..good() }),
    ] {
        fact.refused(policy.sample(request).await, what);
    }
    fact.refused(policy.score(&[vec![TokenId::MAX]], 1.0).await, "scoring an unknown token");
    fact.refused(policy.score(&[long(policy.context_length() + 1)], 1.0).await, "scoring a long row");
    if !learner.capabilities().temperatures {
        let request = SamplingRequest { temperature: 0.9, ..good() };
        fact.refused(policy.sample(request).await, "sampling at a temperature that is not served");
        fact.refused(
            policy.score(&subject.prompts, 0.9).await,
            "scoring at a temperature that is not served",
        );
    }
    for temperature in [0.0, -1.0, f32::NAN] {
        fact.refused(policy.score(&subject.prompts, temperature).await, "scoring at such a temperature");
    }
    fact.got(policy.sample(good()).await);
}
