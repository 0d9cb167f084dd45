//! `zerosearch train`

use anyhow::Result;
use clap::Args;
use zerosearch::config::Purpose;
use zerosearch::learners::{self, Pool};
use zerosearch::stop::{Reason, Stop};
use zerosearch::train::{Course, check_questions, train};

use super::flags::RunFlags;
use super::place::{Place, written};
use super::screen::say;

/// Train a policy by reinforcement learning
///
/// The policy answers questions by searching; a simulated engine writes the documents, useful or noisy, with more noise
/// as training goes on. Everything lies in the run's folder: see docs/run-folder.md.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  zerosearch train configs/tiny.toml
  zerosearch train configs/first-run/train.toml --model SmolLM2.gguf --set rl.steps=50 --minutes 30
  zerosearch train --resume runs/train
  zerosearch train configs/tiny.toml --dry-run")]
pub(super) struct Train {
    #[command(flatten)]
    pub(super) flags: RunFlags,
}

impl Train {
    pub(super) async fn run(self, stop: &Stop) -> Result<Option<Reason>> {
        let place = Place::find(&self.flags, written(&self.flags)?, "train", Purpose::Train)?;
        if self.flags.dry_run {
            say(place.plan.to_toml()?.trim_end());
            return Ok(None);
        }
        let questions = &place.plan.questions;
        check_questions(
            [&questions.train, &questions.exclude, &place.plan.eval.questions].into_iter().flatten(),
        )?;
        let pool = Pool::new(&place.plan.model);
        let context = learners::conversation(&place.plan);
        let opened = learners::open(&place.plan, context, &pool).await?;
        let mut models = opened.hashes.clone();
        models.extend(learners::simulator_hashes(&place.plan).await?);
        let mut run = place.open(models)?;
        let course = Course::open(place.plan.clone(), opened, &pool, &mut run).await;
        let course = run.noted(course)?;
        let outcome = train(&course, &mut run, stop).await;
        let left = run.noted(outcome)?;
        course.progress.say(&place.farewell(&run, left));
        Ok(left)
    }
}
