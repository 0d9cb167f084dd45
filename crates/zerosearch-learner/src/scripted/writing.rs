//! A reply while it is written: it knows when the request wants it to end.

use crate::text::{StopMatcher, Text};
use crate::{LearnerError, Result, Sample, SamplingRequest, StopReason, TokenId};

/// The reply to one request so far.
pub(super) struct Writing<'a> {
    request: &'a SamplingRequest,
    text: &'a Text,
    room: usize,
    stop: StopMatcher,
    sample: Sample,
}

impl<'a> Writing<'a> {
    /// Refuses prompts that are empty, too long, or hold tokens that the text does not have.
    pub(super) fn begin(text: &'a Text, request: &'a SamplingRequest, context_length: usize) -> Result<Self> {
        if request.prompt.is_empty() {
            return Err(LearnerError::BadRequest("the prompt is empty; give at least one token".into()));
        }
        check_row(text, &request.prompt, context_length)?;
        let room = request.max_tokens.min(context_length - request.prompt.len());
        Ok(Self {
            request,
            text,
            room,
            stop: StopMatcher::new(&request.stop_strings),
            sample: Sample::default(),
        })
    }

    /// The token that the next one follows.
    pub(super) fn last(&self) -> TokenId {
        let written = self.sample.tokens.last().or(self.request.prompt.last());
        written.copied().unwrap_or_default()
    }

    /// Whether another token fits.
    pub(super) fn has_room(&self) -> bool {
        self.sample.tokens.len() < self.room
    }

    /// Appends a token; whether it ends the reply.
    pub(super) fn push(&mut self, token: TokenId, logprob: f32) -> bool {
        self.sample.tokens.push(token);
        self.sample.logprobs.push(logprob);
        let completed = self.stop.push(self.text.bytes(token));
        let stop = if self.request.stop_tokens.contains(&token) {
            Some(StopReason::StopToken)
        } else {
            completed.map(StopReason::StopString)
        };
        self.sample.stop = stop.unwrap_or_default();
        stop.is_some()
    }

    /// The reply as it stands.
    pub(super) fn finish(self) -> Sample {
        self.sample
    }
}

/// Refuses rows that do not fit and tokens that do not exist.
pub(super) fn check_row(text: &Text, row: &[TokenId], context_length: usize) -> Result<()> {
    if row.len() > context_length {
        return Err(LearnerError::TooLong { length: row.len(), context_length });
    }
    let vocabulary = text.vocabulary_size();
    match row.iter().find(|token| **token as usize >= vocabulary) {
        Some(&token) => Err(LearnerError::UnknownToken { token, vocabulary }),
        None => Ok(()),
    }
}
