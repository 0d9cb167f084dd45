//! Teaching: every loss moves the policy the way it says.

use super::{Fact, Subject, cross_entropy, lesson, sum, trajectory};
use crate::{Adam, Example, KlEstimator, KlPenalty, Learner, Loss, Objective, Policy, SamplingRequest};

pub(super) async fn check(subject: &Subject<'_>) {
    cross_entropy_raises_its_targets(subject).await;
    rewards_raise_and_lower(subject).await;
    the_penalty_pulls_towards_the_reference(subject).await;
    the_bonus_raises_entropy(subject).await;
    the_optimizers_numbers_are_heeded(subject).await;
}

/// Sum of the log-probabilities of a row's trained tokens.
async fn logprob(fact: Fact, policy: &dyn Policy, example: &Example) -> f64 {
    let scores = fact.got(policy.score(std::slice::from_ref(&example.tokens), 1.0).await);
    let trained = scores[0].iter().zip(&example.weights).filter(|(_, weight)| **weight != 0.0);
    sum(fact, &trained.map(|(score, _)| *score).collect::<Vec<_>>())
}

/// One step under `loss`; returns the log-probability of the batch's first row before and after.
async fn moved(
    fact: Fact,
    subject: &Subject<'_>,
    learner: &dyn Learner,
    (batch, loss): (&[Example], &Loss),
) -> (f64, f64) {
    let before = logprob(fact, &*fact.got(learner.snapshot().await), &batch[0]).await;
    fact.got(learner.accumulate(batch, loss).await);
    fact.got(learner.step(&subject.adam()).await);
    (before, logprob(fact, &*fact.got(learner.snapshot().await), &batch[0]).await)
}

async fn cross_entropy_raises_its_targets(subject: &Subject<'_>) {
    let fact = Fact("cross-entropy raises the log-probability of its targets");
    for prompt in &subject.prompts {
        let learner = subject.fresh();
        let batch = [lesson(prompt)];
        let loss = cross_entropy(&batch);
        let (before, after) = moved(fact, subject, &*learner, (&batch, &loss)).await;
        fact.holds(after > before + 1e-3, format!("from {before} to {after}"));
    }
}

async fn rewards_raise_and_lower(subject: &Subject<'_>) {
    let fact =
        Fact("a positive advantage raises the log-probability of what was sampled, a negative one lowers it");
    let clip = Objective::ClippedSurrogate { low: 0.2, high: 0.2 };
    for objective in [Objective::ImportanceSampling, clip] {
        for (advantage, seed) in [(1.0, 1), (-1.0, 2)] {
            let learner = subject.taught(fact).await;
            let request = subject.request(seed, seed as u64);
            let sample = fact.got(fact.got(learner.snapshot().await).sample(request.clone()).await);
            let batch = [trajectory(&request, &sample, advantage)];
            let loss = Loss::mean(objective, &batch);
            let (before, after) = moved(fact, subject, &*learner, (&batch, &loss)).await;
            let change = (after - before) * f64::from(advantage);
            fact.holds(change > 1e-3, format!("advantage {advantage}: from {before} to {after}"));
        }
    }
}

/// The squared distance of a row's log-probabilities from the reference's.
async fn from_reference(fact: Fact, policy: &dyn Policy, example: &Example) -> f64 {
    let scores = fact.got(policy.score(std::slice::from_ref(&example.tokens), 1.0).await);
    let pairs = scores[0].iter().zip(&example.reference_logprobs);
    pairs.map(|(&score, &reference)| (f64::from(score) - f64::from(reference)).powi(2)).sum()
}

async fn the_penalty_pulls_towards_the_reference(subject: &Subject<'_>) {
    let fact = Fact("a KL penalty pulls towards the reference");
    for estimator in [KlEstimator::K2, KlEstimator::K3] {
        let learner = subject.fresh();
        let reference = fact.got(learner.snapshot().await);
        let mut example = lesson(&subject.prompts[0]);
        for _ in 0..3 {
            subject.teach(fact, &*learner, std::slice::from_ref(&example)).await;
        }
        let scores = fact.got(reference.score(std::slice::from_ref(&example.tokens), 1.0).await);
        example.reference_logprobs = scores[0].clone();
        example.old_logprobs = scores[0].clone();
        example.advantages = vec![0.0; example.tokens.len()];
        let batch = [example];
        let kl = Some(KlPenalty { estimator, coefficient: 1.0 });
        let loss = Loss { kl, ..Loss::mean(Objective::ImportanceSampling, &batch) };
        if !learner.capabilities().kl_in_loss {
            fact.refused(learner.accumulate(&batch, &loss).await, "a penalty that is not honoured");
            return;
        }
        let before = from_reference(fact, &*fact.got(learner.snapshot().await), &batch[0]).await;
        for _ in 0..3 {
            fact.got(learner.accumulate(&batch, &loss).await);
            // The optimizer's memory still points away from the reference; without it the slope alone decides.
            let adam = Adam { beta1: 0.0, ..subject.adam() };
            fact.got(learner.step(&adam).await);
        }
        let after = from_reference(fact, &*fact.got(learner.snapshot().await), &batch[0]).await;
        fact.holds(after < 0.9 * before, format!("{estimator:?}: squared distance from {before} to {after}"));
    }
}

async fn the_bonus_raises_entropy(subject: &Subject<'_>) {
    let fact = Fact("an entropy bonus raises the entropy");
    let learner = subject.taught(fact).await;
    let mut batch: Vec<Example> = subject.prompts.iter().map(|prompt| lesson(prompt)).collect();
    for example in &mut batch {
        example.advantages = vec![0.0; example.tokens.len()];
        example.old_logprobs = vec![-1.0; example.tokens.len()];
    }
    let loss = Loss { entropy_bonus: 1.0, ..Loss::mean(Objective::ImportanceSampling, &batch) };
    if !learner.capabilities().entropy_bonus {
        fact.refused(learner.accumulate(&batch, &loss).await, "a bonus that is not honoured");
        return;
    }
    let mut entropies = Vec::new();
    for _ in 0..4 {
        entropies.push(fact.got(learner.accumulate(&batch, &loss).await).entropy);
        fact.got(learner.step(&Adam { beta1: 0.0, ..subject.adam() }).await);
    }
    let rises = entropies.windows(2).all(|pair| pair[1] > pair[0]);
    fact.holds(rises, format!("step by step {entropies:?}"));
}

/// A rate of 0 changes nothing; a bound on the norm changes the step and not the report; steps are counted.
async fn the_optimizers_numbers_are_heeded(subject: &Subject<'_>) {
    let fact = Fact("a step heeds its learning rate and its bound, and is counted");
    let batch = [lesson(&subject.prompts[0])];
    let loss = cross_entropy(&batch);
    let still = subject.fresh();
    let before = subject.prompt_logprobs(fact, &*fact.got(still.snapshot().await)).await;
    for count in 1..=2 {
        fact.got(still.accumulate(&batch, &loss).await);
        let report = fact.got(still.step(&Adam { learning_rate: 0.0, ..subject.adam() }).await);
        fact.holds(report.step == count, format!("step {} was reported as {}", count, report.step));
    }
    let after = subject.prompt_logprobs(fact, &*fact.got(still.snapshot().await)).await;
    fact.same_logprobs(&still.capabilities(), &after, &before, "a rate of 0 moved the weights");
    let bounded = Adam { epsilon: 1.0, max_grad_norm: Some(1e-3), ..subject.adam() };
    if still.check_adam(&bounded).is_err() {
        fact.got(still.accumulate(&batch, &loss).await);
        fact.refused(still.step(&bounded).await, "a bound that is not honoured");
        return;
    }
    // With a large epsilon a step is proportional to the gradient that the bound lets through.
    let mut outcomes = Vec::new();
    for max_grad_norm in [None, Some(1e-3)] {
        let learner = subject.fresh();
        let adam = Adam { epsilon: 1.0, max_grad_norm, ..subject.adam() };
        fact.got(learner.accumulate(&batch, &loss).await);
        let norm = fact.got(learner.step(&adam).await).grad_norm;
        let request = SamplingRequest { max_tokens: 0, ..subject.request(0, 0) };
        fact.got(fact.got(learner.snapshot().await).sample(request).await);
        let after = logprob(fact, &*fact.got(learner.snapshot().await), &batch[0]).await;
        outcomes.push((norm, after));
    }
    let close = (outcomes[0].0 - outcomes[1].0).abs() <= 1e-5 * outcomes[0].0;
    fact.holds(close, "the norm before clipping depends on the bound");
    let start = logprob(fact, &*fact.got(subject.fresh().snapshot().await), &batch[0]).await;
    let (free, bound) = (outcomes[0].1 - start, outcomes[1].1 - start);
    fact.holds(bound.abs() < 0.5 * free.abs(), format!("moved by {bound} with the bound, {free} without"));
}
