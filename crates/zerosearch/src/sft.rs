//! The supervised loop: rows, their loss, one step; again and again.

use anyhow::Result;
use zerosearch_learner::{Loss, Objective};

use crate::run::{Row, Run, State};
use crate::stop::{Reason, Stop};
use crate::train::Laps;

mod convert;
mod lesson;
mod order;
mod pairs;
mod react;
mod rows;
mod search_r1;
mod segments;

pub use convert::{Converted, From, Keep, convert};
pub use lesson::Lesson;
pub use rows::{Rows, questions_of_rows};
pub use segments::{Segment, SegmentRow};

/// Fine-tunes until every row was seen as often as the plan says or `stop` asks to leave; says why it left. Either
/// way the last step is saved.
pub async fn sft(lesson: &Lesson, run: &mut Run, stop: &Stop) -> Result<Option<Reason>> {
    while run.done() < lesson.steps() {
        if let Some(reason) = stop.reason() {
            return lesson.leave(run, reason).await;
        }
        let step = run.done() + 1;
        let mut row = Row::at(step);
        let mut laps = Laps::start();
        let examples = lesson.batch(step);
        let loss = Loss::mean(Objective::CrossEntropy, &examples);
        let report = lesson.learner.accumulate(&examples, &loss).await?;
        let (adam, lr) = lesson.adam(step);
        let stepped = lesson.learner.step(&adam).await?;
        laps.lap(&mut row, "timing_s/update_actor");
        row.put("sft/loss", report.loss)
            .put("sft/epoch", lesson.epoch(step))
            .put("sft/rows", examples.len() as f64)
            .put("sft/trained_tokens", loss.normalizer)
            .put("actor/grad_norm", stepped.grad_norm)
            .put("actor/lr", lr);
        laps.finish_with_tokens(&mut row, examples.iter().map(|example| example.tokens.len()).sum());
        run.record(&row)?;
        lesson.progress.step(&row, lesson.steps());
        if step.is_multiple_of(lesson.save_every()) || step == lesson.steps() {
            run.save(&*lesson.learner, None).await?;
        }
    }
    run.stand(State::Finished, None)?;
    Ok(None)
}
