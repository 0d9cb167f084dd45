//! A writer: prompt in, text out. It is what a simulated engine writes its documents with.

use std::time::Duration;

use crate::{Boxed, SearchError};

/// Any language model that can answer a prompt: a server, or a model in this process.
pub trait Writer: Send + Sync {
    /// Writes one reply. Retries, time limits and concurrency are the writer's own business; whatever it does has to
    /// end. Dropping the future abandons the reply.
    ///
    /// An in-process writer gives the same reply to the same request, whatever else runs beside it.
    fn write<'a>(&'a self, request: &'a WriteRequest) -> Boxed<'a, Result<Written, SearchError>>;

    /// A short name for records and messages, such as `openai:qwen3-4b`.
    fn name(&self) -> &str;

    /// All that decides its replies besides the request, without a secret: weights and arithmetic, or model and servers.
    /// Part of a [`SearchEngine::identity`](crate::SearchEngine::identity).
    fn identity(&self) -> String;

    /// Whether [`WriteRequest::reply_prefix`] is honoured. A writer that says no refuses a request with a prefix.
    fn can_continue(&self) -> bool;
}

/// What is to be written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WriteRequest {
    /// The system message. `None`: whatever the model's chat template does without one; an empty text is an empty
    /// system message, which is not the same for templates that bring their own.
    pub system: Option<String>,
    /// The user's message.
    pub prompt: String,
    /// How the reply begins; the model goes on from here. Empty: the model begins.
    pub reply_prefix: String,
    /// The reply's length limit in tokens, prefix not counted.
    pub max_tokens: u32,
    /// Sampling temperature; 0 takes the likeliest token each time.
    pub temperature: f32,
    /// Nucleus sampling; 1 keeps every token.
    pub top_p: f32,
    /// The reply ends before the first of these. At most four: servers of the field take no more.
    pub stop: Vec<String>,
    /// Seeds the sampling.
    pub seed: u64,
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Written {
    /// The text, without the reply's prefix and without the stop text.
    pub text: String,
    /// Whether it ended by itself or at a stop text, rather than at `max_tokens`.
    pub finished: bool,
    /// How many tokens were written, where the writer knows.
    pub tokens: Option<usize>,
    /// How often it was tried: 1 when the first try succeeded.
    pub tries: u32,
    /// How long it took, waiting and retries included.
    pub latency: Duration,
}
