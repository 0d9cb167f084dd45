//! Tokens: what a conversation takes of a policy, to write and to read.

use serde::{Deserialize, Serialize};

use crate::rollout::{Author, Trajectory};

/// Tokens of one conversation, in the mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tokens {
    /// Written by the policy, notes on documents that it reads apart included.
    pub written: f64,
    /// Shown to it: prompt, documents, hints.
    pub shown: f64,
    /// Handed to it over all its turns, each of which begins with everything before it, and for its notes: what a server
    /// without a cache reads, and bills.
    pub prompted: f64,
}

impl Tokens {
    /// Those of `trajectories`.
    pub fn of<'a>(trajectories: impl IntoIterator<Item = &'a Trajectory>) -> Self {
        let (mut sum, mut count) = (Self::default(), 0.0);
        for trajectory in trajectories {
            sum.add(trajectory);
            count += 1.0_f64;
        }
        let mean = |total: f64| total / count.max(1.0);
        Self { written: mean(sum.written), shown: mean(sum.shown), prompted: mean(sum.prompted) }
    }

    fn add(&mut self, trajectory: &Trajectory) {
        let mut before = 0.0;
        for piece in &trajectory.transcript.pieces {
            let tokens = piece.tokens.len() as f64;
            if piece.author == Author::Policy {
                self.written += tokens;
                self.prompted += before;
            } else {
                self.shown += tokens;
            }
            before += tokens;
        }
        for reading in trajectory.opening_and_turns().filter_map(|turn| turn.distillate.as_ref()) {
            self.written += reading.written as f64;
            self.prompted += reading.read as f64;
        }
    }

    /// In one line.
    pub(super) fn line(&self) -> String {
        let Self { written, shown, prompted } = self;
        format!(
            "tokens per question: {written:.1} written, {shown:.1} shown, {prompted:.1} handed over in all turns\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::fakes::question;
    use crate::rollout::{Ending, Scores, Transcript};

    /// By hand: a prompt of 10, 4 written, 6 of documents, 2 written: 6 written, 16 shown, 10 + 20 handed over. A second
    /// conversation with a prompt of 10 and 4 written halves what it does not double.
    #[test]
    fn each_turn_is_handed_everything_before_it() {
        let conversation = |pieces: &[(Author, usize)]| {
            let mut transcript = Transcript::default();
            for (author, count) in pieces {
                transcript.show(*author, vec![1; *count]);
            }
            let (scores, ending) = (Scores::default(), Ending::OutOfTurns);
            let question = question("1", "q", "a");
            Trajectory {
                question,
                member: 0,
                transcript,
                opening: None,
                turns: Vec::new(),
                ending,
                scores,
                reward: 0.0,
            }
        };
        let (prompt, policy) = (Author::Prompt, Author::Policy);
        let long = conversation(&[(prompt, 10), (policy, 4), (Author::Search, 6), (policy, 2)]);
        let short = conversation(&[(prompt, 10), (policy, 4)]);
        assert_eq!(Tokens::of([&long]), Tokens { written: 6.0, shown: 16.0, prompted: 30.0 });
        assert_eq!(Tokens::of([&long, &short]), Tokens { written: 5.0, shown: 13.0, prompted: 20.0 });
        assert_eq!(Tokens::of([]), Tokens::default());
    }
}
