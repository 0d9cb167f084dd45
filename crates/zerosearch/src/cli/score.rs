//! `zerosearch score`

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use zerosearch::config::{Purpose, Setting};
use zerosearch::learners::{self, Pool};
use zerosearch::score::{Basis, Scoring};
use zerosearch::stop::{Reason, Stop};

use super::flags::{PlanFlags, config, minutes};
use super::screen::say;

/// Write the log-probabilities of given rows
///
/// A row is {"tokens": [...]} or {"text": "..."}; each gives a line {"tokens": [...], "logprobs": [null, ...]}: the
/// natural logarithm of each token's probability after all tokens before it.
///
/// The whole file of rows is checked first; then finished lines are kept as they come, in a file beside `--out` that takes
/// its name at the end. The same command goes on where it was left by Ctrl-C, `--minutes` or a crash.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  zerosearch score --model SmolLM2.gguf --rows rows.jsonl --out out.jsonl --dtype f32")]
pub(super) struct Score {
    #[command(flatten)]
    plan: PlanFlags,
    /// The rows (JSONL)
    #[arg(long, value_name = "FILE")]
    rows: PathBuf,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The numbers to compute in: bf16 or f32 (sets model.arithmetic)
    #[arg(long, value_name = "DTYPE")]
    dtype: Option<String>,
    /// Divides the logits
    #[arg(long, value_name = "T", default_value_t = 1.0, value_parser = temperature)]
    temperature: f32,
    /// Stop after so many minutes; the same command goes on
    #[arg(long, value_name = "MINUTES", value_parser = minutes)]
    pub(super) minutes: Option<f64>,
}

impl Score {
    pub(super) async fn run(self, stop: &Stop) -> Result<Option<Reason>> {
        let dtype = self.dtype.iter().map(|dtype| Setting::of("model", "arithmetic", dtype.clone()));
        let settings: Vec<Setting> = dtype.chain(self.plan.all()).collect();
        let plan = config(None, &settings)?.resolve(Purpose::Use)?;
        let policy = (&plan.model, &plan.adapter);
        let voice = learners::open_voice(policy, plan.run.seed, 0, &Pool::new(&plan.model)).await?;
        let basis = Basis::new(plan, &voice, self.temperature);
        let mut scoring = match stop.or(Scoring::open(voice, &basis, &self.rows, &self.out)).await {
            Ok(opened) => opened?,
            Err(reason) => {
                say(&format!("{reason}: no row is scored yet"));
                return Ok(Some(reason));
            }
        };
        match stop.or(scoring.run()).await {
            Ok(ran) => ran?,
            Err(reason) => {
                let so_far = scoring.so_far();
                say(&format!("{reason}: {so_far}\nhint: the same command goes on from there"));
                return Ok(Some(reason));
            }
        }
        say(&format!("{} rows written to {}", scoring.finish()?, self.out.display()));
        Ok(None)
    }
}

fn temperature(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(temperature) if temperature.is_finite() && temperature > 0.0 => Ok(temperature),
        _ => Err("give a number above 0".into()),
    }
}
