//! A description: requests and replies of a policy's server as its OpenAPI document tells them.
//!
//! Requests are read parameter by parameter (`fields`, `order`) and replies are written piece by piece (`shape`): no value has
//! one of these types. Tests hold them against what is served.

#![expect(dead_code, reason = "they are told of, and never made")]

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// What both routes take. Null is as good as nothing. Any other parameter is refused by name, unless its value asks for nothing.
#[derive(Serialize, ToSchema)]
pub(super) struct Sampling {
    /// The model's name, or nothing.
    model: Option<String>,
    /// Replies to each prompt.
    #[schema(minimum = 1, maximum = 128, default = 1)]
    n: Option<usize>,
    /// The same request with the same seed gets the same reply; without one, every request is another.
    seed: Option<i64>,
    /// Texts that end a reply.
    stop: Option<Texts>,
    /// Tokens that end it.
    stop_token_ids: Option<Vec<u32>>,
    /// The model's own last tokens do not end it.
    #[schema(default = false)]
    ignore_eos: Option<bool>,
    /// 0 takes the likeliest token, always.
    #[schema(minimum = 0, maximum = 100, default = 1)]
    temperature: Option<f32>,
    /// Only tokens that make up this much of the probability.
    #[schema(exclusive_minimum = 0, maximum = 1, default = 1)]
    top_p: Option<f32>,
    /// Only so many of the likeliest tokens; 0 or -1 for all.
    #[schema(minimum = -1, default = 0)]
    top_k: Option<i64>,
    /// Words as they come: events, the last of them `[DONE]`.
    #[schema(default = false)]
    stream: Option<bool>,
    /// Goes with `stream`.
    stream_options: Option<StreamOptions>,
    /// The ids of prompt and reply.
    #[schema(default = false)]
    return_token_ids: Option<bool>,
    /// Tokens beside log-probabilities are spelled `token_id:7`.
    #[schema(default = false)]
    return_tokens_as_token_ids: Option<bool>,
    /// The text ends with the stop text that ended it.
    #[schema(default = false)]
    include_stop_str_in_output: Option<bool>,
    /// Special tokens are left out of the text.
    #[schema(default = true)]
    skip_special_tokens: Option<bool>,
}

/// What a stream tells besides words.
#[derive(Serialize, ToSchema)]
struct StreamOptions {
    /// Whether its last chunk tells how many tokens were used.
    #[schema(default = false)]
    include_usage: Option<bool>,
}

/// A text, or several.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum Texts {
    /// One.
    One(String),
    /// Several.
    Several(Vec<String>),
}

/// What is to be continued.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum Prompt {
    /// A text, in which special tokens may be spelled.
    Text(String),
    /// The tokens of one.
    Tokens(Vec<u32>),
    /// Several texts.
    Texts(Vec<String>),
    /// The tokens of several.
    Rows(Vec<Vec<u32>>),
}

/// What `/v1/completions` takes.
#[derive(Serialize, ToSchema)]
pub(super) struct CompletionRequest {
    prompt: Prompt,
    /// Tokens of a reply; 0 goes with `echo`. More than the model reads beside the prompt are refused: `context_length_exceeded`.
    #[schema(minimum = 0, default = 16)]
    max_tokens: Option<usize>,
    /// The log-probability of each token that was sampled.
    #[schema(minimum = 0, maximum = 1)]
    logprobs: Option<usize>,
    /// The prompt before the reply.
    #[schema(default = false)]
    echo: Option<bool>,
    #[serde(flatten)]
    sampling: Sampling,
}

/// What `/v1/chat/completions` takes.
#[derive(Serialize, ToSchema)]
pub(super) struct ChatRequest {
    #[schema(min_items = 1)]
    messages: Vec<ChatMessage>,
    /// Tokens of a reply; without it, as many as the model reads. More than it reads beside the prompt are refused:
    /// `context_length_exceeded`.
    #[schema(minimum = 1)]
    max_completion_tokens: Option<usize>,
    /// The same, as it was called before.
    #[schema(minimum = 1)]
    max_tokens: Option<usize>,
    /// The log-probability of each token that was sampled.
    #[schema(default = false)]
    logprobs: Option<bool>,
    /// Others than the sampled token's are not known.
    #[schema(minimum = 0, maximum = 0)]
    top_logprobs: Option<usize>,
    #[serde(flatten)]
    sampling: Sampling,
}

/// What somebody said.
#[derive(Serialize, ToSchema)]
struct ChatMessage {
    /// `system`, `user`, `assistant`, or what else the model's chat template knows.
    role: String,
    content: Content,
    /// Not shown to the model.
    name: Option<String>,
}

/// A text, or parts of one.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum Content {
    /// In one piece.
    Text(String),
    /// In several.
    Parts(Vec<Part>),
}

/// A part of a message.
#[derive(Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part {
    /// Words.
    Text {
        /// The words.
        text: String,
    },
}

/// What `/v1/completions` gives; in a stream, every event is one.
#[derive(Serialize, ToSchema)]
pub(super) struct CompletionReply {
    id: String,
    /// `text_completion`
    object: String,
    /// Seconds since 1970.
    created: u64,
    model: String,
    choices: Vec<CompletionChoice>,
    /// In a stream, only where it was asked for, and null before the end.
    usage: Option<Usage>,
}

/// A reply to a prompt.
#[derive(Serialize, ToSchema)]
struct CompletionChoice {
    index: usize,
    text: String,
    logprobs: Option<CompletionLogprobs>,
    /// Null until it ended.
    finish_reason: Option<FinishReason>,
    /// The stop text or token that ended it.
    stop_reason: Option<StopReason>,
    /// With `return_token_ids`.
    token_ids: Option<Vec<u32>>,
    /// With `return_token_ids`.
    prompt_token_ids: Option<Vec<u32>>,
}

/// Log-probabilities, token by token.
#[derive(Serialize, ToSchema)]
struct CompletionLogprobs {
    tokens: Vec<String>,
    /// Null where nothing precedes a token.
    token_logprobs: Vec<Option<f32>>,
    /// Always null.
    top_logprobs: Option<Value>,
    /// Characters before each token.
    text_offset: Vec<usize>,
}

/// What `/v1/chat/completions` gives.
#[derive(Serialize, ToSchema)]
pub(super) struct ChatReply {
    id: String,
    /// `chat.completion`
    object: String,
    /// Seconds since 1970.
    created: u64,
    model: String,
    choices: Vec<ChatChoice>,
    usage: Usage,
    /// With `return_token_ids`.
    prompt_token_ids: Option<Vec<u32>>,
}

/// A reply in a chat.
#[derive(Serialize, ToSchema)]
struct ChatChoice {
    index: usize,
    message: Reply,
    logprobs: Option<ChatLogprobs>,
    finish_reason: FinishReason,
    /// The stop text or token that ended it.
    stop_reason: Option<StopReason>,
    /// With `return_token_ids`.
    token_ids: Option<Vec<u32>>,
}

/// What the policy said.
#[derive(Serialize, ToSchema)]
struct Reply {
    /// `assistant`
    role: String,
    content: String,
    /// Always null.
    refusal: Option<Value>,
}

/// An event of a chat that is streamed.
#[derive(Serialize, ToSchema)]
pub(super) struct ChatChunk {
    id: String,
    /// `chat.completion.chunk`
    object: String,
    /// Seconds since 1970.
    created: u64,
    model: String,
    choices: Vec<ChunkChoice>,
    /// Only where it was asked for, and null before the end.
    usage: Option<Usage>,
}

/// The next words of a reply in a chat.
#[derive(Serialize, ToSchema)]
struct ChunkChoice {
    index: usize,
    delta: Delta,
    logprobs: Option<ChatLogprobs>,
    /// Null until it ended.
    finish_reason: Option<FinishReason>,
    /// The stop text or token that ended it.
    stop_reason: Option<StopReason>,
    /// With `return_token_ids`.
    token_ids: Option<Vec<u32>>,
    /// With `return_token_ids`, in the first.
    prompt_token_ids: Option<Vec<u32>>,
}

/// What is new.
#[derive(Serialize, ToSchema)]
struct Delta {
    /// `assistant`, in the first.
    role: Option<String>,
    /// Words.
    content: Option<String>,
}

/// Log-probabilities, token by token.
#[derive(Serialize, ToSchema)]
struct ChatLogprobs {
    content: Vec<ChatLogprob>,
    /// Always null.
    refusal: Option<Value>,
}

/// The log-probability of a token.
#[derive(Serialize, ToSchema)]
struct ChatLogprob {
    token: String,
    logprob: f32,
    bytes: Option<Vec<u8>>,
    /// Always empty.
    top_logprobs: Vec<Value>,
}

/// Why a reply ended.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum FinishReason {
    /// The policy or a stop text ended it.
    Stop,
    /// It had no more tokens.
    Length,
}

/// A stop text, or a token.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum StopReason {
    /// The text.
    Text(String),
    /// The token.
    Token(u32),
}

/// Tokens of a request.
#[derive(Serialize, ToSchema)]
struct Usage {
    prompt_tokens: usize,
    completion_tokens: usize,
    total_tokens: usize,
}

/// The models that are served: one.
#[derive(Serialize, ToSchema)]
pub(super) struct Models {
    /// `list`
    object: String,
    data: Vec<Card>,
}

/// A model.
#[derive(Serialize, ToSchema)]
pub(super) struct Card {
    id: String,
    /// `model`
    object: String,
    /// Always 0.
    created: u64,
    /// `zerosearch`
    owned_by: String,
    /// Tokens that it reads, its reply included.
    max_model_len: usize,
}
