//! A simulator in this process: a local policy that writes for a simulated search engine.

use std::sync::Arc;
use std::time::Instant;

use zerosearch_learner::text::{Message, Text};
use zerosearch_learner::{LearnerError, Policy, Sample, SamplingRequest, StopReason, TokenId};
use zerosearch_search::{Boxed, SearchError, WriteRequest, Writer, Written};

/// A [`Writer`] over a policy and its tokenizer: no server, and the same reply to the same request, always.
///
/// A model with a chat template gets a chat, any other the plain prompt. What the request says is encoded as plain
/// text, so that a query can spell no special token. The prompt's tokens depend on the prompt alone and those of the
/// reply's prefix follow, so that a policy with a prefix cache reads a repeated prompt once.
pub struct PolicyWriter {
    policy: Arc<dyn Policy>,
    text: Arc<Text>,
    name: String,
}

impl PolicyWriter {
    /// A writer that calls itself `name`.
    pub fn new(policy: Arc<dyn Policy>, text: Arc<Text>, name: impl Into<String>) -> Self {
        Self { policy, text, name: name.into() }
    }

    async fn reply(&self, request: &WriteRequest) -> Result<Written, LearnerError> {
        let started = Instant::now();
        let prompt = self.prompt(request)?;
        let wanted = usize::try_from(request.max_tokens).unwrap_or(usize::MAX);
        let room = self.policy.context_length().saturating_sub(prompt.len());
        if room == 0 {
            return Err(LearnerError::TooLong {
                length: prompt.len(),
                context_length: self.policy.context_length(),
            });
        }
        let sample = self.policy.sample(SamplingRequest {
            prompt,
            max_tokens: wanted.min(room),
            temperature: request.temperature,
            top_p: request.top_p,
            top_k: 0,
            stop_strings: request.stop.clone(),
            stop_tokens: self.text.stop_tokens().to_vec(),
            seed: request.seed,
        });
        let sample = sample.await?;
        Ok(Written {
            text: self.words(&sample, &request.stop),
            finished: sample.stop != StopReason::Length,
            tokens: Some(sample.tokens.len()),
            tries: 1,
            latency: started.elapsed(),
        })
    }

    fn prompt(&self, request: &WriteRequest) -> Result<Vec<TokenId>, LearnerError> {
        let mut tokens = if self.text.has_chat_template() {
            let system = request.system.as_ref().map(|system| Message::new("system", system));
            let messages: Vec<Message> =
                system.into_iter().chain([Message::new("user", &request.prompt)]).collect();
            self.text.chat_tokens(&messages, true)?
        } else {
            let system = request.system.as_deref().filter(|system| !system.is_empty());
            let parts: Vec<&str> = system.into_iter().chain([request.prompt.as_str()]).collect();
            let words = self.text.encode_plain(&format!("{}\n", parts.join("\n\n").trim_end()));
            [self.text.prefix(), &words].concat()
        };
        tokens.extend(self.text.encode_plain(&request.reply_prefix));
        Ok(tokens)
    }

    /// What was written before the stop token or the first stop text.
    fn words(&self, sample: &Sample, stop: &[String]) -> String {
        let tokens = match (sample.stop, sample.tokens.as_slice()) {
            (StopReason::StopToken, [words @ .., _]) => words,
            (_, words) => words,
        };
        let mut words = self.text.decode(tokens);
        let end =
            stop.iter().filter(|stop| !stop.is_empty()).filter_map(|stop| words.find(stop.as_str())).min();
        words.truncate(end.unwrap_or(words.len()));
        words
    }
}

impl Writer for PolicyWriter {
    fn write<'a>(&'a self, request: &'a WriteRequest) -> Boxed<'a, Result<Written, SearchError>> {
        Box::pin(async move {
            self.reply(request)
                .await
                .map_err(|problem| SearchError::Writer(format!("{}: {problem}", self.name)))
        })
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn can_continue(&self) -> bool {
        true
    }
}
