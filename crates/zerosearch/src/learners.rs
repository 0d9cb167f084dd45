//! Learners: from a plan's model to who trains, samples and scores.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use zerosearch_learner::scripted::BigramLearner;
use zerosearch_learner::text::{Text, tiny_text};
use zerosearch_learner::{Learner, Policy};
use zerosearch_local::{
    Checkpoint, Dtype, Family, LearnerOptions, LocalLearner, LocalPolicy, ModelConfig, PolicyOptions, Threads,
};

use crate::config::{Adapter, Arithmetic, EngineName, LearnerName, Model, Plan};
use crate::problem::problem;
use crate::train::sha256_of;

mod adapter;
mod asker;
mod identity;
mod needs;
mod server;
mod shelf;
mod tinker;

pub(crate) use adapter::shape as adapter_shape;
use identity::identity;
pub(crate) use needs::shape;
pub use needs::{Needs, needs};
use shelf::{Shelf, Title};

/// The model path that means a random model of the plan's shape.
const RANDOM: &str = "random";
/// The model path that means a table of bigrams, which learns within milliseconds: for tests of the program.
const BIGRAM: &str = "bigram";

/// The model path that means a fixed policy that only speaks.
const SCRIPTED: &str = "scripted";

/// The model path that means the plan's `[server]`.
const SERVER: &str = "server";

/// What the models of a program share: the threads that compute, and the memory of a model that is opened twice.
#[derive(Clone)]
pub struct Pool {
    threads: Arc<Threads>,
    shelf: Arc<Shelf>,
}

impl Pool {
    /// As many threads as `model` says.
    pub fn new(model: &Model) -> Self {
        let count = if model.threads == 0 { Threads::available() } else { model.threads };
        Self { threads: Arc::new(Threads::new(count)), shelf: Arc::default() }
    }
}

/// A model that trains.
pub struct Opened {
    /// Who samples, scores and trains.
    pub learner: Arc<dyn Learner>,
    /// Its words and tokens.
    pub text: Arc<Text>,
    /// SHA-256 of its files by their names; empty for a random model.
    pub hashes: BTreeMap<String, String>,
    /// Names its weights as they are now, and their arithmetic.
    pub identity: String,
}

/// A model that only speaks.
#[derive(Clone)]
pub struct Voice {
    /// Who samples and scores.
    pub policy: Arc<dyn Policy>,
    /// Names what decides the bits of its numbers.
    pub numeric_path: String,
    /// Its words and tokens.
    pub text: Arc<Text>,
    /// SHA-256 of its files by their names; empty for a random model.
    pub hashes: BTreeMap<String, String>,
    /// Names all that decides what it says: weights and arithmetic, or model and servers.
    pub identity: String,
}

/// Opens the model of `plan` for training, or the adapter over it that the plan wants. `context` is as for [`open_voice`].
pub async fn open(plan: &Plan, context: usize, pool: &Pool) -> Result<Opened> {
    open_drawn(plan, plan.run.seed, context, pool).await
}

/// The same, with the numbers of a new adapter drawn from `adapter_seed` in place of the run's.
pub async fn open_drawn(plan: &Plan, adapter_seed: u64, context: usize, pool: &Pool) -> Result<Opened> {
    let (model, seed) = (&plan.model, plan.run.seed);
    if model.learner == LearnerName::Tinker {
        return tinker::open(plan).await;
    }
    adapter::refuse_without_weights(model, &plan.adapter)?;
    if let Some(learner) = bigram(model).await? {
        let text = learner.text();
        return Ok(opened(model, seed, Arc::new(learner), text, BTreeMap::new()));
    }
    if [SCRIPTED, SERVER].contains(&model.path.as_str()) {
        return Err(problem(format!("model.path = \"{}\" cannot be trained", model.path))
            .hint("train a local model; model.path = \"bigram\" names one that learns within milliseconds")
            .into());
    }
    let (plan, options) = (plan.clone(), learner_options(model, context, pool));
    let shelf = Arc::clone(&pool.shelf);
    let open = move || {
        let (checkpoint, hashes) = found(&plan.model, &plan.adapter, seed)?;
        let text = Arc::clone(&checkpoint.text);
        let learner = match adapter::to_train(&plan, adapter_seed, &checkpoint)? {
            Some(adapter) => LocalLearner::open_adapted(checkpoint, adapter, options)?,
            None => LocalLearner::open(&checkpoint, options)?,
        };
        if let Some(base) = learner.base() {
            shelf.put(Title { model: plan.model.clone(), seed, context }, base);
        }
        Ok(opened(&plan.model, seed, Arc::new(learner), text, hashes))
    };
    blocking(open).await
}

/// Opens whoever plays the questions of `plan`.
pub async fn open_player(plan: &Plan, pool: &Pool) -> Result<Voice> {
    if plan.model.path != SERVER {
        return open_voice((&plan.model, &plan.adapter), plan.run.seed, conversation(plan), pool).await;
    }
    adapter::refuse_without_weights(&plan.model, &plan.adapter)?;
    let (policy, text) = server::ServerPolicy::open(&plan.server).await?;
    let folder = Path::new(&plan.server.tokenizer);
    let hashes = if plan.server.tokenizer.is_empty() { BTreeMap::new() } else { file_hashes(folder)? };
    let identity = policy.identity();
    Ok(Voice { policy: Arc::new(policy), numeric_path: SERVER.to_owned(), text, hashes, identity })
}

/// Opens a model, with its adapter, for sampling and scoring only. Rows have at most `context` tokens, and `model.cache_gib` must have room for
/// one such row; 0 for what the model reads and the cache has room for.
pub async fn open_voice(
    (model, adapter): (&Model, &Adapter),
    seed: u64,
    context: usize,
    pool: &Pool,
) -> Result<Voice> {
    adapter::refuse_without_weights(model, adapter)?;
    if let Some(learner) = bigram(model).await? {
        let path = learner.capabilities().numeric_path;
        return Ok(voice((model, seed), learner.snapshot().await?, path, learner.text(), BTreeMap::new()));
    }
    if model.path == SERVER {
        return Err(problem("model.path = \"server\" plays questions and does nothing else")
            .hint("use it with `eval`, `collect` or `ask`")
            .into());
    }
    if model.path == SCRIPTED {
        let text = Arc::new(tiny_text());
        let policy = Arc::new(asker::asker(&text));
        return Ok(voice((model, seed), policy, SCRIPTED.to_owned(), text, BTreeMap::new()));
    }
    let (model, adapter, options) = (model.clone(), adapter.clone(), policy_options(model, context, pool));
    let shelf = Arc::clone(&pool.shelf);
    let open = move || {
        let (checkpoint, hashes) = found(&model, &adapter, seed)?;
        let text = Arc::clone(&checkpoint.text);
        let adapter = adapter::read(&model, &adapter, &checkpoint)?;
        let title = Title { model: model.clone(), seed, context };
        let bare = shelf.find_or(title, || LocalPolicy::open(&checkpoint, options))?;
        let policy = Arc::new(adapter.map_or_else(|| bare.clone(), |adapter| bare.adapted(&adapter)));
        let path = policy.numeric_path();
        Ok(voice((&model, seed), policy, path, text, hashes))
    };
    blocking(open).await
}

fn opened(
    model: &Model,
    seed: u64,
    learner: Arc<dyn Learner>,
    text: Arc<Text>,
    hashes: BTreeMap<String, String>,
) -> Opened {
    let can = learner.capabilities();
    let identity = identity(model, seed, &hashes, (&can.numeric_path, can.context_length));
    Opened { learner, text, hashes, identity }
}

fn voice(
    (model, seed): (&Model, u64),
    policy: Arc<dyn Policy>,
    numeric_path: String,
    text: Arc<Text>,
    hashes: BTreeMap<String, String>,
) -> Voice {
    let identity = identity(model, seed, &hashes, (&numeric_path, policy.context_length()));
    Voice { policy, numeric_path, text, hashes, identity }
}

/// SHA-256 of a model's files by their names, without loading it.
pub async fn hashes(model: &Model) -> Result<BTreeMap<String, String>> {
    if [BIGRAM, SCRIPTED, SERVER].contains(&model.path.as_str())
        || Path::new(&model.path).join("bigram.json").is_file()
    {
        return Ok(BTreeMap::new());
    }
    let model = model.clone();
    blocking(move || Ok(found(&model, &Adapter::default(), 0)?.1)).await
}

/// SHA-256 of the files of the local model that plays the engine, each name behind `simulator/`.
pub async fn simulator_hashes(plan: &Plan) -> Result<BTreeMap<String, String>> {
    let Some((model, adapter)) = plan.simulator_model() else { return Ok(BTreeMap::new()) };
    let mut files = hashes(&model).await?;
    files.extend(adapter::hashes(&adapter)?);
    Ok(files.into_iter().map(|(name, hash)| (format!("simulator/{name}"), hash)).collect())
}

/// Writes the model of `plan` as a Hugging Face directory, in the numbers that it names, with its adapter merged into it.
pub async fn export(plan: &Plan, out: &Path) -> Result<()> {
    if std::fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(problem(format!("the folder {} is not empty", out.display()))
            .hint("name another with `--out`")
            .into());
    }
    let (plan, out) = (plan.clone(), out.to_owned());
    let export = move || {
        let checkpoint = checkpoint(&plan.model, plan.run.seed)?;
        let dtype = match plan.model.arithmetic {
            Arithmetic::Bf16 => Dtype::Bf16,
            Arithmetic::F32 => Dtype::F32,
        };
        if let Some(adapter) = adapter::read(&plan.model, &plan.adapter, &checkpoint)? {
            return Ok(adapter.export_merged(&checkpoint, &out, dtype)?);
        }
        let tensor = |name: &str| checkpoint.tensor(name).map(Into::into);
        Ok(zerosearch_local::export(&out, &checkpoint.origin(), dtype, &tensor)?)
    };
    blocking(export).await
}

/// The bigram model, new or from a checkpoint of its own.
async fn bigram(model: &Model) -> Result<Option<BigramLearner>> {
    let folder = Path::new(&model.path);
    let is_saved = folder.join("bigram.json").is_file();
    if model.path != BIGRAM && !is_saved {
        return Ok(None);
    }
    let learner = BigramLearner::new(Arc::new(tiny_text()), model.context);
    if is_saved {
        learner.load(folder).await?;
    }
    Ok(Some(learner))
}

/// The model, and the hashes of its files and of those of its adapter.
fn found(model: &Model, adapter: &Adapter, seed: u64) -> Result<(Checkpoint, BTreeMap<String, String>)> {
    let checkpoint = checkpoint(model, seed)?;
    let mut hashes = if model.path == RANDOM { BTreeMap::new() } else { file_hashes(checkpoint.path())? };
    hashes.extend(adapter::hashes(adapter)?);
    Ok((checkpoint, hashes))
}

fn checkpoint(model: &Model, seed: u64) -> Result<Checkpoint> {
    let failed = || format!("the model {} cannot be opened", model.path);
    if model.path != RANDOM {
        return Checkpoint::open(&model.path).with_context(failed);
    }
    let text = Arc::new(match &model.tokenizer {
        Some(folder) => Text::from_directory(folder).with_context(failed)?,
        None => tiny_text(),
    });
    let config = ModelConfig {
        family: Family::Llama,
        vocabulary: text.vocabulary_size(),
        width: model.width,
        layers: model.layers,
        heads: model.heads,
        kv_heads: model.heads,
        head_width: model.width / model.heads,
        mlp_width: 3 * model.width,
        norm_epsilon: 1e-5,
        rope_theta: 10_000.0,
        rope_scaling: None,
        context_length: model.context,
        tied_head: true,
        qkv_bias: false,
        qk_norm: false,
    };
    Checkpoint::random(config, text, seed).with_context(failed)
}

/// The longest row of a plan's conversations; 0 where the model plays the engine too, whose prompts have no such limit.
pub fn conversation(plan: &Plan) -> usize {
    let searches_itself = [plan.rollout.engine, plan.eval.engine].contains(&EngineName::SelfSearch);
    let player = plan.simulator_model().map(|(model, _)| model.path);
    let of_policy = player.is_none_or(|player| player == plan.model.path);
    let plays_both = searches_itself || (plan.simulator.urls.is_empty() && of_policy);
    if plays_both { 0 } else { plan.rollout.max_context_tokens }
}

/// Whether a training's simulator lies over the same matrices as its policy, which trains an adapter.
pub fn shares_base(plan: &Plan) -> bool {
    let trains_adapter = plan.adapter.rank > 0 || !plan.adapter.path.is_empty();
    let is_here = plan.model.learner == LearnerName::Local;
    is_here && trains_adapter && plan.simulator_model().is_some_and(|(model, _)| model == plan.model)
}

fn learner_options(model: &Model, context: usize, pool: &Pool) -> LearnerOptions {
    LearnerOptions {
        micro_batch_tokens: model.micro_batch_tokens,
        activation_bytes: gib(model.activation_gib),
        ..LearnerOptions::new(policy_options(model, context, pool))
    }
}

fn policy_options(model: &Model, context: usize, pool: &Pool) -> PolicyOptions {
    PolicyOptions {
        arithmetic: match model.arithmetic {
            Arithmetic::Bf16 => zerosearch_local::Arithmetic::Bf16,
            Arithmetic::F32 => zerosearch_local::Arithmetic::F32,
        },
        context_length: context,
        cache_bytes: gib(model.cache_gib),
        ..PolicyOptions::new(Arc::clone(&pool.threads))
    }
}

fn gib(gib: f64) -> usize {
    (gib * f64::from(1 << 30)) as usize
}

/// Fetching and loading take seconds or minutes: they must not hold up the threads that answer Ctrl-C.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await?
}

/// SHA-256 of a model's files: the file itself, or those of a folder that decide what the model is told and says.
fn file_hashes(path: &Path) -> Result<BTreeMap<String, String>> {
    file_hashes_of(path, is_of_model)
}

/// SHA-256 of the file itself, or of those of a folder that are `wanted`.
fn file_hashes_of(path: &Path, wanted: impl Fn(&Path) -> bool) -> Result<BTreeMap<String, String>> {
    let mut files = vec![path.to_owned()];
    if path.is_dir() {
        let entries: Vec<PathBuf> =
            std::fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
        files = entries.into_iter().filter(|file| wanted(file)).collect();
    }
    let hash = |file: PathBuf| {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Ok((name, sha256_of(&file)?))
    };
    files.into_iter().map(hash).collect()
}

fn is_of_model(file: &Path) -> bool {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let is_weights = name.starts_with("model") && (name.ends_with(".safetensors") || name.ends_with(".json"));
    is_weights || is_of_words(name)
}

/// Whether a file of this name decides what a model is told and where it stops.
fn is_of_words(name: &str) -> bool {
    const OTHERS: [&str; 6] = [
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "chat_template.jinja",
    ];
    OTHERS.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each of these changes what the model reads or where it stops; a note beside them does not.
    #[test]
    fn whatever_a_model_reads_with_is_part_of_its_hash() {
        let folder = tempfile::tempdir().unwrap();
        let files = [
            "chat_template.jinja",
            "config.json",
            "generation_config.json",
            "model.safetensors",
            "special_tokens_map.json",
            "tokenizer.json",
            "tokenizer_config.json",
        ];
        for name in files.iter().chain(&["README.md", "optimizer.safetensors"]) {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        let hashes = file_hashes(folder.path()).unwrap();
        assert_eq!(hashes.keys().collect::<Vec<_>>(), files.iter().collect::<Vec<_>>());
    }
}
