//! Evaluation on the way: the same questions every so many steps, answered greedily.

use std::sync::Arc;

use anyhow::Result;
use zerosearch_learner::Policy;

use super::{Course, Stage};
use crate::eval::{RecipeRecord, Summary, summarize};
use crate::qa::Question;
use crate::rollout::{Group, play_all};
use crate::run::{Row, Run, replace};
use crate::stop::{Reason, Stop};

/// What is asked on the way, and how.
pub(super) struct Evaluations {
    pub(super) every: u64,
    pub(super) questions: Vec<Arc<Question>>,
    pub(super) stage: Stage,
    pub(super) recipe: RecipeRecord,
    /// Rows of the question files that were left out.
    pub(super) unusable: usize,
}

impl Course {
    /// Evaluates the learner as it is after the step of `row` where that is due, and returns the mean reward: what
    /// decides which checkpoint is the best. There is none when too many conversations broke. The inner error: why
    /// the evaluation was abandoned; then nothing of it is kept.
    pub(super) async fn evaluate_when_due(
        &self,
        run: &Run,
        stop: &Stop,
        row: &mut Row,
    ) -> Result<Result<Option<f64>, Reason>> {
        let step = row.step();
        let Some(evaluations) = &self.evaluations else { return Ok(Ok(None)) };
        if !step.is_multiple_of(evaluations.every) && step != self.steps() {
            return Ok(Ok(None));
        }
        let policy = self.learner.snapshot().await?;
        let groups = match stop.or(self.examine(evaluations, policy, step)).await {
            Ok(groups) => groups?,
            Err(reason) => return Ok(Err(reason)),
        };
        run.write_rows(&run.directory().eval_rows(step), evaluations.stage.lines(&groups, step))?;
        let summary = summarize(&groups, self.seed.purpose("bootstrap"));
        let cache = evaluations.stage.desk.cache_use();
        let summary =
            Summary { unusable: evaluations.unusable, cache, ..summary }.of_recipe(&evaluations.recipe);
        evaluations.recipe.write(run.directory().root())?;
        replace(&run.directory().eval(step), &serde_json::to_vec_pretty(&summary)?)?;
        // Its calls are not those of training.
        evaluations.stage.desk.entries();
        self.progress.say(&format!("evaluation after step {step}: {}", summary.line()));
        let sound = summary.is_sound(self.plan.rl.max_broken_share);
        if !sound {
            let share = self.plan.rl.max_broken_share;
            self.progress.say(&format!(
                "this evaluation gives no score: {} of {} conversations are broken, more than rl.max_broken_share = {share} allows",
                summary.broken, summary.conversations
            ));
        }
        put(&summary, sound, row);
        Ok(Ok(sound.then_some(summary.reward)))
    }

    async fn examine(
        &self,
        evaluations: &Evaluations,
        policy: Arc<dyn Policy>,
        step: u64,
    ) -> Result<Vec<Group>> {
        let stage = &evaluations.stage;
        let rollout = stage.rollout(policy, step, self.seed.purpose("eval"))?;
        let all = evaluations.questions.len() * stage.crowd.group_size;
        let finished = std::sync::atomic::AtomicUsize::new(0);
        let watch = |_: &_| {
            let done = finished.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
            self.progress.part("evaluation", done, all);
        };
        let groups = play_all(&rollout, &evaluations.questions, stage.crowd, &watch).await;
        Ok(self.reward.give(groups, &stage.text))
    }
}

/// Puts what was found; of an evaluation that is not sound, only how much of it broke.
fn put(summary: &Summary, sound: bool, row: &mut Row) {
    if sound {
        for (source, scores) in &summary.sources {
            row.put(&format!("val/{source}/em"), scores.em.mean);
            row.put(&format!("val/{source}/sub_em"), scores.sub_em.mean);
            row.put(&format!("val/{source}/f1"), scores.f1.mean);
        }
        row.put("val/mean/em", summary.mean.em)
            .put("val/mean/sub_em", summary.mean.sub_em)
            .put("val/mean/f1", summary.mean.f1);
    }
    row.put("val/searches_per_question", summary.searches_per_question);
    row.put("val/answered", summary.answered as f64).put("val/broken", summary.broken as f64);
}
