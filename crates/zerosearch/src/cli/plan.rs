//! `zerosearch plan`

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use zerosearch::config::Purpose;
use zerosearch::estimate::{Measured, estimate};
use zerosearch::stop::Reason;

use super::flags::{PlanFlags, config};
use super::place::in_recipe;
use super::screen::say;

/// Tell what a training would take, before it is begun: memory, GPUs, tokens, calls, hours and money
///
/// Every figure stands with the arithmetic that it comes from, and says whether it follows from the recipe, was measured, or is
/// assumed. What is assumed is a key of [cost] in the recipe: see docs/configuration.md. With cost.gpu the policy is trained on
/// GPUs of that kind, and simulator.urls are others with the model of cost.simulator; without it the local learner trains on
/// this machine, which is measured for a second.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  zerosearch plan configs/first-run/train.toml --model runs/cold-start/checkpoints/000227
  zerosearch plan configs/paper/zerosearch.toml --model Qwen/Qwen2.5-7B \\
      --set cost.gpu=a100 --set cost.simulator=Qwen2.5-14B
  zerosearch plan configs/first-run/train.toml --model SmolLM2.gguf --run runs/train --measured bench.json

The last takes the lengths of conversations from a run, and speeds from what was measured before:
  zerosearch bench train --model SmolLM2.gguf --rollouts --json > bench.json")]
pub(super) struct Plan {
    /// A config file for `train`
    #[arg(value_name = "RECIPE")]
    recipe: Option<PathBuf>,
    #[command(flatten)]
    plan: PlanFlags,
    /// A file with what `doctor --json`, `bench train --json` or `bench sample --json` printed on the machine that is planned
    /// for; may be repeated
    #[arg(long, value_name = "FILE")]
    measured: Vec<PathBuf>,
    /// The folder of a run: searches and tokens of a conversation are the means of its steps
    #[arg(long, value_name = "FOLDER")]
    run: Option<PathBuf>,
    /// Leave out the resolved plan, which is printed first otherwise
    #[arg(long)]
    brief: bool,
    /// Print one line of JSON: figures, and the plan as `config`
    #[arg(long)]
    json: bool,
}

impl Plan {
    pub(super) async fn run(self) -> Result<Option<Reason>> {
        let recipe = self.recipe.as_ref();
        let resolved = config(recipe, &self.plan.all())?.with_cost(Purpose::Train);
        let (plan, cost) =
            resolved.map_err(|complaint| in_recipe(recipe.map(PathBuf::as_path), complaint))?;
        let mut measured = Measured::default();
        for path in &self.measured {
            measured.take_file(path, &plan.model.path)?;
        }
        if let Some(folder) = &self.run {
            measured.take_run(folder)?;
        }
        let sheet = estimate(&plan, &cost, &measured).await?;
        if self.json {
            let mut json = serde_json::to_value(&sheet)?;
            if !self.brief {
                json["config"] = serde_json::to_value(&plan)?;
            }
            say(&json.to_string());
            return Ok(None);
        }
        if !self.brief {
            say(&format!("{}\n", plan.to_toml()?.trim_end()));
        }
        say(&sheet.text());
        Ok(None)
    }
}
