//! A policy on a server: a sampling session, whose weights stay as they are.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use futures::future::try_join_all;

use super::http::Body;
use super::learner::Shared;
use super::trouble::Trouble;
use super::wire::{
    Future, ModelInput, SampleOrder, SampleReply, SampledSequence, SamplingParams, Stop, StopKind,
};
use crate::text::StopMatcher;
use crate::{Boxed, LearnerError, Policy, Result, Sample, SamplingRequest, StopReason, TokenId};

const ROUTE: &str = "asample";

/// The weights of a [`super::TinkerLearner`] as they were when it was asked for them, or the base model.
pub struct TinkerPolicy {
    pub(super) shared: Arc<Shared>,
    /// The sampling session.
    pub(super) session: String,
    /// The number of its next request.
    pub(super) next: AtomicI64,
    /// How often the weights had changed; none for the base model, which never does.
    pub(super) version: Option<u64>,
}

impl TinkerPolicy {
    fn check_fresh(&self) -> Result<()> {
        let is_stale = self.version.is_some_and(|version| version != self.shared.version());
        if is_stale && !self.shared.quirks.lasting_samplers {
            return Err(LearnerError::Unsupported(
                "this snapshot is of weights before the last step, and the server would sample from others or put the old ones over \
                 those that train; take a new snapshot after each step"
                    .into(),
            ));
        }
        Ok(())
    }

    async fn reply(&self, request: &SamplingRequest) -> Result<Sample> {
        check_settings(request)?;
        self.shared.check_row(&request.prompt)?;
        if request.prompt.is_empty() {
            return Err(LearnerError::BadRequest("the prompt is empty; give at least one token".into()));
        }
        let room = request.max_tokens.min(self.shared.context_length - request.prompt.len());
        if room == 0 {
            self.check_fresh()?;
            return Ok(Sample::default());
        }
        let params = SamplingParams {
            max_tokens: Some(room),
            seed: Some(folded(request.seed)),
            temperature: f64::from(request.temperature),
            top_k: if request.top_k == 0 { -1 } else { request.top_k as i64 },
            top_p: f64::from(request.top_p),
            stop: Some(self.stop(request)),
        };
        let reply = self.ask(&request.prompt, params, false).await?;
        let sequence =
            reply.sequences.into_iter().next().ok_or_else(|| self.garbled("it holds no sample"))?;
        self.cut(sequence, request, room)
    }

    /// A server takes tokens to stop at or strings, never both: what it is not told is looked for here.
    fn stop(&self, request: &SamplingRequest) -> Stop {
        let quirks = &self.shared.quirks;
        let by_strings = quirks.stop_strings
            && !request.stop_strings.is_empty()
            && (request.stop_tokens.is_empty() || quirks.stops_at_end);
        if by_strings {
            return Stop::Strings(request.stop_strings.clone());
        }
        // A token that the model does not have stops nothing, and a server may not take it.
        let there = request.stop_tokens.iter().filter(|token| (**token as usize) < self.shared.vocabulary);
        Stop::Tokens(there.map(|&token| i64::from(token)).collect())
    }

    /// The sample up to the token that ends it.
    fn cut(&self, sequence: SampledSequence, request: &SamplingRequest, room: usize) -> Result<Sample> {
        let logprobs =
            sequence.logprobs.ok_or_else(|| self.garbled("its sample has no log-probabilities"))?;
        if logprobs.len() != sequence.tokens.len() || sequence.tokens.len() > room {
            let (tokens, numbers) = (sequence.tokens.len(), logprobs.len());
            return Err(self.garbled(&format!(
                "{tokens} tokens and {numbers} log-probabilities, at most {room} were asked for"
            )));
        }
        let mut matcher = StopMatcher::new(&request.stop_strings);
        let mut sample = Sample::default();
        for (token, logprob) in sequence.tokens.into_iter().zip(logprobs) {
            let token = self
                .shared
                .token(token)
                .ok_or_else(|| self.garbled(&format!("token {token} does not exist")))?;
            if logprob.is_nan() {
                return Err(self.garbled("a log-probability is no number"));
            }
            sample.tokens.push(token);
            sample.logprobs.push(logprob);
            let completed = matcher.push(self.shared.text.bytes(token));
            if request.stop_tokens.contains(&token) {
                return Ok(Sample { stop: StopReason::StopToken, ..sample });
            }
            if let Some(string) = completed {
                return Ok(Sample { stop: StopReason::StopString(string), ..sample });
            }
        }
        if sequence.stop_reason == StopKind::Stop && sample.tokens.len() < room {
            let length = sample.tokens.len();
            return Err(self.garbled(&format!(
                "it ended a sample after {length} of {room} tokens, at nothing that it was told to stop at; name its end of text among \
                 the stop tokens of the model's folder (eos_token_id in generation_config.json)"
            )));
        }
        Ok(sample)
    }

    async fn score_row(&self, row: &[TokenId]) -> Result<Vec<f32>> {
        self.shared.check_row(row)?;
        if row.len() < 2 {
            return Ok(vec![0.0; row.len()]);
        }
        let params = SamplingParams {
            max_tokens: Some(1),
            seed: Some(0),
            stop: Some(Stop::Tokens(Vec::new())),
            ..SamplingParams::default()
        };
        let reply = self.ask(row, params, true).await?;
        let told = reply
            .prompt_logprobs
            .ok_or_else(|| self.garbled("it holds no log-probabilities of the prompt"))?;
        // Some leave the first out, which nothing precedes: it is read from the end.
        let skipped = (told.len() + 1).checked_sub(row.len()).ok_or_else(|| {
            self.garbled(&format!("{} log-probabilities for {} tokens", told.len(), row.len()))
        })?;
        let rest = told.into_iter().skip(skipped).map(|logprob| logprob.filter(|number| !number.is_nan()));
        let scores: Option<Vec<f32>> = std::iter::once(Some(0.0)).chain(rest).collect();
        scores.ok_or_else(|| self.garbled("a log-probability of the prompt is missing"))
    }

    async fn ask(
        &self,
        prompt: &[TokenId],
        sampling_params: SamplingParams,
        score: bool,
    ) -> Result<SampleReply> {
        let _place =
            self.shared.places.acquire().await.map_err(|gone| LearnerError::Stopped(gone.to_string()))?;
        self.check_fresh()?;
        let order = SampleOrder {
            num_samples: 1,
            prompt: ModelInput::of(prompt.iter().map(|&token| i64::from(token))),
            sampling_params,
            sampling_session_id: Some(self.session.clone()),
            seq_id: Some(self.next.fetch_add(1, Ordering::Relaxed)),
            prompt_logprobs: Some(score),
            ..SampleOrder::default()
        };
        let server = &self.shared.server;
        // Sampling twice does no harm: the seed gives the same, and nothing is changed.
        let future: Future = server.submit(ROUTE, &Body::json(&order)?, true).await?;
        let reply = server.result(ROUTE, &future, self.shared.quirks.wire.media()).await?;
        let read = if reply.is_protobuf {
            SampleReply::from_protobuf(&reply.bytes).map_err(|error| error.to_string())
        } else {
            serde_json::from_slice(&reply.bytes).map_err(|error| error.to_string())
        };
        read.map_err(|problem| self.garbled(&problem))
    }

    fn garbled(&self, problem: &str) -> LearnerError {
        self.shared.server.error(ROUTE, &Trouble::Garbled(problem.to_owned()))
    }
}

impl Policy for TinkerPolicy {
    fn sample(&self, request: SamplingRequest) -> Boxed<'_, Result<Sample>> {
        Box::pin(async move { self.reply(&request).await })
    }

    fn score<'a>(&'a self, rows: &'a [Vec<TokenId>], temperature: f32) -> Boxed<'a, Result<Vec<Vec<f32>>>> {
        Box::pin(async move {
            check_temperature(temperature)?;
            try_join_all(rows.iter().map(|row| self.score_row(row))).await
        })
    }

    fn context_length(&self) -> usize {
        self.shared.context_length
    }
}

/// Refuses temperatures at which a server's log-probabilities are not what they should be.
pub(super) fn check_temperature(temperature: f32) -> Result<()> {
    if !(temperature.is_finite() && temperature > 0.0) {
        return Err(LearnerError::BadRequest(format!("`temperature` is {temperature}; it must be above 0")));
    }
    if temperature == 1.0 {
        return Ok(());
    }
    Err(LearnerError::Unsupported(format!(
        "temperature {temperature}: the server's log-probabilities are of temperature 1, whatever it samples at; use 1"
    )))
}

fn check_settings(request: &SamplingRequest) -> Result<()> {
    if request.temperature != 0.0 {
        check_temperature(request.temperature)?;
    }
    if !(request.top_p > 0.0 && request.top_p <= 1.0) {
        let problem = format!("`top_p` is {}; it must be above 0 and at most 1", request.top_p);
        return Err(LearnerError::BadRequest(problem));
    }
    if request.stop_strings.iter().any(String::is_empty) {
        return Err(LearnerError::BadRequest("a stop string is empty; leave it out".into()));
    }
    Ok(())
}

/// A seed of 31 bits, which every server takes.
fn folded(seed: u64) -> i64 {
    ((seed ^ (seed >> 31) ^ (seed >> 62)) & 0x7fff_ffff) as i64
}
