//! What `eval` and `collect` share: which questions are played how, and the playing itself.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use zerosearch::config::{Plan, Purpose, Setting};
use zerosearch::engines::Engines;
use zerosearch::eval::{Collection, Summary, with_player};
use zerosearch::learners::{self, Pool};
use zerosearch::stop::{Reason, Stop};
use zerosearch::train::check_questions;

use super::flags::{EngineFlags, PlanFlags, config, minutes, texts};
use super::place::in_recipe;
use super::screen::say;

/// Questions, an engine, and where the conversations go.
#[derive(Args, Debug)]
pub(super) struct CollectionFlags {
    /// A config file for the rollout and the engines
    #[arg(long, value_name = "RECIPE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    plan: PlanFlags,
    /// Questions, `[NAME=]PLACE[@SPLIT]`; may be repeated (sets eval.questions). A place is a file (JSONL, also gzipped,
    /// or Parquet), `hf://datasets/ORG/NAME[@REVISION][/PATH]` on the Hugging Face hub, or one of the paper's sets: nq,
    /// triviaqa, popqa, hotpotqa, 2wikimultihopqa, musique, bamboogle
    #[arg(long, value_name = "PLACE")]
    questions: Vec<String>,
    #[command(flatten)]
    pub(super) engine: EngineFlags,
    /// Ask only so many questions of each data set, drawn by the seed (sets eval.count)
    #[arg(long, value_name = "N")]
    count: Option<u32>,
    /// Conversations about each question (sets eval.samples)
    #[arg(long, value_name = "N")]
    samples: Option<u32>,
    /// Sampling temperature, 0 for greedy (sets eval.temperature)
    #[arg(long, value_name = "T")]
    temperature: Option<f64>,
    /// Chance of noise in a simulated engine's documents (sets eval.noise)
    #[arg(long, value_name = "P")]
    noise: Option<f64>,
    /// Folder of the results
    #[arg(long, value_name = "FOLDER")]
    pub(super) out: PathBuf,
    /// Stop after so many minutes; the same command goes on
    #[arg(long, value_name = "MINUTES", value_parser = minutes)]
    pub(super) minutes: Option<f64>,
    /// Print the resolved plan and do nothing
    #[arg(long)]
    pub(super) dry_run: bool,
}

impl CollectionFlags {
    /// Plays what the flags say for `purpose`; `tell` shows what came of it. Says why it was left before its end.
    pub(super) async fn run(
        self,
        purpose: Purpose,
        stop: &Stop,
        tell: impl FnOnce(&Summary),
    ) -> Result<Option<Reason>> {
        let plan = self.plan(purpose, &[])?;
        if self.dry_run {
            say(plan.to_toml()?.trim_end());
            return Ok(None);
        }
        let pool = Pool::new(&plan.model);
        let voice = learners::open_player(&plan, &pool).await?;
        let mut engines = Engines::new(&plan, &pool, None, None);
        let collection = Collection::open(plan.clone(), purpose, voice, &mut engines, &self.out).await?;
        let played = play(collection, &self.out, stop).await?;
        Ok(played.map_or_else(Some, |summary| {
            tell(&summary);
            None
        }))
    }

    /// The plan that the flags make, with `settings` over them.
    pub(super) fn plan(&self, purpose: Purpose, settings: &[Setting]) -> Result<Plan> {
        let settings = [self.settings(), settings.to_vec()].concat();
        let plan = config(self.config.as_ref(), &settings)?.resolve(purpose);
        let plan = plan.map_err(|complaint| in_recipe(self.config.as_deref(), complaint))?;
        check_questions(&plan.eval.questions)?;
        with_player(plan)
    }

    fn settings(&self) -> Vec<Setting> {
        let mut settings = Vec::new();
        if !self.questions.is_empty() {
            settings.push(Setting::of("eval", "questions", texts(&self.questions)));
        }
        settings.extend(self.engine.all());
        settings.extend(self.count.map(|count| Setting::of("eval", "count", count)));
        settings.extend(self.samples.map(|samples| Setting::of("eval", "samples", samples)));
        settings.extend(self.temperature.map(|it| Setting::of("eval", "temperature", it)));
        settings.extend(self.noise.map(|noise| Setting::of("eval", "noise", noise)));
        settings.extend(self.plan.all());
        settings
    }
}

/// Plays what is left of `collection` in `folder` and shows its results, or says why it was left.
pub(super) async fn play(
    mut collection: Collection,
    folder: &Path,
    stop: &Stop,
) -> Result<Result<Summary, Reason>> {
    match stop.or(collection.play()).await {
        Ok(played) => played?,
        Err(reason) => {
            let folder = folder.display();
            say(&format!(
                "{reason}: what was played lies in {folder}\nhint: the same command goes on from there"
            ));
            return Ok(Err(reason));
        }
    }
    let summary = collection.finish()?;
    say(summary.table().trim_end());
    collection.refuse_broken(&summary)?;
    Ok(Ok(summary))
}
