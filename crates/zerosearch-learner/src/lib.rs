//! What a trainable language model can do: the contract between the program and whatever trains and samples.
//!
//! Tokens and numbers cross this line, tensors never do. A [`Learner`] gathers gradients and steps; its frozen
//! weights are a [`Policy`], which samples and scores. The verbs are those of the Tinker API, so that the
//! in-process learner and a cluster look the same from above.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

mod adam;
#[cfg(feature = "contract-tests")]
pub mod contract;
mod error;
mod example;
mod loss;
mod objective;
mod sampling;
pub mod scripted;
pub mod seed;
pub mod text;
pub mod tinker;

pub use adam::{Adam, StepReport};
pub use error::LearnerError;
pub use example::Example;
pub use loss::{ExampleReport, KlEstimator, KlPenalty, Loss, LossReport, Objective};
pub use sampling::{Sample, SamplingRequest, StopReason};

/// One entry of a tokenizer's vocabulary.
pub type TokenId = u32;

/// A future that may cross threads: what an `async fn` returns when it has to be called through `dyn`.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a learner answers with.
pub type Result<T, E = LearnerError> = std::result::Result<T, E>;

/// Hears every token of a reply, and its log-probability, as it is drawn.
pub type Listener = Box<dyn Fn(TokenId, f32) + Send + Sync>;

/// What every learner can do.
///
/// Calls are carried out one after another, in the order in which their futures are first polled: to have them in an
/// order, await each, or poll them together in that order.
pub trait Learner: Send + Sync {
    /// What this learner can honour. A plan that asks for more is refused before it starts.
    fn capabilities(&self) -> Capabilities;

    /// Refuses numbers of an optimizer that a step would not honour.
    fn check_adam(&self, _adam: &Adam) -> Result<()> {
        Ok(())
    }

    /// Adds the gradients of `batch` under `loss` to those gathered since the last [`Learner::step`]. Weights stay
    /// as they are. Splitting a batch over several calls changes nothing but rounding, because `loss` carries the
    /// normaliser of the whole optimizer batch.
    ///
    /// A batch that contradicts itself is refused before anything is computed. Where a loss is not finite, the gradients
    /// gathered so far are dropped with it.
    fn accumulate<'a>(&'a self, batch: &'a [Example], loss: &'a Loss) -> Boxed<'a, Result<LossReport>>;

    /// Applies the gathered gradients once, then forgets them. Refused when none were gathered.
    fn step<'a>(&'a self, adam: &'a Adam) -> Boxed<'a, Result<StepReport>>;

    /// The policy exactly as it is now. Later steps do not change it.
    fn snapshot(&self) -> Boxed<'_, Result<Arc<dyn Policy>>>;

    /// Writes everything that [`Learner::load`] needs to go on bit for bit (what trains, in a form that opens as a policy: a model
    /// directory as [`Learner::export`] writes it, or an adapter of one; and the optimizer's state) into `directory`, which
    /// exists and is empty.
    fn save<'a>(&'a self, directory: &'a Path) -> Boxed<'a, Result<()>>;

    /// Takes up the state that [`Learner::save`] wrote. Gathered gradients are forgotten.
    fn load<'a>(&'a self, directory: &'a Path) -> Boxed<'a, Result<()>>;

    /// Forgets what the optimizer remembers (its moments and its count of steps) and the gathered gradients; the weights stay as
    /// they are. Refused by learners that cannot.
    fn forget_optimizer(&self) -> Boxed<'_, Result<()>> {
        let what = "this learner cannot forget what its optimizer remembers and keep its weights";
        Box::pin(async move { Err(LearnerError::Unsupported(what.into())) })
    }

    /// Writes a Hugging Face model directory (weights, config, tokenizer) into `directory`, which exists.
    fn export<'a>(&'a self, directory: &'a Path) -> Boxed<'a, Result<()>>;
}

/// Frozen weights that sample and score.
pub trait Policy: Send + Sync {
    /// Continues one prompt. Call it for many prompts at once: a policy serves the calls that are open together as
    /// one batch, and what a call returns depends on its own request alone, never on its neighbours.
    ///
    /// The prompt is the whole conversation so far, always; a policy may remember parts that it has seen before.
    fn sample(&self, request: SamplingRequest) -> Boxed<'_, Result<Sample>>;

    /// [`Policy::sample`], and the same sample, with every token told to `listener` in order, as soon as it is drawn where the
    /// policy can: others tell all of them at the end.
    fn sample_aloud(&self, request: SamplingRequest, listener: Listener) -> Boxed<'_, Result<Sample>> {
        Box::pin(async move {
            let sample = self.sample(request).await?;
            for (at, token) in sample.tokens.iter().enumerate() {
                listener(*token, sample.logprobs.get(at).copied().unwrap_or(f32::NAN));
            }
            Ok(sample)
        })
    }

    /// Log-probabilities of given rows under softmax(logits / `temperature`), one number for each token. Entry `i`
    /// is `ln p(row[i] | row[..i])`; the first entry of a row, which nothing precedes, is 0.
    fn score<'a>(&'a self, rows: &'a [Vec<TokenId>], temperature: f32) -> Boxed<'a, Result<Vec<Vec<f32>>>>;

    /// The longest row, prompt and continuation together, that this policy can read.
    fn context_length(&self) -> usize;
}

/// What a learner can honour.
#[derive(Clone, Debug, PartialEq)]
pub struct Capabilities {
    /// The longest training row in tokens.
    pub context_length: usize,
    /// A token's training log-probability equals its sampling log-probability bit for bit.
    pub exact_logprobs: bool,
    /// The same calls give the same weights bit for bit.
    pub deterministic: bool,
    /// [`Loss::entropy_bonus`] may differ from 0.
    pub entropy_bonus: bool,
    /// [`Loss::kl`] may be given.
    pub kl_in_loss: bool,
    /// Log-probabilities are of softmax(logits / temperature) for any temperature, in sampling, scoring and training. Where not,
    /// only temperature 1 is served, and 0 (greedy) in sampling.
    pub temperatures: bool,
    /// A snapshot may be sampled from after later steps. Where not, that is refused.
    pub lasting_snapshots: bool,
    /// A snapshot that was made before the first step may be sampled from and scored with ever after: it can be a reference.
    pub lasting_start: bool,
    /// Names the numeric path (kernels and arithmetic). Two learners with the same path give the same bits; a run is
    /// resumed only on the path it was started on.
    pub numeric_path: String,
}
