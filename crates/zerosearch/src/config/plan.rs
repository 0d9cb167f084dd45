//! A plan: what the program runs on, every choice made and every value checked.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

mod engines;
mod tinker;

pub use engines::{Bm25, Cache, Curriculum, Dense, Retrieve, Simulator, Web};
pub use tinker::Tinker;

/// Declares a closed set of names, as they are written in a config file.
macro_rules! names {
    ($($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub enum $name { $($(#[$variant_doc])* #[serde(rename = $text)] $variant,)* }

        impl $name {
            /// Every name with its meaning.
            pub(super) const NAMES: &'static [(&'static str, Self)] = &[$(($text, Self::$variant),)*];

            /// The name as a config file writes it.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    )*};
}

names! {
    /// Who trains.
    LearnerName {
        /// This process.
        Local = "local",
        /// A server of the Tinker protocol.
        Tinker = "tinker",
    }
    /// Kinds of servers of the Tinker protocol.
    PresetName {
        /// The hosted service.
        Hosted = "hosted",
        /// SkyRL on JAX.
        SkyRlJax = "skyrl-jax",
        /// SkyRL on FSDP and vLLM.
        SkyRlFsdp = "skyrl-fsdp",
        /// SkyRL on Megatron and vLLM.
        SkyRlMegatron = "skyrl-megatron",
        /// TuFT.
        TuFt = "tuft",
        /// `zerosearch serve tinker`.
        Zerosearch = "zerosearch",
    }
    /// In what form large bodies travel.
    WireName {
        /// As text.
        Json = "json",
        /// As little-endian arrays.
        Protobuf = "protobuf",
    }
    /// What a training server makes of the losses of tokens.
    ReductionName {
        /// Their sum.
        Sum = "sum",
        /// The mean of each row, and the mean of those.
        MeanOfRows = "mean_of_rows",
    }
    /// The numbers that the local learner computes in.
    Arithmetic {
        /// bf16 weights and activations, f32 sums.
        Bf16 = "bf16",
        /// f32 throughout: slower, for comparisons with other programs.
        F32 = "f32",
    }
    /// The modules that an adapter may change.
    AdapterTarget {
        /// Queries.
        Query = "q_proj",
        /// Keys.
        Key = "k_proj",
        /// Values.
        Value = "v_proj",
        /// What attention makes of them.
        Output = "o_proj",
        /// The gate of the feed-forward part.
        Gate = "gate_proj",
        /// What the gate lets through.
        Up = "up_proj",
        /// Back from there.
        Down = "down_proj",
        /// The language-model head.
        Head = "lm_head",
    }
    /// Who answers search calls.
    EngineName {
        /// A language model plays the engine, as `[simulator]` says.
        Simulated = "simulated",
        /// A fixed program plays it: useful documents hold a golden answer, noisy ones do not. No model needed.
        Scripted = "scripted",
        /// The corpus or the index of `[bm25]`, searched in this process.
        Bm25 = "bm25",
        /// The index of `[dense]`, searched in this process by the vectors of an encoder.
        Dense = "dense",
        /// `bm25` and `dense` together, by reciprocal rank fusion.
        Hybrid = "hybrid",
        /// The servers of `[retrieve]`.
        Retrieve = "retrieve",
        /// A provider that searches the web, as `[web]` says.
        Web = "web",
        /// The policy itself: it writes down what it knows of the query, and sees no golden answer.
        SelfSearch = "self",
        /// Nobody: the policy answers in one turn from what it knows.
        None = "none",
    }
    /// How far a dense engine searches.
    DenseSearch {
        /// Among all passages.
        Exact = "exact",
        /// Among those of `dense.probes` clusters.
        Approximate = "approximate",
    }
    /// How documents are shown to the policy.
    DocumentStyle {
        /// `Doc 1: text`
        ZeroSearch = "zerosearch",
        /// `Doc 1(Title: title) text`
        SearchR1 = "search-r1",
    }
    /// How the simulator is prompted.
    SimulatorMode {
        /// A few-shot prompt for any instruction-tuned model.
        Instruct = "instruct",
        /// The short prompt that fine-tuned simulators were trained on.
        Tuned = "tuned",
        /// The template file that `simulator.template` names.
        Template = "template",
    }
    /// How a simulator's reply becomes documents.
    Structure {
        /// The model writes them all; they are found in its text.
        Free = "free",
        /// Each document is begun for the model and ends with its line: for small models.
        Forced = "forced",
    }
    /// How a `/retrieve` server is spoken to.
    DialectName {
        /// `{"queries": [query], "topk": k}`
        SearchR1 = "search-r1",
        /// `{"query": query, "topk": k}`
        SkyRl = "skyrl",
        /// `{"query": query, "top_k": k}`
        ZeroSearch = "zerosearch",
    }
    /// Who searches the web.
    ProviderName {
        /// serpapi.com
        SerpApi = "serpapi",
        /// serper.dev
        Serper = "serper",
        /// Brave Search
        Brave = "brave",
        /// tavily.com
        Tavily = "tavily",
        /// Google's Programmable Search Engine
        Google = "google-cse",
        /// A SearXNG instance of one's own
        SearXng = "searxng",
    }
    /// Which endpoint of an OpenAI-compatible server is used.
    ApiName {
        /// `/v1/chat/completions`
        Chat = "chat",
        /// `/v1/completions`
        Completions = "completions",
    }
    /// How advantages are made of rewards.
    AlgorithmName {
        /// The reward itself, or its distance from `rl.baseline`.
        Reinforce = "reinforce",
        /// The reward's distance from its group's mean, in units of `rl.std`.
        Grpo = "grpo",
    }
    /// What REINFORCE compares a reward with.
    Baseline {
        /// Nothing: the raw reward, as in the paper.
        None = "none",
        /// The mean of the group's other rewards.
        LeaveOneOut = "leave_one_out",
        /// The mean of the whole batch.
        BatchMean = "batch_mean",
    }
    /// What GRPO divides by.
    Spread {
        /// The group's sample standard deviation.
        Sample = "sample",
        /// Nothing.
        None = "none",
    }
    /// What training raises.
    Reward {
        /// Token F1 of the answer, as in the paper.
        F1 = "f1",
        /// Exact match.
        Em = "em",
        /// A golden answer is contained in the answer.
        SubEm = "sub_em",
        /// The share of the policy's tokens that are protocol tags. It says nothing about the answer: it lets a
        /// random model show, within seconds, that the whole loop learns.
        Tags = "tags",
    }
    /// How the divergence from the reference policy is estimated.
    KlType {
        /// `lp - reference`
        K1 = "k1",
        /// `(reference - lp)^2 / 2`
        K2 = "k2",
        /// `exp(reference - lp) - (reference - lp) - 1`
        K3 = "k3",
    }
    /// Where the divergence is charged.
    KlPlace {
        /// Added to the loss.
        Loss = "loss",
        /// Taken from the reward.
        Reward = "reward",
    }
    /// How the learning rate goes on after the warm-up.
    Schedule {
        /// It stays.
        Constant = "constant",
        /// It falls along a cosine to `optimizer.min_share` of itself.
        Cosine = "cosine",
    }
}

/// Everything that a run is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The policy.
    pub model: Model,
    /// The server that trains it, where `model.learner` is `tinker`.
    #[serde(default)]
    pub tinker: Tinker,
    /// What trains beside it, or is used with it, in place of its own weights.
    #[serde(default)]
    pub adapter: Adapter,
    /// The policy's servers, where `model.path` is `server`.
    pub server: Server,
    /// What is asked in training.
    pub questions: Questions,
    /// How a conversation goes.
    pub rollout: Rollout,
    /// The model that plays the search engine.
    pub simulator: Simulator,
    /// A corpus that is searched in this process.
    pub bm25: Bm25,
    /// A dense index that is searched in this process.
    pub dense: Dense,
    /// Search servers.
    pub retrieve: Retrieve,
    /// A provider that searches the web.
    pub web: Web,
    /// Where results of engines are kept.
    pub cache: Cache,
    /// How much of what a simulator writes is noise.
    pub curriculum: Curriculum,
    /// How the policy learns from its conversations.
    pub rl: Rl,
    /// How weights are moved.
    pub optimizer: Optimizer,
    /// How the policy learns from examples.
    pub sft: Sft,
    /// What is measured on the way.
    pub eval: Eval,
    /// What is left on disk.
    pub run: Run,
}

/// `[adapter]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Adapter {
    /// The folder of a LoRA adapter to use, or to train on; empty for none.
    pub path: String,
    /// Rank of a new one to train; 0 for none.
    pub rank: usize,
    /// What a new one's factors are multiplied by is this over the rank.
    pub alpha: f64,
    /// Over the rank's root instead.
    pub rslora: bool,
    /// The modules that a new one changes.
    pub targets: Vec<AdapterTarget>,
}

impl Default for Adapter {
    /// None, and no new one.
    fn default() -> Self {
        use AdapterTarget::{Down, Gate, Key, Output, Query, Up, Value};
        let targets = vec![Query, Key, Value, Output, Gate, Up, Down];
        Self { path: String::new(), rank: 0, alpha: 0.0, rslora: false, targets }
    }
}

/// `[model]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// A Hugging Face directory, a GGUF file or a hub id; `random` for a random model of the shape below.
    pub path: String,
    /// Who trains it. Whatever only samples from it does so here.
    #[serde(default = "here")]
    pub learner: LearnerName,
    /// The numbers it is computed in.
    pub arithmetic: Arithmetic,
    /// Threads; 0 for one on each core. Results do not depend on it.
    pub threads: usize,
    /// Memory for activations in GiB; layers are recomputed where it does not suffice.
    pub activation_gib: f64,
    /// Memory for keys and values of all conversations together, in GiB.
    pub cache_gib: f64,
    /// Tokens that are trained on together.
    pub micro_batch_tokens: usize,
    /// A folder with the tokenizer of a random model; without one, the built-in.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tokenizer: Option<PathBuf>,
    /// Layers of a random model.
    pub layers: usize,
    /// Width of a random model.
    pub width: usize,
    /// Attention heads of a random model.
    pub heads: usize,
    /// Context of a random model in tokens.
    pub context: usize,
}

/// `[server]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Server {
    /// Base addresses of OpenAI-compatible servers with the same model.
    pub urls: Vec<String>,
    /// Which of their endpoints is used.
    pub api: ApiName,
    /// The model's name on the servers.
    pub name: String,
    /// A Hugging Face directory with the model's tokenizer.
    pub tokenizer: String,
    /// Tokens that the model reads.
    pub context: usize,
    /// The environment variable that holds the servers' key.
    pub key_env: String,
    /// Seconds to wait for one reply.
    pub timeout_s: f64,
    /// Tries after the first.
    pub retries: usize,
    /// Calls in flight at once.
    pub concurrency: usize,
}

/// `[questions]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Questions {
    /// The files to train on, each `path`, `name=path` or either with `@split`.
    pub train: Vec<String>,
    /// Files whose questions are taken out of the training questions.
    pub exclude: Vec<String>,
    /// Train on this many, drawn by the run's seed; 0 for all.
    pub limit: usize,
    /// Rows without a question or an answer are counted and left out, not refused.
    pub skip_unusable: bool,
}

/// `[rollout]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    /// Who answers search calls in training.
    pub engine: EngineName,
    /// Turns in which the policy may search; one more turn is left to answer. With none, it can only answer.
    pub max_turns: usize,
    /// Documents for each search call.
    pub k: usize,
    /// Tokens that the policy may write in one turn.
    pub max_response_tokens: usize,
    /// Tokens of documents that are shown in one turn.
    pub max_document_tokens: usize,
    /// Tokens of a whole conversation, the prompt included.
    pub max_context_tokens: usize,
    /// Sampling temperature in training.
    pub temperature: f64,
    /// A built-in prompt (`search`, `react`, `rag`, `cot`, `direct`) or a template file; without either, `search`, or
    /// `cot` where the policy cannot search.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub prompt: Option<String>,
    /// Whether a question that brings its own prompt is put that way.
    #[serde(default = "yes")]
    pub row_prompts: bool,
    /// A text file with what a turn without an action is told; without one, the built-in.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hint: Option<PathBuf>,
    /// The built-in template `reason-in-documents`, or a template file: the policy reads what a search found apart, and is
    /// shown its notes. Without either, it is shown the documents.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub distill: Option<String>,
    /// How documents are shown.
    pub document_style: DocumentStyle,
    /// Conversations in flight at once.
    pub concurrency: usize,
}

/// `[rl]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rl {
    /// How advantages are made.
    pub algorithm: AlgorithmName,
    /// REINFORCE's baseline.
    pub baseline: Baseline,
    /// GRPO's divisor.
    pub std: Spread,
    /// What is raised.
    pub reward: Reward,
    /// Steps in all.
    pub steps: usize,
    /// Questions in each step.
    pub questions_per_step: usize,
    /// Conversations for each question.
    pub group_size: usize,
    /// Optimizer steps made of each step's conversations.
    pub updates_per_step: usize,
    /// How far below 1 the probability ratio may fall.
    pub clip_low: f64,
    /// How far above 1 it may rise.
    pub clip_high: f64,
    /// How much divergence from the start weights costs; 0 for nothing, and no reference is kept.
    pub kl_coef: f64,
    /// How it is estimated.
    pub kl_type: KlType,
    /// Where it is charged.
    pub kl_in: KlPlace,
    /// How much entropy is rewarded.
    pub entropy_bonus: f64,
    /// Whether documents are left out of the loss.
    pub mask_documents: bool,
    /// The run stops when a larger share of a step's conversations is broken.
    pub max_broken_share: f64,
}

/// `[optimizer]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Optimizer {
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Steps of linear warm-up; the first is not zero.
    pub warmup_steps: usize,
    /// What follows the warm-up.
    pub schedule: Schedule,
    /// Where a cosine ends, as a share of the peak.
    pub min_share: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Whether norms and biases decay too.
    pub decay_all: bool,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Largest norm of the gradients; 0 for no limit.
    pub max_grad_norm: f64,
}

/// `[sft]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sft {
    /// The files to learn from.
    pub files: Vec<String>,
    /// How often each row is seen; 0 where `steps` are given.
    pub epochs: usize,
    /// Optimizer steps in all, however many times the rows are seen; 0 where `epochs` are given.
    #[serde(default)]
    pub steps: usize,
    /// Learn from this many rows, drawn by the run's seed; 0 for all.
    pub limit: usize,
    /// Rows of one optimizer step; 0 for as many as its tokens allow.
    #[serde(default)]
    pub rows_per_step: usize,
    /// Tokens of one optimizer step, prompts included; a longer row is a step of its own.
    pub tokens_per_step: usize,
    /// The longest row in tokens.
    pub max_row_tokens: usize,
    /// Longer rows are counted and left out, not refused.
    pub skip_long: bool,
}

/// `[eval]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Eval {
    /// Steps between two evaluations; 0 for none during training.
    pub every: usize,
    /// The files to ask from, each `path`, `name=path` or either with `@split`.
    pub questions: Vec<String>,
    /// Who answers search calls.
    pub engine: EngineName,
    /// Ask this many of each data set, drawn by the run's seed; 0 for all.
    pub count: usize,
    /// Chance of noise.
    pub noise: f64,
    /// Conversations about each question.
    pub samples: usize,
    /// Sampling temperature; 0 for greedy.
    pub temperature: f64,
}

/// `[run]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Every random draw follows from it.
    pub seed: u64,
    /// Steps between two checkpoints. The last step is always saved.
    pub save_every: usize,
    /// Checkpoints that are kept besides the best.
    pub keep: usize,
}

fn here() -> LearnerName {
    LearnerName::Local
}

/// What a plan says that was written before there was a choice.
fn yes() -> bool {
    true
}

impl EngineName {
    /// Whether its documents are written for a question and a label, so that it needs golden answers.
    pub fn writes_to_order(self) -> bool {
        matches!(self, Self::Simulated | Self::Scripted)
    }
}

impl Plan {
    /// Where the policy's weights were last changed: its adapter, or else its model.
    pub fn newest_weights(&self) -> &str {
        if self.adapter.path.is_empty() { &self.model.path } else { &self.adapter.path }
    }

    /// The local model that plays the engine, with its adapter, if the plan names one or an adapter of the policy's.
    pub fn simulator_model(&self) -> Option<(Model, Adapter)> {
        let Simulator { model, adapter, .. } = &self.simulator;
        let path = match (model.as_str(), adapter.as_str()) {
            ("", "") => return None,
            ("", _) => &self.model.path,
            _ => model,
        };
        let model = Model { path: path.clone(), ..self.model.clone() };
        Some((model, Adapter { path: adapter.clone(), ..Adapter::default() }))
    }

    /// The plan as a config file that resolves to itself.
    pub fn to_toml(&self) -> anyhow::Result<String> {
        Ok(toml::to_string(self)?)
    }
}
