//! A lesson: everything that a fine-tuning is made of, opened and checked before the first step.

use std::sync::Arc;

use anyhow::Result;
use zerosearch_learner::seed::Seed;
use zerosearch_learner::{Adam, Example, Learner};

use super::order::{Batch, Pace, batches};
use super::rows::{Found, Rows};
use crate::config::{Plan, Sft};
use crate::learners::Opened;
use crate::problem::problem;
use crate::progress::Progress;
use crate::qa::order;
use crate::rl::LearningRate;
use crate::rollout::PromptTemplate;
use crate::run::{Run, State};
use crate::simulator::Manner;
use crate::stop::Reason;
use crate::train::{adam, rate};

/// Everything that a fine-tuning is made of.
pub struct Lesson {
    /// Who learns.
    pub learner: Arc<dyn Learner>,
    /// Shows how far it is.
    pub progress: Progress,
    plan: Plan,
    rows: Vec<Example>,
    batches: Vec<Batch>,
    rate: LearningRate,
}

impl Lesson {
    /// Opens everything that `plan` names and brings the learner to where `run` stands.
    pub async fn open(plan: Plan, opened: Opened, run: &mut Run) -> Result<Self> {
        let Opened { learner, text, .. } = opened;
        let prompt = match &plan.rollout.prompt {
            Some(path) => PromptTemplate::named(path)?,
            None => PromptTemplate::standard()?,
        };
        learner.check_adam(&adam(&plan.optimizer, plan.optimizer.learning_rate as f32))?;
        let most_tokens = plan.sft.max_row_tokens.min(learner.capabilities().context_length);
        let manner = Manner::of(&plan)?;
        let skip_long = plan.sft.skip_long;
        let rows = Rows { text: &text, prompt: &prompt, manner: &manner, most_tokens, skip_long };
        let Found { examples: all, long, pairs } = rows.read(&plan.sft.files)?;
        let seed = Seed::run(plan.run.seed);
        let rows = drawn(all, plan.sft.limit, seed);
        let lengths: Vec<usize> = rows.iter().map(|row| row.tokens.len()).collect();
        let Sft { epochs, steps, rows_per_step, tokens_per_step, .. } = plan.sft;
        let pace = Pace { epochs, steps, rows: rows_per_step, tokens: tokens_per_step };
        let batches = batches(&lengths, pace, seed);
        let steps = batches.len() as u64;
        run.bring_up(&*learner).await?;
        if run.done() > steps {
            let done = run.done();
            return Err(problem(format!("the run has done {done} steps, the plan has only {steps}")).into());
        }
        let progress = Progress::new(steps, run.done()).logged(&run.directory().log())?;
        let (count, tokens) = (rows.len(), lengths.iter().sum::<usize>());
        progress.say(&format!(
            "{count} rows, {tokens} tokens, {steps} steps; {long} rows were too long and left out"
        ));
        if pairs > 0 {
            progress.say(&format!("{pairs} rows are pairs for a simulator, {}", manner.words()));
        }
        let rate = rate(&plan, steps)?;
        run.take_up()?;
        if pairs > 0 {
            run.note_manner(manner.record())?;
        }
        Ok(Self { learner, progress, rate, plan, rows, batches })
    }

    /// Steps in all.
    pub fn steps(&self) -> u64 {
        self.batches.len() as u64
    }

    /// Steps between two checkpoints.
    pub(super) fn save_every(&self) -> u64 {
        self.plan.run.save_every as u64
    }

    /// The rows of `step`, which counts from 1.
    pub(super) fn batch(&self, step: u64) -> Vec<Example> {
        self.of(step).rows.iter().map(|row| self.rows[*row].clone()).collect()
    }

    /// Passes over the rows that are begun at `step`.
    pub(super) fn epoch(&self, step: u64) -> f64 {
        (self.of(step).epoch + 1) as f64
    }

    /// The optimizer's numbers at `step`, and the learning rate among them.
    pub(super) fn adam(&self, step: u64) -> (Adam, f64) {
        let learning_rate = self.rate.at(step);
        (adam(&self.plan.optimizer, learning_rate), f64::from(learning_rate))
    }

    /// Saves what is done.
    pub(super) async fn leave(&self, run: &mut Run, reason: Reason) -> Result<Option<Reason>> {
        if run.done() > 0 {
            run.save(&*self.learner, None).await?;
        }
        run.stand(State::Interrupted, Some(reason.to_string()))?;
        Ok(Some(reason))
    }

    fn of(&self, step: u64) -> &Batch {
        &self.batches[step as usize - 1]
    }
}

/// `limit` of the rows, drawn by the seed and left in their order; all for 0.
fn drawn(rows: Vec<Example>, limit: usize, seed: Seed) -> Vec<Example> {
    if limit == 0 || limit >= rows.len() {
        return rows;
    }
    let mut kept = order(rows.len(), seed.purpose("sft limit"), 0);
    kept.truncate(limit);
    kept.sort_unstable();
    kept.into_iter().map(|row| rows[row].clone()).collect()
}
