//! One question, asked aloud: what the policy says, searches and finds is told as it happens.

use std::sync::Arc;

use anyhow::Result;
use zerosearch_learner::seed::Seed;

use crate::config::Plan;
use crate::engines::Engines;
use crate::learners::{Pool, Voice};
use crate::qa::Question;
use crate::rollout::{Ending, Moment, Rollout, Trajectory, play_aloud};
use crate::train::Stage;

/// A table at which questions are asked, one at a time and greedily.
pub struct Table {
    rollout: Rollout,
    seed: Seed,
}

impl Table {
    /// Opens what `plan` says about evaluation; [`with_player`](crate::eval::with_player) has named the simulator.
    pub async fn open(plan: &Plan, voice: Voice, pool: &Pool) -> Result<Self> {
        let Voice { policy, text, .. } = voice;
        let desk = Engines::new(plan, pool, None, None).open(plan.eval.engine).await?;
        let seed = Seed::run(plan.run.seed).purpose("ask");
        let rollout = Stage::for_evaluation(plan, text, desk)?.rollout(policy, 1, seed)?;
        Ok(Self { rollout, seed })
    }

    /// Asks `question` and tells `listener` what happens. Only a simulated engine sees `golden_answers`.
    pub async fn ask(
        &self,
        question: &str,
        golden_answers: &[String],
        listener: &(dyn for<'a> Fn(Moment<'a>) + Sync),
    ) -> Result<Trajectory> {
        let question = Question {
            id: "asked".into(),
            source: "asked".into(),
            text: question.trim().to_owned(),
            golden_answers: golden_answers.to_vec(),
            prompt: None,
        };
        self.rollout.check([&question])?;
        Ok(play_aloud(&self.rollout, Arc::new(question), 0, self.seed, listener).await)
    }
}

/// How the conversation ended, in words for the one who asked.
pub fn outcome(ending: &Ending) -> String {
    match ending {
        Ending::Answered(answer) => format!("answer: {answer}"),
        Ending::OutOfTurns => "no answer: all turns are used".into(),
        Ending::OutOfTokens => "no answer: the conversation is full".into(),
        Ending::Broken(reason) => format!("no answer: {reason}"),
    }
}
