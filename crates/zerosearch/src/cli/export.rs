//! `zerosearch export`

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use zerosearch::config::{Purpose, Setting};
use zerosearch::learners;
use zerosearch::stop::Reason;

use super::flags::{PlanFlags, config};
use super::screen::say;

/// Write a model as a Hugging Face directory
///
/// The directory holds safetensors (sharded above 5 GB), config, tokenizer and generation config: transformers, vLLM and
/// llama.cpp's converter read it as it is. `--adapter` is merged into the model.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  zerosearch export --model SmolLM2.gguf --out smollm2-bf16 --dtype bf16")]
pub(super) struct Export {
    #[command(flatten)]
    plan: PlanFlags,
    /// The folder to write; it must be new or empty
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// The numbers to write: bf16 or f32 (sets model.arithmetic)
    #[arg(long, value_name = "DTYPE")]
    dtype: Option<String>,
}

impl Export {
    pub(super) async fn run(self) -> Result<Option<Reason>> {
        let dtype = self.dtype.iter().map(|dtype| Setting::of("model", "arithmetic", dtype.clone()));
        let settings: Vec<Setting> = dtype.chain(self.plan.all()).collect();
        let plan = config(None, &settings)?.resolve(Purpose::Use)?;
        learners::export(&plan, &self.out).await?;
        say(&format!("{} written to {}", plan.model.path, self.out.display()));
        Ok(None)
    }
}
