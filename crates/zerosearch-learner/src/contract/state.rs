//! State: snapshots, steps, saving and loading, and that the same calls give the same weights.

use std::path::Path;

use super::{Fact, Subject, cross_entropy, lesson, served, trajectory};
use crate::{Example, Learner, Loss, Objective, SamplingRequest};

pub(super) async fn check(subject: &Subject<'_>) {
    a_snapshot_is_frozen(subject).await;
    the_start_lasts(subject).await;
    a_step_needs_gradients(subject).await;
    a_saved_learner_goes_on(subject).await;
    loading_forgets_gradients(subject).await;
    what_is_not_there_is_not_loaded(subject).await;
    an_optimizer_is_forgotten_alone(subject).await;
    an_export_opens(subject).await;
    the_same_calls_give_the_same_weights(subject).await;
}

async fn a_snapshot_is_frozen(subject: &Subject<'_>) {
    let fact = Fact("a snapshot is frozen: later steps do not change it");
    let learner = subject.taught(fact).await;
    let policy = fact.got(learner.snapshot().await);
    let before = subject.prompt_logprobs(fact, &*policy).await;
    let expected = fact.got(policy.sample(subject.request(0, 3)).await);
    let batch = [lesson(&subject.prompts[0])];
    fact.got(learner.accumulate(&batch, &cross_entropy(&batch)).await);
    let gathered = fact.got(learner.snapshot().await);
    let unmoved = subject.prompt_logprobs(fact, &*gathered).await;
    fact.same_logprobs(&learner.capabilities(), &unmoved, &before, "gathering gradients moved the weights");
    fact.got(learner.step(&subject.adam()).await);
    if !learner.capabilities().lasting_snapshots {
        for policy in [&policy, &gathered] {
            fact.refused(
                policy.score(&subject.prompts, 1.0).await,
                "scoring with a snapshot from before the step",
            );
            fact.refused(
                policy.sample(subject.request(0, 3)).await,
                "sampling from a snapshot from before the step",
            );
        }
        let moved = subject.prompt_logprobs(fact, &*fact.got(learner.snapshot().await)).await;
        fact.holds(moved != before, "a new snapshot has the old weights");
        return;
    }
    for (policy, when) in [(&policy, "before"), (&gathered, "before the step")] {
        let after = subject.prompt_logprobs(fact, &**policy).await;
        fact.same_logprobs(&learner.capabilities(), &after, &before, format!("a snapshot made {when}"));
    }
    if learner.capabilities().deterministic {
        fact.holds(fact.got(policy.sample(subject.request(0, 3)).await) == expected, "its replies changed");
    }
    let moved = subject.prompt_logprobs(fact, &*fact.got(learner.snapshot().await)).await;
    fact.holds(moved != before, "a new snapshot has the old weights");
}

/// Weights before the first step are those of the model that training began with, which may be kept apart.
async fn the_start_lasts(subject: &Subject<'_>) {
    let fact = Fact("a snapshot from before the first step lasts, where that is promised");
    let learner = subject.fresh();
    if !learner.capabilities().lasting_start {
        return;
    }
    let start = fact.got(learner.snapshot().await);
    let before = subject.prompt_logprobs(fact, &*start).await;
    for prompt in &subject.prompts {
        subject.teach(fact, &*learner, &[lesson(prompt)]).await;
    }
    let after = subject.prompt_logprobs(fact, &*start).await;
    fact.same_logprobs(&learner.capabilities(), &after, &before, "log-probabilities");
}

async fn a_step_needs_gradients(subject: &Subject<'_>) {
    let fact = Fact("a step without gradients is refused");
    let learner = subject.fresh();
    fact.refused(learner.step(&subject.adam()).await, "the first step");
    subject.teach(fact, &*learner, &[lesson(&subject.prompts[0])]).await;
    fact.refused(learner.step(&subject.adam()).await, "a step after a step");
    let batch = [lesson(&subject.prompts[0])];
    fact.got(learner.accumulate(&batch, &cross_entropy(&batch)).await);
    let report = fact.got(learner.step(&subject.adam()).await);
    fact.holds(report.step == 2, format!("refused steps were counted: {}", report.step));
}

/// Two steps of what training does: replies, a batch of them in two calls, a step. Returns log-probabilities and norms.
async fn train(fact: Fact, subject: &Subject<'_>, learner: &dyn Learner) -> (Vec<f32>, Vec<u64>) {
    let mut norms = Vec::new();
    let temperature = served(&learner.capabilities(), 0.9);
    for step in 0..2 {
        let policy = fact.got(learner.snapshot().await);
        let mut batch: Vec<Example> = Vec::new();
        for index in 0..4 {
            let request = SamplingRequest { temperature, ..subject.request(index, 10 * step + index as u64) };
            let sample = fact.got(policy.sample(request.clone()).await);
            batch.push(trajectory(&request, &sample, [1.0, -0.5][index % 2]));
        }
        let loss = Loss { temperature, ..Loss::mean(Objective::ImportanceSampling, &batch) };
        for half in batch.chunks(2) {
            fact.got(learner.accumulate(half, &loss).await);
        }
        norms.push(fact.got(learner.step(&subject.adam()).await).grad_norm.to_bits());
    }
    let policy = fact.got(learner.snapshot().await);
    (subject.prompt_logprobs(fact, &*policy).await, norms)
}

async fn a_saved_learner_goes_on(subject: &Subject<'_>) {
    let fact = Fact("a loaded learner has the saved weights and goes on as if it had never stopped");
    let saved = subject.taught(fact).await;
    let capabilities = saved.capabilities();
    let folder = subject.folder(fact, "saved");
    fact.got(saved.save(&folder).await);
    let weights = subject.prompt_logprobs(fact, &*fact.got(saved.snapshot().await)).await;
    let expected = train(fact, subject, &*saved).await;
    let elsewhere = subject.fresh();
    subject.teach(fact, &*elsewhere, &[lesson(&subject.prompts[1])]).await;
    for (loaded, what) in
        [(subject.fresh(), "a fresh learner"), (elsewhere, "another's state"), (saved, "its own past")]
    {
        fact.got(loaded.load(&folder).await);
        let got = subject.prompt_logprobs(fact, &*fact.got(loaded.snapshot().await)).await;
        fact.same_logprobs(&capabilities, &got, &weights, format!("weights over {what}"));
        if capabilities.deterministic {
            let got = train(fact, subject, &*loaded).await;
            fact.same_logprobs(&capabilities, &got.0, &expected.0, format!("steps over {what}"));
            fact.holds(got.1 == expected.1, format!("gradient norms differ over {what}"));
        }
        let report = count(fact, subject, &*loaded).await;
        let steps = if capabilities.deterministic { 6 } else { 4 };
        fact.holds(report == steps, format!("{report} steps instead of {steps} over {what}"));
    }
}

/// The number of one more step.
async fn count(fact: Fact, subject: &Subject<'_>, learner: &dyn Learner) -> u64 {
    let batch = [lesson(&subject.prompts[0])];
    fact.got(learner.accumulate(&batch, &cross_entropy(&batch)).await);
    fact.got(learner.step(&subject.adam()).await).step
}

async fn loading_forgets_gradients(subject: &Subject<'_>) {
    let fact = Fact("loading forgets the gathered gradients");
    let learner = subject.taught(fact).await;
    let folder = subject.folder(fact, "forgets");
    fact.got(learner.save(&folder).await);
    let batch = [lesson(&subject.prompts[0])];
    fact.got(learner.accumulate(&batch, &cross_entropy(&batch)).await);
    fact.got(learner.load(&folder).await);
    fact.refused(learner.step(&subject.adam()).await, "a step with gradients from before");
}

async fn what_is_not_there_is_not_loaded(subject: &Subject<'_>) {
    let fact = Fact("a folder without a saved state is refused, and changes nothing");
    let learner = subject.taught(fact).await;
    let before = subject.prompt_logprobs(fact, &*fact.got(learner.snapshot().await)).await;
    let empty = subject.folder(fact, "empty");
    fact.refused(learner.load(&empty).await, "an empty folder");
    fact.refused(learner.load(&empty.join("nothing")).await, "no folder");
    let after = subject.prompt_logprobs(fact, &*fact.got(learner.snapshot().await)).await;
    fact.same_logprobs(&learner.capabilities(), &after, &before, "the weights");
    fact.holds(count(fact, subject, &*learner).await == 4, "the steps were forgotten");
}

/// The step that follows is the first, and another than that of a learner which remembers the way it came.
async fn an_optimizer_is_forgotten_alone(subject: &Subject<'_>) {
    let fact = Fact("a learner whose optimizer forgets keeps its weights, and starts its optimizer anew");
    let learner = subject.taught(fact).await;
    let before = subject.prompt_logprobs(fact, &*fact.got(learner.snapshot().await)).await;
    let batch = [lesson(&subject.prompts[0])];
    fact.got(learner.accumulate(&batch, &cross_entropy(&batch)).await);
    match learner.forget_optimizer().await {
        Err(crate::LearnerError::Unsupported(_)) => return,
        forgotten => fact.got(forgotten),
    }
    let after = subject.prompt_logprobs(fact, &*fact.got(learner.snapshot().await)).await;
    fact.same_logprobs(&learner.capabilities(), &after, &before, "the weights");
    fact.refused(learner.step(&subject.adam()).await, "a step with gradients from before");
    let steps = count(fact, subject, &*learner).await;
    fact.holds(steps == 1, format!("its first step is counted as {steps}"));
    let remembers = subject.taught(fact).await;
    count(fact, subject, &*remembers).await;
    let forgot = subject.prompt_logprobs(fact, &*fact.got(learner.snapshot().await)).await;
    let remembered = subject.prompt_logprobs(fact, &*fact.got(remembers.snapshot().await)).await;
    fact.holds(forgot != remembered, "the moments of earlier steps still move it");
}

/// Exported numbers may be rounded (to bf16): log-probabilities are then off by a few hundredths at most.
async fn an_export_opens(subject: &Subject<'_>) {
    let fact = Fact("an export opens, and is the model as it was then");
    let learner = subject.taught(fact).await;
    let folder = subject.folder(fact, "export");
    fact.got(learner.export(&folder).await);
    fact.holds(has_files(&folder), "no file was written");
    let Some(reopen) = subject.reopen else { return };
    let expected = subject.prompt_logprobs(fact, &*fact.got(learner.snapshot().await)).await;
    subject.teach(fact, &*learner, &[lesson(&subject.prompts[0])]).await;
    let got = subject.prompt_logprobs(fact, &*reopen(&folder)).await;
    for (at, (got, expected)) in got.iter().zip(&expected).enumerate() {
        fact.holds((got - expected).abs() < 0.05, format!("number {at} is {got}, not {expected}"));
    }
}

fn has_files(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|entries| entries.count() > 0)
}

async fn the_same_calls_give_the_same_weights(subject: &Subject<'_>) {
    let fact = Fact("the same calls give the same weights");
    let (one, other) = (subject.taught(fact).await, subject.taught(fact).await);
    if !one.capabilities().deterministic {
        return;
    }
    let path = one.capabilities().numeric_path;
    fact.holds(!path.is_empty() && path == other.capabilities().numeric_path, "numeric paths differ");
    let (first, second) = (train(fact, subject, &*one).await, train(fact, subject, &*other).await);
    let bits = |numbers: &[f32]| numbers.iter().map(|number| number.to_bits()).collect::<Vec<_>>();
    fact.holds(bits(&first.0) == bits(&second.0), "log-probabilities differ after the same steps");
    fact.holds(first.1 == second.1, "gradient norms differ");
}
