//! Reports: what training says about the rows that it was given.

use super::{Fact, Subject, all_served, cross_entropy, lesson, served, trajectory, weight};
use crate::{Example, KlEstimator, KlPenalty, Learner, Loss, LossReport, Objective, SamplingRequest};

/// A clip that some of the ratios in [`off_policy`] exceed.
const CLIP: Objective = Objective::ClippedSurrogate { low: 0.1, high: 0.2 };

pub(super) async fn check(subject: &Subject<'_>) {
    training_logprobs_are_scores(subject).await;
    losses_have_their_formula(subject).await;
    halves_make_a_whole(subject).await;
    what_has_no_weight_teaches_nothing(subject).await;
    clipped_tokens_teach_nothing(subject).await;
}

/// Sampled rows, as a policy that has moved on would be trained on them: ratios around 1, and a reference elsewhere.
async fn off_policy(fact: Fact, subject: &Subject<'_>, learner: &dyn Learner) -> Vec<Example> {
    let policy = fact.got(learner.snapshot().await);
    let mut batch = Vec::new();
    for index in 0..5 {
        let request =
            SamplingRequest { max_tokens: 5 + 2 * index, ..subject.request(index, 40 + index as u64) };
        let sample = fact.got(policy.sample(request.clone()).await);
        let mut example = trajectory(&request, &sample, 0.0);
        for at in request.prompt.len()..example.tokens.len() {
            let wave = ((3 * at + 7 * index) as f32).sin();
            example.weights[at] = [1.0, 0.5, 0.0][(at + index) % 3];
            example.advantages[at] = if (at + index) % 4 < 2 { 1.0 } else { -0.6 };
            example.old_logprobs[at] += 0.3 * wave;
            example.reference_logprobs[at] -= 0.4 * wave;
        }
        batch.push(example);
    }
    batch
}

async fn training_logprobs_are_scores(subject: &Subject<'_>) {
    let fact = Fact("training reports the log-probabilities of `score`, and 0 where there is no weight");
    let learner = subject.taught(fact).await;
    let policy = fact.got(learner.snapshot().await);
    let batch = off_policy(fact, subject, &*learner).await;
    for temperature in all_served(&learner.capabilities(), [0.7, 1.0, 1.3]) {
        let loss = Loss { temperature, ..cross_entropy(&batch) };
        let report = fact.got(learner.accumulate(&batch, &loss).await);
        fact.holds(report.examples.len() == batch.len(), format!("{} rows", report.examples.len()));
        for (example, report) in batch.iter().zip(&report.examples) {
            let mut scores = fact.got(policy.score(std::slice::from_ref(&example.tokens), temperature).await);
            for (score, &weight) in scores[0].iter_mut().zip(&example.weights) {
                *score = if weight == 0.0 { 0.0 } else { *score };
            }
            let what = format!("temperature {temperature}");
            fact.same_logprobs(&learner.capabilities(), &report.logprobs, &scores[0], what);
        }
    }
}

/// The losses that `learner` honours, objective by objective and penalty by penalty.
fn losses(learner: &dyn Learner, batch: &[Example]) -> Vec<Loss> {
    let penalty = |estimator| Some(KlPenalty { estimator, coefficient: 0.3 });
    let capabilities = learner.capabilities();
    let mut losses = Vec::new();
    for objective in [Objective::CrossEntropy, Objective::ImportanceSampling, CLIP] {
        for kl in [None, penalty(KlEstimator::K2), penalty(KlEstimator::K3)] {
            for entropy_bonus in [0.0, 0.2] {
                let honoured = (kl.is_none() || capabilities.kl_in_loss)
                    && (entropy_bonus == 0.0 || capabilities.entropy_bonus);
                if honoured {
                    let temperature = served(&capabilities, 0.9);
                    losses.push(Loss { kl, entropy_bonus, temperature, ..Loss::mean(objective, batch) });
                }
            }
        }
    }
    losses
}

/// The formulas of [`Loss`] in f64, on the log-probabilities and the entropy that the report holds.
fn expected(batch: &[Example], loss: &Loss, report: &LossReport) -> LossReport {
    let mut sums = LossReport { weight: weight(batch), entropy: report.entropy, ..LossReport::default() };
    for (example, logprobs) in batch.iter().zip(&report.examples) {
        for at in 0..example.tokens.len() {
            let weight = f64::from(example.weights[at]);
            let logprob = f64::from(logprobs.logprobs[at]);
            let advantage = f64::from(example.advantages[at]);
            let ratio = (logprob - f64::from(example.old_logprobs[at])).exp();
            let (objective, clipped) = match loss.objective {
                Objective::CrossEntropy => (-logprob, false),
                Objective::ImportanceSampling => (-advantage * ratio, false),
                Objective::ClippedSurrogate { low, high } => {
                    let bounded = -advantage * ratio.clamp(1.0 - f64::from(low), 1.0 + f64::from(high));
                    (bounded.max(-advantage * ratio), bounded > -advantage * ratio)
                }
            };
            let d = f64::from(example.reference_logprobs[at]) - logprob;
            let (kl, coefficient) = match loss.kl {
                Some(KlPenalty { estimator: KlEstimator::K2, coefficient }) => (d * d / 2.0, coefficient),
                Some(KlPenalty { estimator: KlEstimator::K3, coefficient }) => {
                    (d.exp() - d - 1.0, coefficient)
                }
                None => (0.0, 0.0),
            };
            sums.loss += weight * (objective + f64::from(coefficient) * kl);
            sums.kl += weight * kl;
            sums.clipped += if clipped { weight } else { 0.0 };
        }
    }
    sums.loss = (sums.loss - f64::from(loss.entropy_bonus) * report.entropy) / loss.normalizer;
    sums
}

async fn losses_have_their_formula(subject: &Subject<'_>) {
    let fact = Fact("a reported loss is what its formula gives");
    let learner = subject.taught(fact).await;
    let batch = off_policy(fact, subject, &*learner).await;
    for loss in losses(&*learner, &batch) {
        let report = fact.got(learner.accumulate(&batch, &loss).await);
        let expected = expected(&batch, &loss, &report);
        for (what, got, expected) in [
            ("loss", report.loss, expected.loss),
            ("weight", report.weight, expected.weight),
            ("kl", report.kl, expected.kl),
            ("clipped", report.clipped, expected.clipped),
        ] {
            let close = (got - expected).abs() <= 1e-5 * (1.0 + expected.abs());
            fact.holds(close, format!("{what} is {got}, not {expected}, of {loss:?}"));
        }
        fact.holds(loss.entropy_bonus == 0.0 || report.entropy > 0.0, "no entropy was computed");
        let all_or_none = report.clipped > 0.0 && report.clipped < report.weight;
        fact.holds(loss.objective != CLIP || all_or_none, format!("{} were clipped", report.clipped));
    }
}

/// AdamW with an epsilon far above the gradients is smooth in them: what a gradient's rounding does stays rounding.
async fn halves_make_a_whole(subject: &Subject<'_>) {
    let fact = Fact("a batch in two calls teaches what it teaches in one");
    let adam = crate::Adam { epsilon: 1.0, learning_rate: 100.0 * subject.learning_rate, ..subject.adam() };
    let (whole, halves) = (subject.taught(fact).await, subject.taught(fact).await);
    let batch = off_policy(fact, subject, &*whole).await;
    let loss = Loss::mean(CLIP, &batch);
    let before = subject.prompt_logprobs(fact, &*fact.got(whole.snapshot().await)).await;
    let report = fact.got(whole.accumulate(&batch, &loss).await);
    let mut sums = fact.got(halves.accumulate(&batch[..2], &loss).await);
    sums.absorb(fact.got(halves.accumulate(&batch[2..], &loss).await));
    fact.holds((report.loss - sums.loss).abs() < 1e-6, format!("losses {} and {}", report.loss, sums.loss));
    let norms = [fact.got(whole.step(&adam).await).grad_norm, fact.got(halves.step(&adam).await).grad_norm];
    let seen = format!("gradient norms {} and {}", norms[0], norms[1]);
    fact.holds((norms[0] - norms[1]).abs() <= 1e-5 * norms[0], seen);
    let whole = subject.prompt_logprobs(fact, &*fact.got(whole.snapshot().await)).await;
    let halves = subject.prompt_logprobs(fact, &*fact.got(halves.snapshot().await)).await;
    let (off, moved) = (distance(&whole, &halves), distance(&whole, &before));
    fact.holds(off <= 1e-5, format!("log-probabilities differ by {off} in norm"));
    fact.holds(moved > 1e-3, format!("the step moved log-probabilities by only {moved} in norm"));
}

/// Of two vectors, relative to the first.
fn distance(a: &[f32], b: &[f32]) -> f64 {
    let norm = |numbers: &mut dyn Iterator<Item = f64>| numbers.map(|x| x * x).sum::<f64>().sqrt();
    let difference = norm(&mut a.iter().zip(b).map(|(&a, &b)| f64::from(a) - f64::from(b)));
    difference / norm(&mut a.iter().map(|&a| f64::from(a)))
}

async fn what_has_no_weight_teaches_nothing(subject: &Subject<'_>) {
    let fact = Fact("a token without weight teaches nothing, whatever stands beside it");
    let learner = subject.taught(fact).await;
    let batch = off_policy(fact, subject, &*learner).await;
    let mut other = batch.clone();
    for example in &mut other {
        for at in (0..example.tokens.len()).filter(|&at| example.weights[at] == 0.0) {
            (example.advantages[at], example.old_logprobs[at]) = (9.0, -3.0);
            example.reference_logprobs[at] = -40.0;
        }
    }
    for loss in losses(&*learner, &batch) {
        let mut seen = Vec::new();
        for batch in [&batch, &other] {
            let report = fact.got(learner.accumulate(batch, &loss).await);
            let adam = crate::Adam { learning_rate: 0.0, ..subject.adam() };
            seen.push((report, fact.got(learner.step(&adam).await).grad_norm));
        }
        let close = (seen[0].1 - seen[1].1).abs() <= 1e-5 * seen[0].1;
        fact.holds(close, format!("gradient norms {} and {}", seen[0].1, seen[1].1));
        fact.holds((seen[0].0.loss - seen[1].0.loss).abs() < 1e-5, "the losses differ");
    }
}

/// With ratios of e^0.5 and e^-0.5 and advantages that ask for more of it, every token is beyond the clip.
async fn clipped_tokens_teach_nothing(subject: &Subject<'_>) {
    let fact = Fact("beyond the clip there is no gradient");
    let learner = subject.taught(fact).await;
    let mut batch: Vec<Example> = subject.prompts.iter().map(|prompt| lesson(prompt)).collect();
    let loss = cross_entropy(&batch);
    let report = fact.got(learner.accumulate(&batch, &loss).await);
    for (example, logprobs) in batch.iter_mut().zip(&report.examples) {
        let side = |at: usize| if at.is_multiple_of(2) { 1.0 } else { -1.0 };
        example.advantages = (0..example.tokens.len()).map(side).collect();
        let old = |(at, logprob): (usize, &f32)| logprob - 0.5 * side(at);
        example.old_logprobs = logprobs.logprobs.iter().enumerate().map(old).collect();
    }
    fact.got(learner.step(&crate::Adam { learning_rate: 0.0, ..subject.adam() }).await);
    let report = fact.got(learner.accumulate(&batch, &Loss::mean(CLIP, &batch)).await);
    let seen = format!("{} of {} were clipped", report.clipped, report.weight);
    fact.holds(report.clipped == report.weight, seen);
    let norm = fact.got(learner.step(&subject.adam()).await).grad_norm;
    fact.holds(norm == 0.0, format!("the gradient's norm is {norm}"));
}
