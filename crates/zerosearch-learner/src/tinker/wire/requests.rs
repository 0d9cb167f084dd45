//! Requests: what a client asks of a server.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Tensor;

/// Opens a session, which owns models and samplers and lives as long as its heart beats.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "create_session", default)]
pub struct CreateSession {
    /// Words for the server's lists.
    pub tags: Vec<String>,
    /// Notes for the server's lists.
    pub user_metadata: Option<BTreeMap<String, serde_json::Value>>,
    /// The version of the client library whose behaviour the server may expect.
    pub sdk_version: String,
}

/// Says that a session is still wanted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "session_heartbeat")]
pub struct Heartbeat {
    /// The session.
    pub session_id: String,
}

/// Makes a model that trains.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "create_model")]
pub struct CreateModel {
    /// The session that owns it.
    pub session_id: String,
    /// Counts the models of the session from 0.
    pub model_seq_id: i64,
    /// The server's name of the weights to begin with.
    pub base_model: String,
    /// The adapter to train; a rank of 0 trains all weights, where a server can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora_config: Option<LoraConfig>,
    /// The optimizer; AdamW where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optimizer_config: Option<OptimizerConfig>,
}

/// Which optimizer a model has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OptimizerConfig {
    /// Its name: `adamw`, or another that a server knows.
    pub r#type: String,
}

/// An adapter to train.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoraConfig {
    /// Its rank.
    pub rank: usize,
    /// Decides its first numbers.
    #[serde(default)]
    pub seed: Option<u64>,
    /// Whether the language-model head has one.
    #[serde(default = "yes")]
    pub train_unembed: bool,
    /// Whether the feed-forward parts have one.
    #[serde(default = "yes")]
    pub train_mlp: bool,
    /// Whether attention has one.
    #[serde(default = "yes")]
    pub train_attn: bool,
}

fn yes() -> bool {
    true
}

/// Gives up a model and its place on the server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "unload_model")]
pub struct UnloadModel {
    /// The model.
    pub model_id: String,
}

/// Asks what a model is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "get_info")]
pub struct GetInfo {
    /// The model.
    pub model_id: String,
}

/// Computes a loss and adds its gradients to those gathered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ForwardBackward {
    /// The model.
    pub model_id: String,
    /// Counts the requests of the model from 1: the order in which they are carried out.
    #[serde(default)]
    pub seq_id: Option<i64>,
    /// Rows and loss.
    pub forward_backward_input: ForwardBackwardInput,
    /// Whether no gradient is wanted. Only protobuf carries it; in JSON that is another route, with [`Forward`].
    #[serde(skip)]
    pub forward_only: bool,
}

/// Computes a loss and no gradients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Forward {
    /// The model.
    pub model_id: String,
    /// As of [`ForwardBackward`].
    #[serde(default)]
    pub seq_id: Option<i64>,
    /// Rows and loss.
    pub forward_input: ForwardBackwardInput,
}

/// Rows and a loss.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ForwardBackwardInput {
    /// `cross_entropy`, `importance_sampling`, `ppo`, `cispo` or another that the server knows.
    pub loss_fn: String,
    /// Its settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_fn_config: Option<BTreeMap<String, f64>>,
    /// The rows.
    pub data: Vec<Datum>,
}

/// A row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Datum {
    /// The tokens that the model reads.
    pub model_input: ModelInput,
    /// What the loss needs to know of each of them, by name: `target_tokens`, the token that follows, and numbers beside it.
    pub loss_fn_inputs: BTreeMap<String, Tensor>,
}

/// Tokens, in pieces that mean no more than their concatenation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelInput {
    chunks: Vec<Chunk>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
enum Chunk {
    #[serde(rename = "encoded_text")]
    EncodedText { tokens: Vec<i64> },
}

impl ModelInput {
    /// A row of one piece.
    pub fn of(tokens: impl IntoIterator<Item = i64>) -> Self {
        Self { chunks: vec![Chunk::EncodedText { tokens: tokens.into_iter().collect() }] }
    }

    /// All its tokens.
    pub fn tokens(&self) -> impl Iterator<Item = i64> + '_ {
        self.chunks.iter().flat_map(|Chunk::EncodedText { tokens }| tokens.iter().copied())
    }
}

/// Applies the gathered gradients and forgets them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "optim_step")]
pub struct OptimStep {
    /// The model.
    pub model_id: String,
    /// As of [`ForwardBackward`].
    #[serde(default)]
    pub seq_id: Option<i64>,
    /// The optimizer's numbers.
    pub adam_params: AdamParams,
}

/// The numbers of AdamW; those of the protocol's own client where a request has none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AdamParams {
    /// Learning rate of this step.
    pub learning_rate: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// The gradient's norm is cut to this; 0 for never.
    pub grad_clip_norm: f64,
}

impl Default for AdamParams {
    fn default() -> Self {
        Self {
            learning_rate: 1e-4,
            beta1: 0.9,
            beta2: 0.95,
            eps: 1e-12,
            weight_decay: 0.0,
            grad_clip_norm: 0.0,
        }
    }
}

/// Makes the weights as they are now ready to be sampled from: under a name that lasts (`path`), or for a sampling session alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "save_weights_for_sampler")]
pub struct SaveForSampler {
    /// The model.
    pub model_id: String,
    /// As of [`ForwardBackward`].
    #[serde(default)]
    pub seq_id: Option<i64>,
    /// The name that lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Counts the sampling sessions of the session from 0; without a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampling_session_seq_id: Option<i64>,
    /// `snapshot` where nothing is said: weights that never change. `inflight`: those saved last, whatever was asked before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

/// Opens a sampling session on saved weights, or on the base model as it came.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "create_sampling_session")]
pub struct CreateSamplingSession {
    /// The session that owns it.
    pub session_id: String,
    /// Counts the sampling sessions of the session from 0.
    pub sampling_session_seq_id: i64,
    /// Saved weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_path: Option<String>,
    /// The base model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_model: Option<String>,
}

/// Samples continuations of one prompt.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "sample")]
pub struct SampleOrder {
    /// How many.
    #[serde(default = "one")]
    pub num_samples: usize,
    /// What is continued.
    pub prompt: ModelInput,
    /// How.
    pub sampling_params: SamplingParams,
    /// The sampling session; or one of the two below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampling_session_id: Option<String>,
    /// Counts the requests of the sampling session from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq_id: Option<i64>,
    /// The base model as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_model: Option<String>,
    /// Saved weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_path: Option<String>,
    /// Whether log-probabilities of the prompt are wanted.
    #[serde(default)]
    pub prompt_logprobs: Option<bool>,
    /// How many of the likeliest alternatives of each prompt token are wanted.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub topk_prompt_logprobs: usize,
    /// The same of each sampled token.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub topk_sample_logprobs: usize,
    /// How many tokens are to be drawn in place of each prompt token.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub prompt_alt_tokens_k: usize,
    /// Tokens whose log-probabilities at places of the prompt are wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_prompt_logprobs: Option<serde_json::Value>,
    /// Of how many tokens at the prompt's end log-probabilities are wanted; of all where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_logprobs_last_n: Option<usize>,
    /// Whether the server keeps what a loss of its own needs of each sample.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record_stability_info: Option<bool>,
}

fn one() -> usize {
    1
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// How tokens are drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SamplingParams {
    /// The most tokens.
    pub max_tokens: Option<usize>,
    /// Decides the draws.
    pub seed: Option<i64>,
    /// Divides the logits; 0 for the likeliest token.
    pub temperature: f64,
    /// Among this many likeliest tokens; -1 for all.
    pub top_k: i64,
    /// Among the likeliest that reach this sum.
    pub top_p: f64,
    /// What ends it; where nothing is said, what the server thinks ends a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop: Option<Stop>,
}

impl Default for SamplingParams {
    fn default() -> Self {
        Self { max_tokens: None, seed: None, temperature: 1.0, top_k: -1, top_p: 1.0, stop: None }
    }
}

/// What ends a sample: tokens or strings, never both.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Stop {
    /// Any of these tokens. None of them: nothing but the length.
    Tokens(Vec<i64>),
    /// Any of these strings.
    Strings(Vec<String>),
    /// This string.
    String(String),
}

/// Saves what training goes on from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "save_weights")]
pub struct SaveWeights {
    /// The model.
    pub model_id: String,
    /// As of [`ForwardBackward`].
    #[serde(default)]
    pub seq_id: Option<i64>,
    /// The name to save under.
    #[serde(default)]
    pub path: Option<String>,
    /// Whether a state of that name is replaced.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub overwrite: bool,
}

/// Takes up what was saved: in a model that was just made, or, with the session instead of the model, in a new one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "load_weights")]
pub struct LoadWeights {
    /// The model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_id: Option<String>,
    /// As of [`ForwardBackward`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq_id: Option<i64>,
    /// The session of a model that loading makes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// Counts the models of the session, for a model that loading makes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_seq_id: Option<i64>,
    /// The address of the saved state.
    pub path: String,
    /// Whether the optimizer's state is taken up too.
    pub optimizer: bool,
    /// The base model, where it is not that of the saved state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_model: Option<String>,
    /// The optimizer of a model that loading makes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optimizer_config: Option<OptimizerConfig>,
}

/// Asks what saved weights are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OfWeights {
    /// Their address.
    pub tinker_path: String,
}

/// Asks for the result of an earlier request, and waits a while for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RetrieveFuture {
    /// The request.
    pub request_id: String,
    /// Whether a large result may be answered by its size alone.
    #[serde(default)]
    pub allow_metadata_only: bool,
}
