//! Broken conversations: counted, never trained on, and too many of them stop the run.

use anyhow::{Context, Result};

use super::Course;
use crate::problem::problem;
use crate::rollout::{Ending, Group};
use crate::run::Run;

impl Course {
    /// Stops the run at a step with too many broken conversations: what was learned before is saved, and what remote
    /// simulators replied in this step is forgotten, so that it is played afresh once the cause is mended.
    pub(super) async fn refuse_broken(&self, groups: &[Group], run: &mut Run) -> Result<()> {
        let refused = refuse(groups, self.plan.rl.max_broken_share);
        if let Some(replies) = &self.replies {
            if refused.is_ok() { replies.settle()? } else { replies.forget()? }
        }
        let Err(refusal) = refused else { return Ok(()) };
        if run.done() > 0 {
            run.save(&*self.learner, None).await.context("the run could not be saved on stopping")?;
        }
        Err(refusal)
    }
}

/// Refuses a step in which more than `max_share` of the conversations are broken, with the commonest reason.
fn refuse(groups: &[Group], max_share: f64) -> Result<()> {
    let all: usize = groups.iter().map(|group| group.trajectories.len()).sum();
    let mut reasons: Vec<&str> =
        groups.iter().flat_map(|group| &group.trajectories).filter_map(fault).collect();
    if reasons.is_empty() || reasons.len() as f64 <= max_share * all as f64 {
        return Ok(());
    }
    let broken = reasons.len();
    reasons.sort_unstable();
    let runs = reasons.chunk_by(|a, b| a == b);
    let commonest = runs.max_by_key(|run| run.len()).and_then(|run| run.first()).copied().unwrap_or_default();
    Err(problem(format!("{broken} of {all} conversations of this step are broken, more than rl.max_broken_share = {max_share} allows"))
        .because(commonest.to_owned())
        .hint("mend the cause and go on with `--resume`; nothing was learned from this step")
        .into())
}

fn fault(trajectory: &crate::rollout::Trajectory) -> Option<&str> {
    match &trajectory.ending {
        Ending::Broken(reason) => Some(reason),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::qa::Question;
    use crate::rollout::{Scores, Trajectory, Transcript};

    fn group(endings: &[Ending]) -> Group {
        let question = Arc::new(Question {
            id: "q".into(),
            source: "s".into(),
            text: "who?".into(),
            golden_answers: vec!["me".into()],
            prompt: None,
        });
        let trajectory = |(member, ending): (usize, &Ending)| Trajectory {
            question: Arc::clone(&question),
            member,
            transcript: Transcript::default(),
            opening: None,
            turns: Vec::new(),
            ending: ending.clone(),
            scores: Scores::default(),
            reward: 0.0,
        };
        Group {
            question: Arc::clone(&question),
            trajectories: endings.iter().enumerate().map(trajectory).collect(),
        }
    }

    /// By hand: 3 of 5 is a share of 0.6.
    #[test]
    fn a_step_is_refused_past_the_share_with_its_commonest_reason() {
        let broken = |reason: &str| Ending::Broken(reason.into());
        let endings =
            [broken("timeout"), Ending::OutOfTurns, broken("refused"), broken("timeout"), Ending::OutOfTurns];
        assert!(refuse(&[group(&endings)], 0.6).is_ok());
        let error = refuse(&[group(&endings)], 0.59).unwrap_err();
        assert_eq!(error.chain().nth(1).unwrap().to_string(), "timeout");
        assert!(refuse(&[group(&[Ending::OutOfTurns])], 0.0).is_ok());
        assert!(refuse(&[group(&[broken("x")])], 0.0).is_err());
    }
}
