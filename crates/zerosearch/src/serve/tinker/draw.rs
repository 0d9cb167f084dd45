//! A draw: what a client wants sampled, as a policy samples it.

use futures::future::try_join_all;
use zerosearch_learner::seed::Seed;
use zerosearch_learner::text::Text;
use zerosearch_learner::tinker::wire::{
    SampleOrder, SampleReply, SampledSequence, SamplingParams, Stop, StopKind,
};
use zerosearch_learner::{Policy, Result as LearnerResult, Sample, SamplingRequest, StopReason, TokenId};

use super::super::refusal::Refusal;
use super::batch::{Reads, token};

/// The most samples of one request.
const MOST_SAMPLES: usize = 1024;
/// The most texts that end a sample.
const MOST_STOPS: usize = 64;

/// Samples of one prompt, and whether its own tokens are scored.
pub(super) struct Draw {
    /// As the first sample is drawn.
    request: SamplingRequest,
    samples: usize,
    /// Of so many tokens at the end of the prompt log-probabilities are wanted.
    scored: Option<usize>,
}

impl Draw {
    /// What `order` asks of a model that `reads` so much.
    pub(super) fn of(order: &SampleOrder, text: &Text, reads: Reads) -> Result<Self, Refusal> {
        refuse_unknown(order)?;
        let bad = |why: String| Refusal::bad(format!("the prompt cannot be used: {why}")).about("prompt");
        let tokens = order.prompt.tokens().map(|id| token(id, reads.vocabulary));
        let prompt: Vec<TokenId> = tokens.collect::<Result<_, _>>().map_err(bad)?;
        if prompt.is_empty() {
            return Err(bad("it is empty, and a sample needs something to follow".into()));
        }
        if prompt.len() > reads.context {
            return Err(bad(format!("it has {} tokens; this model reads {}", prompt.len(), reads.context)));
        }
        if !(1..=MOST_SAMPLES).contains(&order.num_samples) {
            let message = format!("num_samples is {}; it lies from 1 to {MOST_SAMPLES}", order.num_samples);
            return Err(Refusal::bad(message).about("num_samples"));
        }
        let wanted = order.prompt_logprobs.unwrap_or(false);
        let scored = wanted.then(|| order.prompt_logprobs_last_n.unwrap_or(usize::MAX));
        let request = request(prompt, &order.sampling_params, text, reads.context)?;
        Ok(Self { request, samples: order.num_samples, scored })
    }

    /// How many samples it has.
    pub(super) fn samples(&self) -> usize {
        self.samples
    }

    /// Samples from `policy`.
    pub(super) async fn by(&self, policy: &dyn Policy) -> LearnerResult<SampleReply> {
        let samples = (0..self.samples).map(|index| policy.sample(self.request(index)));
        let samples = try_join_all(samples).await?;
        let prompt_logprobs = match self.scored {
            Some(last) => Some(self.scores(policy, last).await?),
            None => None,
        };
        Ok(SampleReply { sequences: samples.into_iter().map(sequence).collect(), prompt_logprobs })
    }

    /// Sample `index`. The first has the request's own seed.
    fn request(&self, index: usize) -> SamplingRequest {
        let own = self.request.seed;
        let seed =
            if index == 0 { own } else { Seed::run(own).purpose("reply").index(index as u64).number() };
        SamplingRequest { seed, ..self.request.clone() }
    }

    /// Log-probabilities of the prompt's last tokens, at the temperature of the samples. Nothing precedes the first.
    async fn scores(&self, policy: &dyn Policy, last: usize) -> LearnerResult<Vec<Option<f32>>> {
        let temperature = if self.request.temperature > 0.0 { self.request.temperature } else { 1.0 };
        let rows = [self.request.prompt.clone()];
        let scores = policy.score(&rows, temperature).await?.pop().unwrap_or_default();
        let first = scores.len().saturating_sub(last).max(1);
        Ok(scores.into_iter().enumerate().map(|(at, score)| (at >= first).then_some(score)).collect())
    }
}

fn sequence(sample: Sample) -> SampledSequence {
    SampledSequence {
        stop_reason: match sample.stop {
            StopReason::Length => StopKind::Length,
            StopReason::StopString(_) | StopReason::StopToken => StopKind::Stop,
        },
        tokens: sample.tokens.into_iter().map(i64::from).collect(),
        logprobs: Some(sample.logprobs),
        sequence_id: String::new(),
    }
}

/// Refuses what cannot be honoured.
fn refuse_unknown(order: &SampleOrder) -> Result<(), Refusal> {
    let wanted = [
        ("topk_prompt_logprobs", order.topk_prompt_logprobs > 0),
        ("topk_sample_logprobs", order.topk_sample_logprobs > 0),
        ("prompt_alt_tokens_k", order.prompt_alt_tokens_k > 0),
        ("target_prompt_logprobs", order.target_prompt_logprobs.is_some()),
        ("record_stability_info", order.record_stability_info == Some(true)),
    ];
    match wanted.iter().find(|field| field.1) {
        None => Ok(()),
        Some((name, _)) => {
            let message = format!(
                "`{name}` cannot be honoured by this server, which knows the log-probabilities of given and of sampled tokens \
                 only; leave it out"
            );
            Err(Refusal::bad(message).about(*name).coded("unsupported_parameter"))
        }
    }
}

fn request(
    prompt: Vec<TokenId>,
    params: &SamplingParams,
    text: &Text,
    context: usize,
) -> Result<SamplingRequest, Refusal> {
    let out_of_range = |name: &str, value: f64, range: &str| {
        let message = format!("{name} is {value}; it must be {range}");
        Err(Refusal::bad(message).about("sampling_params"))
    };
    let SamplingParams { temperature, top_p, top_k, .. } = *params;
    if !(0.0..=100.0).contains(&temperature) {
        return out_of_range("temperature", temperature, "from 0 to 100");
    }
    if !(top_p > 0.0 && top_p <= 1.0) {
        return out_of_range("top_p", top_p, "above 0, up to 1");
    }
    if top_k < -1 {
        return out_of_range("top_k", top_k as f64, "-1 for all, or a number of tokens");
    }
    let (stop_strings, stop_tokens) = stops(params.stop.as_ref(), text)?;
    Ok(SamplingRequest {
        max_tokens: params.max_tokens.unwrap_or(context),
        temperature: temperature as f32,
        top_p: top_p as f32,
        top_k: usize::try_from(top_k).unwrap_or(0),
        stop_strings,
        stop_tokens,
        seed: params.seed.map_or_else(rand::random, i64::cast_unsigned),
        prompt,
    })
}

/// Where nothing is said, the model's own last tokens end a sample.
fn stops(stop: Option<&Stop>, text: &Text) -> Result<(Vec<String>, Vec<TokenId>), Refusal> {
    let bad = |message: String| Refusal::bad(message).about("stop");
    let strings = match stop {
        None => return Ok((Vec::new(), text.stop_tokens().to_vec())),
        Some(Stop::Tokens(ids)) => {
            let token =
                |&id| TokenId::try_from(id).map_err(|_| bad(format!("`stop` holds {id}, which is no token")));
            return Ok((Vec::new(), ids.iter().map(token).collect::<Result<_, _>>()?));
        }
        Some(Stop::Strings(strings)) => strings.clone(),
        Some(Stop::String(string)) => vec![string.clone()],
    };
    if strings.iter().any(String::is_empty) || strings.len() > MOST_STOPS {
        return Err(bad(format!("`stop` holds an empty text, or more than {MOST_STOPS}")));
    }
    Ok((strings, Vec::new()))
}
