//! One question, asked aloud: what the policy says, searches and finds is told as it happens.

use std::sync::Arc;

use zerosearch_learner::seed::Seed;

use crate::qa::Question;
use crate::rollout::{Ending, Moment, Rollout, Trajectory, play_aloud};

/// Asks `question` and tells `listener` what happens.
pub async fn ask(
    rollout: &Rollout,
    question: &str,
    seed: Seed,
    listener: &(dyn for<'a> Fn(Moment<'a>) + Sync),
) -> Trajectory {
    let question = Question {
        id: "asked".into(),
        source: "asked".into(),
        text: question.trim().to_owned(),
        golden_answers: Vec::new(),
        prompt: None,
    };
    play_aloud(rollout, Arc::new(question), 0, seed, listener).await
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
