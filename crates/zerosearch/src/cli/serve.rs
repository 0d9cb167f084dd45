//! `zerosearch serve`

use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::{Args, Subcommand};
use zerosearch::config::{EngineName, Plan, Purpose, Setting};
use zerosearch::engines::{Engines, needs_stock};
use zerosearch::learners::{Pool, Voice, open_voice};
use zerosearch::problem::problem;
use zerosearch::serve::{
    PolicyService, SearchService, Sign, Terms, TinkerService, Token, model, open, search, tinker,
};
use zerosearch::stop::{Reason, Stop};

use super::flags::{EngineFlags, PlanFlags, config};
use super::place::in_recipe;
use super::screen::say;

/// Offer an engine, a policy, or a learner, to other programs over HTTP
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  zerosearch serve search --engine bm25 --corpus wiki.jsonl.gz
  zerosearch serve model --model runs/train/checkpoints/000030
  zerosearch serve tinker --model SmolLM2-135M-Instruct")]
pub(super) struct Serve {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// A search engine, real or simulated, as the servers of Search-R1, SkyRL and ZeroSearch
    ///
    /// POST /retrieve takes the three dialects: {"queries": [..], "topk": 3, "return_scores": true} (Search-R1, verl, slime),
    /// {"query": "..", "topk": 3, "return_scores": true} (SkyRL), {"query": "..", "top_k": 3} (ZeroSearch). POST or GET
    /// /search tells all that is known of the documents. GET /health, /metrics (Prometheus) and /openapi.json.
    ///
    /// A simulated engine writes what it is told to. Each request may carry, in every dialect: label (useful or noisy), labels
    /// (one for each document; with queries, one for each query), noise (a chance: a coin is tossed), seed, question,
    /// golden_answers. One that says nothing of noise gets what --noise says, and is refused without it; one that may get
    /// useful documents and brings no golden answers is refused, always: the simulator would not know what is useful.
    ///
    /// Ctrl-C or SIGTERM: no new connections, and what is under way is answered; again: leave at once.
    #[command(after_help = "\
Examples:
  zerosearch serve search --engine bm25 --corpus wiki.jsonl.gz --port 8000
  zerosearch serve search --engine simulated --model runs/simulator/checkpoints/001000 --set simulator.mode=tuned --noise 0.25
  curl localhost:8000/retrieve --json '{\"queries\": [\"who wrote emma\"], \"topk\": 3, \"return_scores\": true}'
  curl localhost:8000/search --json '{\"query\": \"who wrote emma\", \"golden_answers\": [\"Jane Austen\"], \"label\": \"useful\"}'")]
    Search(Box<Search>),
    /// A policy over the OpenAI API
    ///
    /// POST /v1/completions (a text, token ids, or a list of either; echo) and /v1/chat/completions; GET /v1/models, /health,
    /// /metrics (Prometheus) and /openapi.json. Both with stream, n, seed, stop, stop_token_ids, temperature, top_p, top_k, max_tokens, and with
    /// return_token_ids, return_tokens_as_token_ids, include_stop_str_in_output, skip_special_tokens and ignore_eos as vLLM has them.
    ///
    /// The same request with the same seed gets the same reply. Log-probabilities (logprobs: 1, or true in a chat) are those of the
    /// distribution that is sampled from, softmax(logits / temperature) before top_p and top_k, and of sampled tokens only:
    /// top_logprobs is refused, as is every other parameter that cannot be honoured, by name. Prompts as texts are the model's own:
    /// special tokens spelled in them are special tokens, and what belongs before every text is put before each; in the messages
    /// of a chat they are ordinary text.
    ///
    /// Ctrl-C or SIGTERM: no new connections, and what is under way is answered; again: leave at once.
    #[command(after_help = "\
Examples:
  zerosearch serve model --model SmolLM2.gguf --port 8001
  zerosearch serve model --model runs/train/checkpoints/000030 --name policy --host 0.0.0.0 --token-env ZEROSEARCH_TOKEN
  curl localhost:8001/v1/chat/completions --json '{\"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}], \"max_tokens\": 20}'")]
    Model(Box<Model>),
    /// A learner over the Tinker API, so that Python recipes train with it
    ///
    /// What the `tinker` package asks for, 0.24.1 in JSON and 0.38.0 in protobuf: POST and GET below /api/v1, as the hosted service
    /// has them; GET /health, /metrics (Prometheus) and /openapi.json. A client needs two variables: TINKER_BASE_URL (what the first
    /// line says) and TINKER_API_KEY (any that begins with tml-; with --token-env, the right one).
    ///
    /// Models are made over the base model, which is --model under its --name: adapters with alpha 32 of whatever rank, of
    /// attention, feed-forward parts and head as a client says, or all weights for rank 0. Losses: cross_entropy,
    /// importance_sampling, ppo and cispo, summed over tokens and rows; any other is refused by name. Rows train on the tokens that
    /// follow: other targets are refused. AdamW as each step says it, all weights decaying alike, gradients clipped to
    /// grad_clip_norm. Log-probabilities of samples and prompts are those of softmax(logits / temperature), before top_p and top_k.
    ///
    /// A session that is silent for 300 s (--silence-s) is ended and its models are unloaded; what was not saved is lost, as it is
    /// when the server stops. Saved weights stay in --out, for a later server too, until somebody deletes them (ttl_seconds is
    /// ignored): with optimizer, or for sampling as a Hugging Face directory or an adapter as peft keeps it, which /archive gives.
    ///
    /// Ctrl-C or SIGTERM: no new connections, and what is under way is answered; again: leave at once.
    #[command(after_help = "\
Examples:
  zerosearch serve tinker --model SmolLM2-135M-Instruct --out checkpoints
  zerosearch serve tinker --model random --port 8002
  TINKER_BASE_URL=http://127.0.0.1:8002 TINKER_API_KEY=tml-any python recipe.py
  zerosearch serve tinker --model SmolLM2-135M-Instruct --host 0.0.0.0 --token-env ZEROSEARCH_TOKEN")]
    Tinker(Box<Tinker>),
}

/// The longest body, in MiB, of those who ask for documents or words.
const QUERIES_MIB: usize = 8;
/// The longest body, in MiB, of those who send whole batches: their own library cuts at about 5 million numbers.
const BATCHES_MIB: usize = 64;
/// How long a client of a learner waits for a result before it is told to ask again; its own patience is 45 s.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Where a server listens, and how much it takes.
#[derive(Args, Debug)]
struct TermsFlags {
    /// The port; 0 for one that is free. The first line that is printed says which
    #[arg(long, value_name = "PORT", default_value_t = 8000)]
    port: u16,
    /// The address to listen at; any but this machine's own needs --token-env
    #[arg(long, value_name = "IP", default_value = "127.0.0.1", value_parser = host)]
    host: IpAddr,
    /// The environment variable with the token that clients must send as `Authorization: Bearer TOKEN`, or `X-API-Key: TOKEN`
    #[arg(long, value_name = "VARIABLE")]
    token_env: Option<String>,
    /// Requests that are answered at once; more get 503 and Retry-After
    #[arg(long, value_name = "N", default_value = "1024")]
    max_in_flight: NonZeroUsize,
    /// Requests in a second of one client, which is an address with the token that it shows; more get 429 and Retry-After
    /// [default: no limit]
    #[arg(long, value_name = "N")]
    max_per_second: Option<NonZeroU32>,
    /// The longest body of a request in MiB; longer ones get 413 [default: 8; 64 for a learner, whose clients send whole batches]
    #[arg(long, value_name = "MIB")]
    max_body_mib: Option<NonZeroUsize>,
    /// Seconds in which the head of a request must have come; then its connection is closed, as is one that is silent
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0, value_parser = seconds)]
    head_limit_s: f64,
    /// Seconds that an answer may take; then the client gets 504
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0, value_parser = seconds)]
    time_limit_s: f64,
    /// Seconds that requests under way may take once the server is asked to stop
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, value_parser = seconds)]
    grace_s: f64,
}

#[derive(Args, Debug)]
struct Search {
    /// A config file for the engine
    #[arg(value_name = "RECIPE")]
    recipe: Option<PathBuf>,
    #[command(flatten)]
    engine: EngineFlags,
    /// The model that plays a simulated engine: a Hugging Face directory, a .gguf file or a hub id (sets simulator.model)
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// The chance of noise for requests that say nothing of it; 1 serves clients that know no golden answers
    #[arg(long, value_name = "CHANCE", value_parser = chance)]
    noise: Option<f64>,
    /// Documents for a request that names no number (sets rollout.k)
    #[arg(long, value_name = "N")]
    k: Option<u32>,
    /// Queries that one request may hold; more get 413
    #[arg(long, value_name = "N", default_value = "1024")]
    max_queries: NonZeroUsize,
    #[command(flatten)]
    terms: TermsFlags,
    /// Set a key of the config, for example `--set simulator.mode=tuned`; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<Setting>,
}

#[derive(Args, Debug)]
struct Model {
    /// A config file for the model
    #[arg(value_name = "RECIPE")]
    recipe: Option<PathBuf>,
    #[command(flatten)]
    plan: PlanFlags,
    /// The name that clients know the model by [default: the model as it was named]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    terms: TermsFlags,
}

#[derive(Args, Debug)]
struct Tinker {
    /// A config file for the model
    #[arg(value_name = "RECIPE")]
    recipe: Option<PathBuf>,
    /// The base model: a Hugging Face directory, a .gguf file or a hub id (sets model.path)
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// The name that clients know it by [default: the model as it was named]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The folder of checkpoints; what an earlier server saved there can be loaded
    #[arg(long, value_name = "FOLDER", default_value = "tinker-checkpoints")]
    out: PathBuf,
    /// Models that train at the same time, of all clients together; more are refused
    #[arg(long, value_name = "N", default_value = "4")]
    max_models: NonZeroUsize,
    /// Samplers whose weights are kept besides the base model's; the ones that were not used for longest are dropped. Each of them, and
    /// the base model, has an equal share of model.cache_gib for keys and values
    #[arg(long, value_name = "N", default_value = "4")]
    max_samplers: NonZeroUsize,
    /// Seconds without a word from a session after which it is ended
    #[arg(long, value_name = "SECONDS", default_value_t = 300.0, value_parser = seconds)]
    silence_s: f64,
    #[command(flatten)]
    terms: TermsFlags,
    /// Set a key of the config, for example `--set model.arithmetic=f32`; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<Setting>,
}

impl Serve {
    pub(super) async fn run(self, stop: &Stop) -> Result<Option<Reason>> {
        match self.what {
            What::Search(it) => it.run(stop).await,
            What::Model(it) => it.run(stop).await,
            What::Tinker(it) => it.run(stop).await,
        }
    }
}

impl Search {
    async fn run(self, stop: &Stop) -> Result<Option<Reason>> {
        let terms = self.terms.terms(QUERIES_MIB)?;
        let plan = self.plan()?;
        let pool = Pool::new(&plan.model);
        let mut engines = Engines::new(&plan, &pool, None, None);
        let desk = match stop.or(engines.open(plan.eval.engine)).await {
            Ok(desk) => desk?,
            Err(reason) => return Ok(Some(reason)),
        };
        let service = SearchService {
            desk,
            k: plan.rollout.k,
            noise: self.noise,
            coin_per_document: plan.curriculum.per_document,
            seed: plan.run.seed,
            max_queries: self.max_queries.get(),
        };
        announced(search(service)?, &terms, plan.eval.engine.name(), stop).await
    }

    fn plan(&self) -> Result<Plan> {
        let mut settings: Vec<Setting> = self.engine.all().collect();
        settings.extend(self.model.iter().map(|model| Setting::of("simulator", "model", model.clone())));
        settings.extend(self.k.map(|k| Setting::of("rollout", "k", i64::from(k))));
        settings.extend(self.settings.iter().cloned());
        let plan = config(self.recipe.as_ref(), &settings)?.resolve(Purpose::Simulate);
        let plan = plan.map_err(|complaint| in_recipe(self.recipe.as_deref(), complaint))?;
        if plan.eval.engine == EngineName::Simulated && needs_stock(&plan) {
            return Err(problem("no model is named to play the engine")
                .hint(
                    "name one with `--model MODEL`, or servers with `--set simulator.urls=[\"http://HOST:PORT\"]`; or choose \
                     `--engine bm25`",
                )
                .into());
        }
        Ok(plan)
    }
}

impl Model {
    async fn run(self, stop: &Stop) -> Result<Option<Reason>> {
        let terms = self.terms.terms(QUERIES_MIB)?;
        let plan = config(self.recipe.as_ref(), &self.plan.all())?.resolve(Purpose::Use);
        let plan = plan.map_err(|complaint| in_recipe(self.recipe.as_deref(), complaint))?;
        let pool = Pool::new(&plan.model);
        let voice = match stop.or(open_voice((&plan.model, &plan.adapter), plan.run.seed, 0, &pool)).await {
            Ok(voice) => voice?,
            Err(reason) => return Ok(Some(reason)),
        };
        let name = self.name.unwrap_or_else(|| plan.model.path.clone());
        let Voice { policy, text, .. } = voice;
        let service = PolicyService { policy, text, name: name.clone(), time_limit: terms.time_limit };
        announced(model(service)?, &terms, &name, stop).await
    }
}

impl Tinker {
    async fn run(self, stop: &Stop) -> Result<Option<Reason>> {
        let terms = self.terms.terms(BATCHES_MIB)?;
        let mut plan = self.plan()?;
        plan.model.cache_gib /= self.max_samplers.get() as f64 + 1.0;
        let pool = Pool::new(&plan.model);
        let base = match stop.or(open_voice((&plan.model, &plan.adapter), plan.run.seed, 0, &pool)).await {
            Ok(base) => base?,
            Err(reason) => return Ok(Some(reason)),
        };
        let name = self.name.unwrap_or_else(|| plan.model.path.clone());
        let service = TinkerService {
            plan,
            pool,
            base,
            name: name.clone(),
            out: self.out,
            max_models: self.max_models.get(),
            max_samplers: self.max_samplers.get(),
            silence: Duration::from_secs_f64(self.silence_s),
            patience: LONGEST_WAIT.min(terms.time_limit / 2),
            stop: stop.clone(),
        };
        announced(tinker(service)?, &terms, &name, stop).await
    }

    fn plan(&self) -> Result<Plan> {
        let model = self.model.iter().map(|model| Setting::of("model", "path", model.clone()));
        let settings: Vec<Setting> = model.chain(self.settings.iter().cloned()).collect();
        let plan = config(self.recipe.as_ref(), &settings)?.resolve(Purpose::Use);
        let plan = plan.map_err(|complaint| in_recipe(self.recipe.as_deref(), complaint))?;
        if plan.adapter.rank > 0 || !plan.adapter.path.is_empty() {
            return Err(problem("clients say which adapters are trained, and over the base model alone")
                .hint("leave `[adapter]` out; `zerosearch export` merges an adapter into its model")
                .into());
        }
        Ok(plan)
    }
}

impl TermsFlags {
    fn terms(&self, usual_body_mib: usize) -> Result<Terms> {
        let body_mib = self.max_body_mib.map_or(usual_body_mib, NonZeroUsize::get);
        let terms = Terms {
            address: SocketAddr::new(self.host, self.port),
            token: self.token_env.as_deref().map(Token::from_environment).transpose()?,
            max_body_bytes: body_mib.saturating_mul(1 << 20),
            max_in_flight: self.max_in_flight.get(),
            max_per_second: self.max_per_second,
            head_limit: Duration::from_secs_f64(self.head_limit_s),
            time_limit: Duration::from_secs_f64(self.time_limit_s),
            grace: Duration::from_secs_f64(self.grace_s),
        };
        // Before a model is loaded for nothing.
        terms.check()?;
        Ok(terms)
    }
}

/// Serves until the wish to stop, which is how a server ends well.
async fn announced(sign: Sign, terms: &Terms, what: &str, stop: &Stop) -> Result<Option<Reason>> {
    open(sign, terms, stop, |address| say(&format!("{what} is served at http://{address}"))).await?;
    Ok(None)
}

/// The address of an interface of this machine.
fn host(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| {
        "give an IP address: 127.0.0.1 for this machine alone, 0.0.0.0 for every address that it has".into()
    })
}

/// A chance, from 0 to 1.
fn chance(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(chance) if (0.0..=1.0).contains(&chance) => Ok(chance),
        _ => Err("give a number from 0 to 1, such as 0.25".into()),
    }
}

/// Seconds, above 0 and at most a day.
fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= 86_400.0 => Ok(seconds),
        _ => Err("give a number above 0 and up to 86400, such as 60".into()),
    }
}
