//! The facts that every learner must satisfy.
//!
//! Meant for tests: [`check_all`] holds a learner against each of them, and a broken one panics with its name. What
//! [`Capabilities`] says is not honoured must be refused; what it promises bit for bit is compared bit for bit, anything
//! else to 1e-4.

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

use crate::text::Text;
use crate::{
    Adam, Capabilities, Example, Learner, Loss, Objective, Policy, Result, Sample, SamplingRequest, TokenId,
};

mod drawing;
mod refusals;
mod replies;
mod reports;
mod state;
mod teaching;

/// Opens an exported folder.
pub type Reopen<'a> = dyn Fn(&Path) -> Arc<dyn Policy> + Sync + 'a;

/// A learner to be held against the facts.
pub struct Subject<'a> {
    /// Opens the learner, with the same weights every time.
    pub open: &'a (dyn Fn() -> Arc<dyn Learner> + Sync),
    /// Its tokenizer. The model predicts its entries and no others.
    pub text: Arc<Text>,
    /// Three prompts or more, each of 8 to 64 tokens, no two of the same length.
    pub prompts: Vec<Vec<TokenId>>,
    /// A rate at which one step of AdamW changes log-probabilities, yet follows the gradient.
    pub learning_rate: f32,
    /// Opens what [`Learner::export`] wrote; `None` if nothing but [`Learner::load`] reads it.
    pub reopen: Option<&'a Reopen<'a>>,
    /// An empty folder, for what the learner writes.
    pub folder: &'a Path,
}

/// Holds `subject` against every fact.
pub async fn check_all(subject: &Subject<'_>) {
    replies::check(subject).await;
    drawing::check(subject).await;
    reports::check(subject).await;
    state::check(subject).await;
    teaching::check(subject).await;
    refusals::check(subject).await;
}

/// A fact by its name, which every panic about it begins with.
#[derive(Clone, Copy)]
struct Fact(&'static str);

impl Fact {
    /// Panics with `seen` unless `truth`.
    fn holds(self, truth: bool, seen: impl Display) {
        assert!(truth, "{}: {seen}", self.0);
    }

    /// What a call gave that must not fail.
    fn got<T>(self, result: Result<T>) -> T {
        result.unwrap_or_else(|error| panic!("{}: {error}", self.0))
    }

    /// Panics unless a call failed.
    fn refused<T>(self, result: Result<T>, what: &str) {
        assert!(result.is_err(), "{}: {what} was not refused", self.0);
    }

    /// Panics unless log-probabilities agree as closely as the learner promises.
    fn same_logprobs(self, capabilities: &Capabilities, got: &[f32], expected: &[f32], what: impl Display) {
        self.holds(got.len() == expected.len(), format!("{what}: {} for {}", got.len(), expected.len()));
        for (at, (got, expected)) in got.iter().zip(expected).enumerate() {
            let same = if capabilities.exact_logprobs {
                got.to_bits() == expected.to_bits()
            } else {
                (got - expected).abs() <= 1e-4
            };
            self.holds(same, format!("{what}: number {at} is {got}, not {expected}"));
        }
    }
}

impl Subject<'_> {
    /// A fresh learner.
    fn fresh(&self) -> Arc<dyn Learner> {
        (self.open)()
    }

    /// A learner that has seen a few steps: its tokens are no longer equally likely, its optimizer remembers.
    async fn taught(&self, fact: Fact) -> Arc<dyn Learner> {
        let learner = self.fresh();
        for prompt in self.prompts.iter().take(3) {
            self.teach(fact, &*learner, &[lesson(prompt)]).await;
        }
        learner
    }

    /// One step of supervised training on `batch`.
    async fn teach(&self, fact: Fact, learner: &dyn Learner, batch: &[Example]) {
        fact.got(learner.accumulate(batch, &cross_entropy(batch)).await);
        fact.got(learner.step(&self.adam()).await);
    }

    fn adam(&self) -> Adam {
        Adam { learning_rate: self.learning_rate, weight_decay: 0.0, max_grad_norm: None, ..Adam::default() }
    }

    /// A request for twelve tokens after one of the prompts that nothing but their number ends.
    fn request(&self, prompt: usize, seed: u64) -> SamplingRequest {
        SamplingRequest::of_length(self.prompts[prompt % self.prompts.len()].clone(), 12, seed)
    }

    /// Log-probabilities of the prompts, end to end.
    async fn prompt_logprobs(&self, fact: Fact, policy: &dyn Policy) -> Vec<f32> {
        fact.got(policy.score(&self.prompts, 1.0).await).concat()
    }

    /// An empty folder of its own.
    fn folder(&self, fact: Fact, name: &str) -> std::path::PathBuf {
        let folder = self.folder.join(name);
        std::fs::create_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", fact.0));
        folder
    }
}

/// `temperature` where a learner serves it, else 1.
fn served(capabilities: &Capabilities, temperature: f32) -> f32 {
    if capabilities.temperatures || temperature == 0.0 { temperature } else { 1.0 }
}

/// Those of `temperatures` that a learner serves; 1 where it serves no others.
fn all_served(capabilities: &Capabilities, temperatures: [f32; 3]) -> Vec<f32> {
    if capabilities.temperatures { temperatures.to_vec() } else { vec![1.0] }
}

/// A row whose tokens after the first are all trained.
fn lesson(tokens: &[TokenId]) -> Example {
    let weights = (0..tokens.len()).map(|at| f32::from(at > 0)).collect();
    Example { tokens: tokens.to_vec(), weights, ..Example::default() }
}

/// A reply as it is trained on policy: prompts have no weight, every token the same advantage.
fn trajectory(request: &SamplingRequest, sample: &Sample, advantage: f32) -> Example {
    let tokens = [&request.prompt[..], &sample.tokens].concat();
    let prompt = request.prompt.len();
    let old_logprobs = [&vec![0.0; prompt][..], &sample.logprobs].concat();
    Example {
        weights: (0..tokens.len()).map(|at| f32::from(at >= prompt)).collect(),
        advantages: vec![advantage; tokens.len()],
        reference_logprobs: old_logprobs.clone(),
        old_logprobs,
        tokens,
    }
}

fn weight(batch: &[Example]) -> f64 {
    batch.iter().flat_map(|example| &example.weights).map(|&weight| f64::from(weight)).sum()
}

fn cross_entropy(batch: &[Example]) -> Loss {
    Loss::mean(Objective::CrossEntropy, batch)
}

/// Fails the fact unless every number is finite; returns their sum.
fn sum(fact: Fact, numbers: &[f32]) -> f64 {
    let total: f64 = numbers.iter().map(|&number| f64::from(number)).sum();
    fact.holds(total.is_finite(), format!("log-probabilities sum to {total}"));
    total
}
