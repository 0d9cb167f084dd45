//! The engines' sections of a plan: who writes or finds documents, and how much of what is written is noise.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use zerosearch_search::Provider;

use super::{ApiName, DenseSearch, DialectName, ProviderName, SimulatorMode, Structure};

/// `[simulator]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Simulator {
    /// How it is prompted.
    pub mode: SimulatorMode,
    /// The template file of mode `template`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub template: Option<PathBuf>,
    /// How its reply becomes documents.
    pub structure: Structure,
    /// Words that a document is asked to have.
    pub words: usize,
    /// Words that it may have; a longer one is cut.
    pub max_words: usize,
    /// Tokens for one document.
    pub max_tokens: usize,
    /// Times that a reply with fewer usable documents than asked for is written again.
    pub rewrites: usize,
    /// Its sampling temperature.
    pub temperature: f64,
    /// Its nucleus.
    pub top_p: f64,
    /// A local model: a directory, a GGUF file or a hub id. Empty where servers are asked instead; with neither, the
    /// model that training starts from plays the engine.
    pub model: String,
    /// The folder of a LoRA adapter of that model, or of the policy's where none is named; empty for none.
    #[serde(default)]
    pub adapter: String,
    /// Base addresses of OpenAI-compatible servers.
    pub urls: Vec<String>,
    /// Which of their endpoints is used.
    pub api: ApiName,
    /// The model's name on the servers.
    pub model_name: String,
    /// The environment variable that holds the servers' key.
    pub key_env: String,
    /// Seconds to wait for one reply.
    pub timeout_s: f64,
    /// Tries after the first.
    pub retries: usize,
    /// Calls in flight at once.
    pub concurrency: usize,
}

impl Simulator {
    /// Where a local simulator's weights were last changed: its adapter, or else its model.
    pub fn newest_weights(&self) -> &str {
        if self.adapter.is_empty() { &self.model } else { &self.adapter }
    }
}

/// `[bm25]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bm25 {
    /// The corpus file, indexed in memory; empty where no engine needs one.
    pub corpus: String,
    /// The folder of a finished index in its place; empty without one.
    pub index: String,
    /// English words are cut to their stems; an index knows for itself.
    pub stemming: Option<bool>,
    /// The commonest English words are left out; an index knows for itself.
    pub stop_words: Option<bool>,
}

/// `[dense]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dense {
    /// The folder of a finished index; empty where no engine needs one.
    pub index: String,
    /// The folder of the encoder that made it, or its id on the hub.
    pub encoder: String,
    /// How far is searched.
    pub search: DenseSearch,
    /// Clusters that an approximate search looks into.
    pub probes: usize,
    /// Vectors are held in 8 bits, the few best scored again in 32.
    pub int8: bool,
}

/// `[retrieve]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Retrieve {
    /// Addresses of servers with the same index.
    pub urls: Vec<String>,
    /// How they are spoken to.
    pub dialect: DialectName,
    /// Seconds to wait for one reply.
    pub timeout_s: f64,
    /// Tries after the first.
    pub retries: usize,
    /// Calls in flight at once.
    pub concurrency: usize,
}

/// `[web]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Web {
    /// Who is asked.
    pub provider: ProviderName,
    /// Another address than the provider's own.
    pub url: String,
    /// The id of a Programmable Search Engine.
    pub cse_id: String,
    /// The environment variable that holds the key; empty for the provider's usual ones.
    pub key_env: String,
    /// Seconds to wait for one reply.
    pub timeout_s: f64,
    /// Tries after the first.
    pub retries: usize,
    /// Calls in flight at once.
    pub concurrency: usize,
}

/// `[cache]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cache {
    /// Where results are kept; empty for nowhere.
    pub folder: String,
    /// Whether nothing is asked but the cache.
    pub offline: bool,
}

impl ProviderName {
    /// Whom it names.
    pub fn provider(self) -> Provider {
        match self {
            Self::SerpApi => Provider::SerpApi,
            Self::Serper => Provider::Serper,
            Self::Brave => Provider::Brave,
            Self::Tavily => Provider::Tavily,
            Self::Google => Provider::Google,
            Self::SearXng => Provider::SearXng,
        }
    }
}

/// `[curriculum]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Curriculum {
    /// Chance of noise at the start.
    pub noise_start: f64,
    /// Chance of noise at the last step.
    pub noise_end: f64,
    /// Base of the growth; 1 for a straight line.
    pub base: f64,
    /// One coin for each document instead of one for each search call.
    pub per_document: bool,
}
