//! The writer over OpenAI-compatible servers: a request becomes a body, a reply a text.

use std::sync::Arc;
use std::time::Instant;

use super::wire;
use super::{OpenAiClient, OpenAiSettings, Route};
use crate::{Boxed, SearchError, Servers, WriteRequest, Writer, Written};

/// Writes with OpenAI-compatible servers; [`OpenAiClient`] says how patiently they are asked.
#[derive(Debug)]
pub struct OpenAiWriter {
    name: String,
    client: OpenAiClient,
}

impl OpenAiWriter {
    /// A writer with `settings`, all of them checked. Nothing is sent yet; see [`OpenAiWriter::check`].
    pub fn new(settings: OpenAiSettings) -> Result<Self, SearchError> {
        let name = format!("openai:{}", settings.model);
        Ok(Self { name, client: OpenAiClient::new(settings)? })
    }

    /// Asks every server for one token; the first that cannot give it is the error. Meant for the start of a run,
    /// where it finds dead servers, wrong keys and unknown models before anything depends on them.
    pub async fn check(&self) -> Result<(), SearchError> {
        let request = WriteRequest {
            prompt: "Hello".into(),
            max_tokens: 1,
            temperature: 1.0,
            top_p: 1.0,
            ..WriteRequest::default()
        };
        let body = wire::body(self.client.settings(), &request);
        self.client.ask_each(&body, wire::recognise).await
    }

    /// The servers, to see how they fare.
    pub fn servers(&self) -> Arc<Servers> {
        self.client.servers()
    }

    async fn write_with_tries(&self, request: &WriteRequest) -> Result<Written, SearchError> {
        if !self.can_continue() && !request.reply_prefix.is_empty() {
            let why = "a chat server cannot continue a reply that was begun for it; use /v1/completions";
            return Err(SearchError::Writer(why.into()));
        }
        let started = Instant::now();
        let body = wire::body(self.client.settings(), request);
        let (reply, tries) = self.client.ask(&body, request.seed, wire::read).await?;
        Ok(Written {
            text: reply.text,
            finished: reply.finished,
            tokens: reply.tokens,
            tries,
            latency: started.elapsed(),
        })
    }
}

impl Writer for OpenAiWriter {
    fn write<'a>(&'a self, request: &'a WriteRequest) -> Boxed<'a, Result<Written, SearchError>> {
        Box::pin(self.write_with_tries(request))
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn identity(&self) -> String {
        self.client.identity()
    }

    fn can_continue(&self) -> bool {
        self.client.settings().route == Route::Completions
    }
}
