//! `zerosearch doctor`

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use zerosearch::bench::table;
use zerosearch::config::Purpose;
use zerosearch::doctor::examine;
use zerosearch::stop::Reason;

use super::flags::{PlanFlags, config};
use super::place::in_recipe;
use super::screen::say;

/// Tell what this machine is and what it reaches, and the memory that a config needs
///
/// Peak and bandwidth are measured in about a second. Nothing else should run meanwhile.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  zerosearch doctor
  zerosearch doctor configs/tiny.toml
  zerosearch doctor configs/first-run/train.toml --model runs/cold-start/checkpoints/000100")]
pub(super) struct Doctor {
    /// A config file for `train`
    #[arg(value_name = "RECIPE")]
    recipe: Option<PathBuf>,
    #[command(flatten)]
    plan: PlanFlags,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

impl Doctor {
    pub(super) async fn run(self) -> Result<Option<Reason>> {
        let recipe = self.recipe.as_ref();
        let plan = match (recipe, &self.plan.model) {
            (None, None) => None,
            _ => {
                let plan = config(recipe, &self.plan.all())?.resolve(Purpose::Use);
                Some(plan.map_err(|complaint| in_recipe(recipe.map(PathBuf::as_path), complaint))?)
            }
        };
        let findings = serde_json::to_value(examine(plan.as_ref()).await?)?;
        say(&if self.json { findings.to_string() } else { table(&findings) });
        Ok(None)
    }
}
