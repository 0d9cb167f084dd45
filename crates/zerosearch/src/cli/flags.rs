//! Flags that several verbs share.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use zerosearch::config::{ConfigFile, Setting};

/// What is run, where, and for how long.
#[derive(Args, Debug)]
pub(super) struct RunFlags {
    /// The config file (TOML); docs/configuration.md lists its keys
    #[arg(value_name = "RECIPE")]
    pub(super) recipe: Option<PathBuf>,
    #[command(flatten)]
    pub(super) plan: PlanFlags,
    /// Folder of the run [default: runs/<name of the recipe>, numbered when it exists]
    #[arg(long, value_name = "FOLDER")]
    pub(super) run: Option<PathBuf>,
    /// Go on with a run: that in FOLDER, or the recipe's newest
    #[arg(long, value_name = "FOLDER", num_args = 0..=1)]
    #[expect(clippy::option_option, reason = "absent, given without a folder, given with one")]
    pub(super) resume: Option<Option<PathBuf>>,
    /// Save and stop after so many minutes; `--resume` goes on
    #[arg(long, value_name = "MINUTES", value_parser = minutes)]
    pub(super) minutes: Option<f64>,
    /// Print the resolved plan and do nothing
    #[arg(long)]
    pub(super) dry_run: bool,
}

/// What overrides the config file.
#[derive(Args, Debug)]
pub(super) struct PlanFlags {
    /// The model: a Hugging Face directory, a .gguf file or a hub id (sets model.path)
    #[arg(long, value_name = "MODEL")]
    pub(super) model: Option<String>,
    /// The folder of a LoRA adapter of the model, as peft keeps it: used with it, or trained on (sets adapter.path)
    #[arg(long, value_name = "FOLDER")]
    pub(super) adapter: Option<String>,
    /// Set a key of the config, for example `--set rl.group_size=8`; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(super) settings: Vec<Setting>,
}

/// Who answers searches.
#[derive(Args, Debug)]
pub(super) struct EngineFlags {
    /// Who answers searches: simulated, bm25, dense, hybrid, retrieve, web, self, scripted or none (sets eval.engine)
    #[arg(long, value_name = "ENGINE")]
    pub(super) engine: Option<String>,
    /// The corpus that the engine bm25 searches: JSONL (plain, .gz, .zst) or Parquet (sets bm25.corpus)
    #[arg(long, value_name = "FILE")]
    corpus: Option<String>,
    /// In place of a corpus, the folder of an index of it, made by `zerosearch index` (sets bm25.index)
    #[arg(long, value_name = "FOLDER", conflicts_with = "corpus")]
    index: Option<String>,
    /// The folder of a dense index, made by `zerosearch index --engine dense` (sets dense.index)
    #[arg(long, value_name = "FOLDER")]
    dense_index: Option<String>,
    /// The folder or hub id of the encoder that made it (sets dense.encoder)
    #[arg(long, value_name = "MODEL")]
    encoder: Option<String>,
    /// Keep what engines find in this folder, and take from there what is known (sets cache.folder)
    #[arg(long, value_name = "FOLDER")]
    cache: Option<String>,
    /// Answer from the cache only: no engine is asked, and a search that it does not know is an error (sets
    /// cache.offline)
    #[arg(long)]
    offline: bool,
}

impl EngineFlags {
    /// What the flags set.
    pub(super) fn all(&self) -> impl Iterator<Item = Setting> {
        let engine = self.engine.iter().map(|engine| Setting::of("eval", "engine", engine.clone()));
        let corpus = self.corpus.iter().map(|corpus| Setting::of("bm25", "corpus", corpus.clone()));
        let index = self.index.iter().map(|index| Setting::of("bm25", "index", index.clone()));
        let dense = self.dense_index.iter().map(|index| Setting::of("dense", "index", index.clone()));
        let encoder = self.encoder.iter().map(|encoder| Setting::of("dense", "encoder", encoder.clone()));
        let cache = self.cache.iter().map(|folder| Setting::of("cache", "folder", folder.clone()));
        let offline = self.offline.then(|| Setting::of("cache", "offline", true));
        engine.chain(corpus).chain(index).chain(dense).chain(encoder).chain(cache).chain(offline)
    }
}

impl PlanFlags {
    /// What the flags set, `--set` last.
    pub(super) fn all(&self) -> Vec<Setting> {
        let model = self.model.iter().map(|model| Setting::of("model", "path", model.clone()));
        let adapter = self.adapter.iter().map(|folder| Setting::of("adapter", "path", folder.clone()));
        model.chain(adapter).chain(self.settings.iter().cloned()).collect()
    }
}

/// The recipe with `settings` over it; without a recipe, the settings alone.
pub(super) fn config(recipe: Option<&PathBuf>, settings: &[Setting]) -> Result<ConfigFile> {
    match recipe {
        Some(path) => ConfigFile::read(path, settings),
        None => Ok(ConfigFile::parse("", settings)?),
    }
}

/// Paths as a config's list of texts.
pub(super) fn texts(paths: &[String]) -> toml::Value {
    toml::Value::Array(paths.iter().cloned().map(toml::Value::String).collect())
}

/// A number of minutes above 0.
pub(super) fn minutes(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(minutes) if minutes.is_finite() && minutes > 0.0 => Ok(minutes),
        _ => Err("give a number above 0, such as 25 or 0.5".into()),
    }
}

/// A price.
pub(super) fn price(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(price) if price.is_finite() && price >= 0.0 => Ok(price),
        _ => Err("give a number, 0 or more".into()),
    }
}
