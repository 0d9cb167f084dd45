//! Evaluation on the way: the same questions every so many steps, answered greedily.

use std::sync::Arc;

use anyhow::Result;

use super::Course;
use crate::eval::{Summary, evaluate, summarize};
use crate::qa::Question;
use crate::run::{Row, Run, replace};

use super::Stage;

/// What is asked on the way, and how.
pub(super) struct Evaluations {
    pub(super) every: u64,
    pub(super) questions: Vec<Arc<Question>>,
    pub(super) stage: Stage,
}

impl Course {
    /// Evaluates the learner as it is after `step` where that is due, and returns the mean reward: what decides
    /// which checkpoint is the best.
    pub(super) async fn evaluate_when_due(&self, step: u64, run: &Run, row: &mut Row) -> Result<Option<f64>> {
        let Some(evaluations) = &self.evaluations else { return Ok(None) };
        if !step.is_multiple_of(evaluations.every) && step != self.steps() {
            return Ok(None);
        }
        let policy = self.learner.snapshot().await?;
        let stage = &evaluations.stage;
        let rollout = stage.rollout(policy, step, self.seed.purpose("eval"));
        let all = evaluations.questions.len();
        let finished = std::sync::atomic::AtomicUsize::new(0);
        let watch = |_: &_| {
            let done = finished.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
            self.progress.part("evaluation", done, all);
        };
        let groups = evaluate(&rollout, &evaluations.questions, stage.crowd.concurrency, &watch).await;
        let groups = self.reward.give(groups, &stage.text);
        run.write_rows(&run.directory().eval_rows(step), stage.lines(&groups, step))?;
        let summary = summarize(&groups, self.seed.purpose("bootstrap"));
        replace(&run.directory().eval(step), &serde_json::to_vec_pretty(&summary)?)?;
        put(&summary, row);
        // Its calls are not those of training.
        stage.desk.entries();
        self.progress.say(&format!("evaluation after step {step}: {}", summary.line()));
        Ok(Some(summary.reward))
    }
}

fn put(summary: &Summary, row: &mut Row) {
    for (source, scores) in &summary.sources {
        row.put(&format!("val/{source}/em"), scores.em.mean);
        row.put(&format!("val/{source}/sub_em"), scores.sub_em.mean);
        row.put(&format!("val/{source}/f1"), scores.f1.mean);
    }
    row.put("val/mean/em", summary.mean.em)
        .put("val/mean/sub_em", summary.mean.sub_em)
        .put("val/mean/f1", summary.mean.f1);
    row.put("val/searches_per_question", summary.searches_per_question);
    row.put("val/answered", summary.answered as f64).put("val/broken", summary.broken as f64);
}
