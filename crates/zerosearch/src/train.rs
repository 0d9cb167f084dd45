//! The training loop: questions, conversations, what they teach, one step; again and again.

use std::sync::Arc;

use anyhow::{Context, Result};
use zerosearch_learner::Policy;

use crate::qa::Question;
use crate::rollout::{Group, play_all, statistics};
use crate::run::{Row, Run, State};
use crate::stop::{Reason, Stop};

mod broken;
mod course;
mod evaluations;
mod laps;
mod parts;
mod stage;
mod synthetic;
mod update;

pub use course::Course;
pub(crate) use course::rate;
pub use laps::Laps;
pub(crate) use parts::sha256_of;
pub use parts::{check_questions, collection_hashes, hashes, questions_of, refuse_trained};
pub use stage::Stage;
pub(crate) use update::adam;

/// Trains until the plan is done or `stop` asks to leave; says why it left. Either way the last step is saved.
pub async fn train(course: &Course, run: &mut Run, stop: &Stop) -> Result<Option<Reason>> {
    if let Some(reason) = course.evaluate_unfinished(run, stop).await? {
        return Ok(Some(reason));
    }
    while run.done() < course.steps() {
        let step = run.done() + 1;
        let mut row = Row::at(step);
        let mut laps = Laps::start();

        let policy = course.learner.snapshot().await?;
        let questions = course.questions.batch(step);
        let groups = match stop.or(course.play(policy, &questions, step)).await {
            Ok(groups) => groups?,
            Err(reason) => return course.leave(run, reason).await,
        };
        course.describe(&groups, step, &mut row);
        laps.lap(&mut row, "timing_s/gen");
        run.write_rows(&run.directory().trajectories(step), course.stage.lines(&groups, step))?;
        course.refuse_broken(&groups, run).await?;

        let batch = course.batch(&groups).await?;
        laps.lap(&mut row, "timing_s/ref");
        course.update(&batch, step, &mut row).await?;
        laps.lap(&mut row, "timing_s/update_actor");

        let evaluated = course.evaluate_when_due(run, stop, &mut row).await?;
        laps.lap(&mut row, "timing_s/eval");
        laps.finish(&mut row, &groups);
        match evaluated {
            Ok(score) => course.conclude(run, &row, score).await?,
            Err(reason) => return course.put_off(run, &row, reason).await,
        }
    }
    run.stand(State::Finished, None)?;
    Ok(None)
}

impl Course {
    /// Steps in all.
    pub fn steps(&self) -> u64 {
        self.plan.rl.steps as u64
    }

    async fn play(
        &self,
        policy: Arc<dyn Policy>,
        questions: &[Arc<Question>],
        step: u64,
    ) -> Result<Vec<Group>> {
        if let Some(replies) = &self.replies {
            replies.begin(step)?;
        }
        let rollout = self.stage.rollout(policy, step, self.seed.purpose("train").index(step))?;
        let all = questions.len() * self.stage.crowd.group_size;
        let finished = std::sync::atomic::AtomicUsize::new(0);
        let watch = |_: &_| {
            let done = finished.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
            self.progress.part("conversations", done, all);
        };
        let groups = play_all(&rollout, questions, self.stage.crowd, &watch).await;
        Ok(self.reward.give(groups, &self.stage.text))
    }

    /// Puts what the conversations were like.
    fn describe(&self, groups: &[Group], step: u64, row: &mut Row) {
        row.put_all(statistics(groups, self.plan.rollout.max_response_tokens));
        row.put("curriculum/noise_prob", self.stage.curriculum.noise(step));
        row.put_all(self.stage.desk.entries());
    }

    /// Records a step that is done, and saves it where that is due.
    async fn conclude(&self, run: &mut Run, row: &Row, score: Option<f64>) -> Result<()> {
        if let Some(replies) = &self.replies {
            replies.settle()?;
        }
        run.record(row)?;
        self.progress.step(row, self.steps());
        if self.save_is_due(row.step(), score, run) {
            run.save(&*self.learner, score).await?;
        }
        Ok(())
    }

    fn save_is_due(&self, step: u64, score: Option<f64>, run: &Run) -> bool {
        let regular = step.is_multiple_of(self.plan.run.save_every as u64) || step == self.steps();
        regular || score.is_some_and(|score| run.checkpoints().would_be_best(score))
    }

    /// Saves a step whose evaluation was abandoned; it is made when the run is resumed.
    async fn put_off(&self, run: &mut Run, row: &Row, reason: Reason) -> Result<Option<Reason>> {
        run.put_off(&*self.learner, row).await.context("the run could not be saved on leaving")?;
        run.stand(State::Interrupted, Some(reason.to_string()))?;
        Ok(Some(reason))
    }

    /// Makes the evaluation that was abandoned when the run was left, and records its step.
    async fn evaluate_unfinished(&self, run: &mut Run, stop: &Stop) -> Result<Option<Reason>> {
        let Some(mut row) = run.unfinished().cloned() else { return Ok(None) };
        if let Some(replies) = &self.replies {
            replies.begin(row.step())?;
        }
        match self.evaluate_when_due(run, stop, &mut row).await? {
            Ok(score) => {
                self.conclude(run, &row, score).await?;
                run.save(&*self.learner, score).await?;
                Ok(None)
            }
            Err(reason) => {
                run.stand(State::Interrupted, Some(reason.to_string()))?;
                Ok(Some(reason))
            }
        }
    }

    /// Saves what is done and says how to go on. The step under way is given up: it will be the same again.
    async fn leave(&self, run: &mut Run, reason: Reason) -> Result<Option<Reason>> {
        if run.done() > 0 {
            run.save(&*self.learner, None).await.context("the run could not be saved on leaving")?;
        }
        run.stand(State::Interrupted, Some(reason.to_string()))?;
        Ok(Some(reason))
    }
}
