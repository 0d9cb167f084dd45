//! The speaker: from an order to replies, all of them at once.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::future::try_join_all;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use serde_json::Value;
use zerosearch_learner::text::Text;
use zerosearch_learner::{Listener, Policy, Sample, StopReason, TokenId};

use super::super::refusal::Refusal;
use super::order::{Order, refusal};
use super::shape::{Ending, Shape, Usage};
use super::teller::Teller;

/// A policy and the name that clients know it by.
#[derive(Clone)]
pub struct PolicyService {
    /// Who samples.
    pub policy: Arc<dyn Policy>,
    /// Its words.
    pub text: Arc<Text>,
    /// Its name under `/v1/models`.
    pub name: String,
    /// How long a reply may take that is told word by word.
    pub time_limit: Duration,
}

/// A policy at work, and who counts.
pub(super) struct Speaker {
    pub(super) service: PolicyService,
    tokens: Family<Kind, Counter>,
    replies: Family<Outcome, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

/// A reply that is being sampled; counted when it ends, or is dropped because nobody waits for it any more.
struct Pending<'a> {
    replies: &'a Family<Outcome, Counter>,
    outcome: &'static str,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.replies.get_or_create(&Outcome { outcome: self.outcome }).inc();
    }
}

impl Speaker {
    /// `service` at work; `registry` tells what it counts.
    pub(super) fn new(service: PolicyService, registry: &mut Registry) -> Self {
        let speaker = Self { service, tokens: Family::default(), replies: Family::default() };
        let help = "Tokens of prompts that were read and of replies that were sampled to their end";
        registry.register("tokens", help, speaker.tokens.clone());
        let help =
            "Replies by how they ended: stop, length, failed, or dropped because their client went away";
        registry.register("replies", help, speaker.replies.clone());
        speaker
    }

    /// The shape in which replies to `order` are written.
    pub(super) fn shape(&self, order: &Arc<Order>) -> Shape {
        let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Shape::new(Arc::clone(order), Arc::clone(&self.service.text), self.service.name.clone(), created)
    }

    /// All replies to `order`, when the last of them is there.
    pub(super) async fn reply(&self, order: &Arc<Order>) -> Result<Value, Refusal> {
        let shape = &self.shape(order);
        let replies = (0..order.replies()).map(|index| async move {
            let (mut teller, sample) =
                (self.teller(order, index).await?, self.sample(order, index, None).await?);
            for (at, token) in sample.tokens.iter().enumerate() {
                teller.push(*token, sample.logprobs.get(at).copied());
            }
            let choice = shape.choice(index, &teller.rest(), &self.ending(order, index, &sample));
            Ok::<_, Refusal>((choice, sample.tokens.len()))
        });
        let replies: Vec<(Value, usize)> = try_join_all(replies).await?;
        let mut usage = Usage::of(order);
        let choices = replies.into_iter().map(|(choice, tokens)| {
            usage.completion += tokens;
            choice
        });
        let choices = choices.collect();
        Ok(shape.whole(choices, usage))
    }

    /// Who tells reply `index`; an echo has been told.
    pub(super) async fn teller(&self, order: &Order, index: usize) -> Result<Teller, Refusal> {
        let sampling = order.sampling(index);
        let mut teller = Teller::new(Arc::clone(&self.service.text), order.telling, sampling.stop_strings);
        if order.telling.echo {
            let rows = [sampling.prompt];
            let temperature = if sampling.temperature > 0.0 { sampling.temperature } else { 1.0 };
            let scores = match order.telling.logprobs {
                true => {
                    self.service.policy.score(&rows, temperature).await.map_err(|why| refusal(&why))?.pop()
                }
                false => None,
            };
            teller.echo(&rows[0], scores);
        }
        Ok(teller)
    }

    /// Samples reply `index`, and tells `listener` of every token.
    pub(super) async fn sample(
        &self,
        order: &Order,
        index: usize,
        listener: Option<Listener>,
    ) -> Result<Sample, Refusal> {
        let mut pending = Pending { replies: &self.replies, outcome: "dropped" };
        let request = order.sampling(index);
        self.count("prompt", request.prompt.len());
        let policy = &self.service.policy;
        let sampled = match listener {
            // Only the prompt was to be read.
            _ if request.max_tokens == 0 => Ok(Sample::default()),
            Some(listener) => policy.sample_aloud(request, listener).await,
            None => policy.sample(request).await,
        };
        match &sampled {
            Ok(sample) => {
                self.count("completion", sample.tokens.len());
                pending.outcome = Ending::reason(sample.stop);
            }
            Err(_) => pending.outcome = "failed",
        }
        sampled.map_err(|why| refusal(&why))
    }

    /// How reply `index` ended.
    pub(super) fn ending(&self, order: &Order, index: usize, sample: &Sample) -> Ending {
        let own = |token: &&TokenId| !self.service.text.stop_tokens().contains(token);
        let stopped_by = match sample.stop {
            StopReason::Length => Value::Null,
            StopReason::StopString(at) => order.sampling(index).stop_strings.get(at).cloned().into(),
            // The model's own end of turn is no stop that the client asked for.
            StopReason::StopToken => sample.tokens.last().filter(own).copied().into(),
        };
        Ending { reason: Ending::reason(sample.stop), stopped_by }
    }

    fn count(&self, kind: &'static str, tokens: usize) {
        self.tokens.get_or_create(&Kind { kind }).inc_by(tokens as u64);
    }
}
