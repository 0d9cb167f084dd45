//! One request on its way through the sampler.

use std::sync::Arc;

use tokio::sync::oneshot;
use zerosearch_learner::text::{StopMatcher, Text};
use zerosearch_learner::{LearnerError, Listener, Result, Sample, SamplingRequest, StopReason, TokenId};

use super::cache::Cache;
use super::version::Version;
use crate::kernels::BLOCK;

/// A request, who continues it, and who waits for it.
pub(super) struct Call {
    pub(super) version: Arc<Version>,
    pub(super) request: SamplingRequest,
    pub(super) listener: Option<Listener>,
    pub(super) reply: oneshot::Sender<Result<Sample>>,
}

/// A request that has entered the batch.
pub(super) struct Row {
    pub(super) call: Call,
    /// The prompt and what was written so far.
    pub(super) tokens: Vec<TokenId>,
    /// How many of them have keys and values, or will after the forward pass that is being put together.
    pub(super) computed: usize,
    pub(super) blocks: Vec<u32>,
    /// Its tokens in the forward pass that is being put together, by where they begin in the row, if it takes part.
    pub(super) from: Option<usize>,
    /// Why it leaves without a sample.
    failure: Option<LearnerError>,
    /// Blocks that the row may come to need in all.
    pub(super) reserved: usize,
    sample: Sample,
    stop: StopMatcher,
    /// How many blocks are published, and the serial number of the last.
    published: (usize, u64),
}

impl Row {
    /// Blocks that `request` may come to need.
    pub(super) fn blocks_needed(request: &SamplingRequest) -> usize {
        (request.prompt.len() + request.max_tokens).div_ceil(BLOCK)
    }

    /// Enters with the part of the prompt that the cache knows after `beginning`; the last token is always computed.
    pub(super) fn enter(call: Call, beginning: u64, cache: &mut Cache) -> Self {
        let prompt = &call.request.prompt;
        let (blocks, serial) = cache.find(beginning, &prompt[..prompt.len() - 1]);
        Self {
            tokens: prompt.clone(),
            computed: blocks.len() * BLOCK,
            from: None,
            failure: None,
            reserved: Self::blocks_needed(&call.request),
            sample: Sample::default(),
            stop: StopMatcher::new(&call.request.stop_strings),
            published: (blocks.len(), serial),
            blocks,
            call,
        }
    }

    /// Tokens without keys and values.
    pub(super) fn pending(&self) -> usize {
        self.tokens.len() - self.computed
    }

    /// Takes up to `limit` pending tokens into the next forward pass: makes room for them, and publishes the blocks that
    /// they fill. Returns where they start.
    pub(super) fn advance(&mut self, limit: usize, cache: &mut Cache) -> Option<usize> {
        let from = self.computed;
        let to = from + self.pending().min(limit);
        while self.blocks.len() * BLOCK < to {
            self.blocks.push(cache.allocate()?);
        }
        self.computed = to;
        let (count, mut serial) = self.published;
        for index in count..to / BLOCK {
            let mut tokens = [0; BLOCK];
            tokens.copy_from_slice(&self.tokens[index * BLOCK..][..BLOCK]);
            serial = cache.publish(self.blocks[index], serial, tokens);
        }
        self.published = (to / BLOCK, serial);
        Some(from)
    }

    /// How many tokens were written so far.
    pub(super) fn written(&self) -> usize {
        self.sample.tokens.len()
    }

    /// Appends the next token; says whether it was the last. A log-probability that is not finite ends the row with an error.
    pub(super) fn append(
        &mut self,
        token: TokenId,
        logprob: f32,
        text: &Text,
        context_length: usize,
    ) -> bool {
        if !logprob.is_finite() {
            self.failure = Some(LearnerError::NotFinite(format!(
                "token {} of the reply to a prompt of {} tokens has the log-probability {logprob}: the model's numbers have \
                 left the finite range",
                self.written(),
                self.call.request.prompt.len()
            )));
            return true;
        }
        self.tokens.push(token);
        self.sample.tokens.push(token);
        self.sample.logprobs.push(logprob);
        if let Some(listener) = &self.call.listener {
            listener(token, logprob);
        }
        let stop_string = self.stop.push(text.bytes(token));
        let ended = if self.call.request.stop_tokens.contains(&token) {
            Some(StopReason::StopToken)
        } else if let Some(index) = stop_string {
            Some(StopReason::StopString(index))
        } else if self.written() >= self.call.request.max_tokens || self.tokens.len() >= context_length {
            Some(StopReason::Length)
        } else {
            None
        };
        if let Some(reason) = ended {
            self.sample.stop = reason;
        }
        ended.is_some()
    }

    /// Leaves the batch with its reply.
    pub(super) fn finish(self, cache: &mut Cache) {
        cache.release(&self.blocks);
        // Nobody waits any more if the caller was dropped; the reply is then of no use.
        let _ = self.call.reply.send(self.failure.map_or(Ok(self.sample), Err));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{Arithmetic, KeyValueBlocks, Workspace};

    /// A row of one pass that reads `tokens` at once, and how many of them it computes.
    fn enter(version: &Arc<Version>, tokens: &[TokenId], cache: &mut Cache) -> (Row, usize) {
        let request = SamplingRequest::of_length(tokens.to_vec(), 1, 0);
        let version = Arc::clone(version);
        let call = Call { version, request, listener: None, reply: oneshot::channel().0 };
        let mut row = Row::enter(call, 0, cache);
        let from = row.advance(usize::MAX, cache).unwrap();
        let computed = row.computed - from;
        (row, computed)
    }

    /// Eight members of a group enter in one pass: the first computes the prompt, each other only what follows its last
    /// whole block (and at least one token, whose output predicts the next).
    #[test]
    fn a_group_that_enters_together_computes_its_prompt_once() {
        let version = Arc::new(Version::alone(Arc::clone(crate::policy::tests::tiny().network())));
        for (length, rest) in [(4 * BLOCK, BLOCK), (4 * BLOCK + 1, 1), (4 * BLOCK + 7, 7)] {
            let mut cache =
                Cache::new(KeyValueBlocks::new(Arithmetic::F32, [1, 1, 2], &Workspace::default()), 100);
            let prompt: Vec<TokenId> = (0..length as TokenId).collect();
            let rows: Vec<(Row, usize)> = (0..8).map(|_| enter(&version, &prompt, &mut cache)).collect();
            let computed: Vec<usize> = rows.iter().map(|row| row.1).collect();
            assert_eq!(computed[0], length);
            assert_eq!(computed[1..], [rest; 7]);
            let shared = (length - rest) / BLOCK;
            assert!(rows.iter().all(|row| row.0.blocks[..shared] == rows[0].0.blocks[..shared]));
        }
    }
}
