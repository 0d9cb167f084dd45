//! Replies: what a server answers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Tensor;

/// A session was opened.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "create_session")]
pub struct Session {
    /// Its name.
    pub session_id: String,
    /// Something to tell the user.
    #[serde(default)]
    pub info_message: Option<String>,
    /// Something to warn the user of.
    #[serde(default)]
    pub warning_message: Option<String>,
    /// Why it is of no use.
    #[serde(default)]
    pub error_message: Option<String>,
}

/// A request was accepted; its result is asked for by this name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Future {
    /// The name of the request.
    pub request_id: String,
    /// The model that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_id: Option<String>,
    /// Names of the samples that it will give.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample_sequence_ids: Option<Vec<String>>,
}

/// Not yet: ask again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "try_again")]
pub struct TryAgain {
    /// The name of the request.
    pub request_id: String,
    /// `active`, `paused_capacity` or `paused_rate_limit`.
    #[serde(default)]
    pub queue_state: Option<String>,
}

/// The request failed, told with a status of success.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostedFailure {
    /// What went wrong, and where it can be helped what to do.
    pub error: String,
    /// `user`, `server` or `unknown`.
    #[serde(default)]
    pub category: Option<String>,
}

/// What a server serves.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Supports {
    /// Its models.
    #[serde(default)]
    pub supported_models: Vec<SupportedModel>,
}

/// A model that a server serves.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SupportedModel {
    /// Its name.
    #[serde(default)]
    pub model_name: Option<String>,
    /// The longest row.
    #[serde(default)]
    pub max_context_length: Option<usize>,
}

/// A model was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "create_model")]
pub struct Created {
    /// Its name.
    pub model_id: String,
}

/// What a model is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "get_info")]
pub struct ModelInfo {
    /// Its name.
    pub model_id: String,
    /// What it is made of.
    pub model_data: BTreeMap<String, serde_json::Value>,
    /// Whether an adapter trains.
    #[serde(default)]
    pub is_lora: Option<bool>,
    /// Its rank.
    #[serde(default)]
    pub lora_rank: Option<usize>,
    /// The base model.
    #[serde(default)]
    pub model_name: Option<String>,
}

/// A loss was computed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ForwardBackwardReply {
    /// What kind of outputs these are; nobody's choice depends on it.
    #[serde(default)]
    pub loss_fn_output_type: String,
    /// For each row, numbers by name: `logprobs` of the targets, and others.
    pub loss_fn_outputs: Vec<BTreeMap<String, Tensor>>,
    /// Numbers about the batch.
    #[serde(default)]
    pub metrics: BTreeMap<String, f64>,
}

/// A step was made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepReply {
    /// Numbers about it; the gradient's norm under a name of the server's.
    #[serde(default)]
    pub metrics: Option<BTreeMap<String, f64>>,
}

/// Weights are ready to be sampled from: under an address, or in a sampling session.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "save_weights_for_sampler")]
pub struct SamplerSaved {
    /// The address.
    #[serde(default)]
    pub path: Option<String>,
    /// The sampling session.
    #[serde(default)]
    pub sampling_session_id: Option<String>,
}

/// A sampling session was opened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "create_sampling_session")]
pub struct SamplingSession {
    /// Its name.
    pub sampling_session_id: String,
}

/// Samples.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "sample")]
pub struct SampleReply {
    /// One for each that was asked for.
    pub sequences: Vec<SampledSequence>,
    /// Log-probabilities of the prompt's tokens; the first, or what was not computed, is null or missing.
    #[serde(default)]
    pub prompt_logprobs: Option<Vec<Option<f32>>>,
}

/// One sample.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SampledSequence {
    /// Why it ended.
    pub stop_reason: StopKind,
    /// Its tokens.
    pub tokens: Vec<i64>,
    /// Their log-probabilities.
    #[serde(default)]
    pub logprobs: Option<Vec<f32>>,
    /// Its name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sequence_id: String,
}

/// Why a sample ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StopKind {
    /// A token or a string that was asked for, or the end of the text.
    Stop,
    /// The most tokens.
    Length,
}

/// What training goes on from was saved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "save_weights")]
pub struct WeightsSaved {
    /// Its address.
    pub path: String,
}

/// Saved weights were taken up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "load_weights")]
pub struct LoadedWeights {
    /// The model that has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_id: Option<String>,
}

/// What saved weights are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WeightsInfo {
    /// What they began with.
    pub base_model: String,
    /// Whether an adapter was trained.
    pub is_lora: bool,
    /// Its rank.
    #[serde(default)]
    pub lora_rank: Option<usize>,
    /// Whether attention has an adapter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_attn: Option<bool>,
    /// Whether the feed-forward parts have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_mlp: Option<bool>,
    /// Whether the language-model head has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_unembed: Option<bool>,
}

/// A saved state, as a server lists it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Its name within its model.
    pub checkpoint_id: String,
    /// `training` or `sampler`.
    pub checkpoint_type: String,
    /// When it was saved (RFC 3339).
    pub time: String,
    /// Its address.
    #[serde(default)]
    pub tinker_path: String,
}
