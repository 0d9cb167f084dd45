//! `zerosearch eval`

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use zerosearch::config::{Purpose, Setting};
use zerosearch::eval::{Exam, with_player};
use zerosearch::learners::{self, Pool};
use zerosearch::stop::{Reason, Stop};

use super::flags::{PlanFlags, config, minutes, texts};
use super::place::in_recipe;
use super::screen::say;

/// Measure a policy on questions: EM, sub-EM and F1, with intervals
///
/// Decoding is greedy, and no question is dropped: a conversation that breaks counts as a wrong answer and is shown;
/// with too many of them (rl.max_broken_share) the verb fails. The same command again goes on where it was left, and
/// asks the broken ones again.
///
/// A simulated engine is played by simulator.model or simulator.urls. Without either, a checkpoint of a run is measured
/// with the model that it was trained with: the run's simulator.model, or the weights that it started from.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  zerosearch eval --model runs/train/checkpoints/000030 --questions nq.jsonl --count 300 --out evals/after
  zerosearch eval --model SmolLM2.gguf --questions nq.jsonl --questions popqa.jsonl --engine none --out evals/closed-book")]
pub(super) struct Eval {
    /// A config file for the rollout and the simulator
    #[arg(long, value_name = "RECIPE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    plan: PlanFlags,
    /// A question file, `[NAME=]FILE[@SPLIT]`; may be repeated (sets eval.questions)
    #[arg(long, value_name = "FILE")]
    questions: Vec<String>,
    /// Who answers searches: simulated, scripted or none (sets eval.engine)
    #[arg(long, value_name = "ENGINE")]
    engine: Option<String>,
    /// Ask only so many of the questions, drawn by the seed (sets eval.count)
    #[arg(long, value_name = "N")]
    count: Option<u32>,
    /// Chance of noise in a simulated engine's documents (sets eval.noise)
    #[arg(long, value_name = "P")]
    noise: Option<f64>,
    /// Folder of the results
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Stop after so many minutes; the same command goes on
    #[arg(long, value_name = "MINUTES", value_parser = minutes)]
    pub(super) minutes: Option<f64>,
    /// Print the resolved plan and do nothing
    #[arg(long)]
    dry_run: bool,
}

impl Eval {
    pub(super) async fn run(self, stop: &Stop) -> Result<Option<Reason>> {
        let plan = config(self.config.as_ref(), &self.settings())?.resolve(Purpose::Use);
        let plan = with_player(plan.map_err(|complaint| in_recipe(self.config.as_deref(), complaint))?)?;
        if self.dry_run {
            say(plan.to_toml()?.trim_end());
            return Ok(None);
        }
        let pool = Pool::new(&plan.model);
        let voice =
            learners::open_voice(&plan.model, plan.run.seed, learners::conversation(&plan), &pool).await?;
        let mut exam = Exam::open(plan, voice, &pool, &self.out).await?;
        match stop.or(exam.sit()).await {
            Ok(sat) => sat?,
            Err(reason) => {
                let folder = self.out.display();
                say(&format!(
                    "{reason}: what was answered lies in {folder}\nhint: the same command goes on from there"
                ));
                return Ok(Some(reason));
            }
        }
        let summary = exam.finish()?;
        say(summary.table().trim_end());
        exam.refuse_broken(&summary)?;
        Ok(None)
    }

    fn settings(&self) -> Vec<Setting> {
        let mut settings = Vec::new();
        if !self.questions.is_empty() {
            settings.push(Setting::of("eval", "questions", texts(&self.questions)));
        }
        settings.extend(self.engine.iter().map(|engine| Setting::of("eval", "engine", engine.clone())));
        settings.extend(self.count.map(|count| Setting::of("eval", "count", count)));
        settings.extend(self.noise.map(|noise| Setting::of("eval", "noise", noise)));
        settings.extend(self.plan.all());
        settings
    }
}
