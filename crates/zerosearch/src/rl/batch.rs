//! A batch: groups of trajectories turned into what a learner trains on.

use zerosearch_learner::{Example, Loss, Objective, TokenId};

use super::kl::k1_sum;
use super::{Algorithm, Kl};
use crate::rollout::{Author, Group, Trajectory};

/// How groups become a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// Rewards to advantages.
    pub algorithm: Algorithm,
    /// The term that teaches.
    pub objective: Objective,
    /// What keeps the policy near the reference.
    pub kl: Kl,
    /// How much entropy is rewarded; 0 for not at all.
    pub entropy_bonus: f32,
    /// The temperature the trajectories were sampled with.
    pub temperature: f32,
    /// Into how many optimizer batches the groups are split, at least 1. The second and later ones are off-policy.
    pub updates_per_step: usize,
    /// Whether documents are left out of the loss. Else they are trained on as if the policy had written them.
    pub mask_documents: bool,
}

/// Log-probabilities of the trajectories that are not broken, in the order of groups and members.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scored {
    /// The reference policy's, for [`Recipe::reference_rows`].
    pub reference: Vec<Vec<f32>>,
    /// The policy's own, for [`Recipe::own_rows`].
    pub own: Vec<Vec<f32>>,
}

/// What one training step has to teach, and what was left out of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// In this order: accumulate, then step. Empty when no group has an advantage.
    pub updates: Vec<Update>,
    /// Groups that teach.
    pub kept_groups: usize,
    /// Groups in which no trajectory has an advantage.
    pub skipped_groups: usize,
    /// Groups in which every trajectory is broken.
    pub broken_groups: usize,
    /// Trajectories that teach: those of the kept groups that are not broken and in which the policy wrote something.
    pub trained: usize,
    /// Broken trajectories, of all groups.
    pub broken: usize,
    /// Tokens that are trained, in the trajectories that teach: the policy's, and documents' where those are not masked.
    pub policy_tokens: usize,
    /// Mean advantage of the trajectories that teach; 0 without any.
    pub advantage_mean: f64,
    /// Standard deviation (n in the denominator) of those advantages.
    pub advantage_std: f64,
    /// With [`Kl::InReward`], the mean of k1 over the policy's tokens of all trajectories that are not broken.
    pub reward_kl: Option<f64>,
}

/// One optimizer batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    /// Its rows, in the order of groups and members.
    pub examples: Vec<Example>,
    /// Its loss: a mean over all tokens of `examples` that are trained.
    pub loss: Loss,
}

/// Why trajectories cannot be trained on.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BatchError {
    /// A reward that is no number.
    #[error("question {question}, member {member}: the reward is {reward}; it must be a finite number")]
    BadReward {
        /// The question's id.
        question: String,
        /// Which of the group's rollouts.
        member: usize,
        /// What was given.
        reward: f32,
    },
    /// The policy did not say how likely its tokens were.
    #[error(
        "question {question}, member {member}: a piece of {tokens} tokens came with {logprobs} log-probabilities; \
         train with a policy that reports one for each token"
    )]
    NoLogprobs {
        /// The question's id.
        question: String,
        /// Which of the group's rollouts.
        member: usize,
        /// Tokens of the policy's piece.
        tokens: usize,
        /// Log-probabilities of that piece.
        logprobs: usize,
    },
    /// Log-probabilities do not fit the trajectories.
    #[error("the policy that scores the rows scored {0}; the batch has {1}")]
    BadScores(String, String),
}

fn check_length(trajectory: &Trajectory, scored: &[f32]) -> Result<(), BatchError> {
    let tokens = trajectory.transcript.len();
    if scored.len() == tokens {
        return Ok(());
    }
    let found = format!("{} tokens of question {}", scored.len(), trajectory.question.id);
    Err(BatchError::BadScores(found, format!("{tokens}")))
}

/// The trajectories that are not broken, in the order of groups and members.
pub fn sound(groups: &[Group]) -> impl Iterator<Item = &Trajectory> {
    groups.iter().flat_map(sound_in)
}

fn sound_in(group: &Group) -> impl Iterator<Item = &Trajectory> {
    group.trajectories.iter().filter(|trajectory| trajectory.ending.teaches())
}

/// A trajectory that is not broken, as the batch sees it.
struct Row<'a> {
    trajectory: &'a Trajectory,
    weights: Vec<f32>,
    logprobs: Vec<f32>,
    reference: Vec<f32>,
    reward: f64,
    k1: f64,
}

impl Recipe {
    /// The rows that the reference policy has to score, at this recipe's temperature; none without a KL penalty.
    pub fn reference_rows(&self, groups: &[Group]) -> Vec<Vec<TokenId>> {
        if self.kl.needs_reference() {
            sound(groups).map(|it| it.transcript.tokens()).collect()
        } else {
            Vec::new()
        }
    }

    /// The rows that the policy itself has to score, at this recipe's temperature, before it is updated: it knows how likely
    /// its own words were, but not how likely documents are. None where those are masked.
    pub fn own_rows(&self, groups: &[Group]) -> Vec<Vec<TokenId>> {
        if self.mask_documents {
            Vec::new()
        } else {
            sound(groups).map(|it| it.transcript.tokens()).collect()
        }
    }

    /// Turns groups into a batch, with the log-probabilities that this recipe asks for.
    ///
    /// Broken trajectories leave their group before anything is computed. Groups without any advantage are left out;
    /// in the others every trajectory counts, also one whose own advantage is 0.
    pub fn batch(&self, groups: &[Group], scored: Scored) -> Result<Batch, BatchError> {
        let needed = [(&scored.reference, self.kl.needs_reference()), (&scored.own, !self.mask_documents)];
        for (rows, is_needed) in needed {
            let wanted = if is_needed { sound(groups).count() } else { 0 };
            if rows.len() != wanted {
                let told = (format!("{} rows", rows.len()), format!("{wanted} that need it"));
                return Err(BatchError::BadScores(told.0, told.1));
            }
        }
        let (mut reference, mut own) = (scored.reference.into_iter(), scored.own.into_iter());
        let rows: Vec<Vec<Row<'_>>> = groups
            .iter()
            .map(|group| sound_in(group).map(|it| self.row(it, reference.next(), own.next())).collect())
            .collect::<Result<_, _>>()?;
        let rewards: Vec<Vec<f64>> =
            rows.iter().map(|group| group.iter().map(|row| row.reward).collect()).collect();
        let advantages = self.algorithm.advantages(&rewards);
        let mut batch = self.count(groups, &rows);
        let mut kept = Vec::new();
        for (group, advantages) in rows.into_iter().zip(advantages) {
            if advantages.iter().any(|advantage| *advantage != 0.0) {
                kept.push(group.into_iter().zip(advantages).filter(|(row, _)| row.wrote()).collect());
            } else if !group.is_empty() {
                batch.skipped_groups += 1;
            }
        }
        batch.keep(&kept);
        batch.updates = self.updates(kept);
        Ok(batch)
    }

    fn row<'a>(
        &self,
        trajectory: &'a Trajectory,
        reference: Option<Vec<f32>>,
        own: Option<Vec<f32>>,
    ) -> Result<Row<'a>, BatchError> {
        check(trajectory)?;
        for scored in [&reference, &own].into_iter().flatten() {
            check_length(trajectory, scored)?;
        }
        let reference = reference.unwrap_or_default();
        let weights = trajectory.transcript.loss_weights(|author| self.trains(author));
        let mut logprobs = trajectory.transcript.logprobs();
        if let Some(own) = own {
            let documents = trajectory.transcript.loss_weights(|author| author == Author::Search);
            let tokens = logprobs.iter_mut().zip(own).zip(documents);
            tokens.filter(|(_, weight)| *weight != 0.0).for_each(|((logprob, own), _)| *logprob = own);
        }
        let (k1, coefficient) = match self.kl {
            Kl::InReward { coefficient } => (k1_sum(&weights, &logprobs, &reference), f64::from(coefficient)),
            Kl::Off | Kl::InLoss(_) => (0.0, 0.0),
        };
        let reward = f64::from(trajectory.reward) - coefficient * k1;
        Ok(Row { trajectory, weights, logprobs, reference, reward, k1 })
    }

    fn trains(&self, author: Author) -> bool {
        author == Author::Policy || (author == Author::Search && !self.mask_documents)
    }

    fn count(&self, groups: &[Group], rows: &[Vec<Row<'_>>]) -> Batch {
        let members: usize = groups.iter().map(|group| group.trajectories.len()).sum();
        let tokens: usize = rows.iter().flatten().map(Row::trained_tokens).sum();
        let k1: f64 = rows.iter().flatten().map(|row| row.k1).sum();
        Batch {
            broken: members - rows.iter().map(Vec::len).sum::<usize>(),
            broken_groups: rows.iter().filter(|group| group.is_empty()).count(),
            reward_kl: matches!(self.kl, Kl::InReward { .. }).then(|| k1 / tokens.max(1) as f64),
            ..Batch::default()
        }
    }

    /// Near-equal runs of whole groups, one for each update; fewer updates where there are fewer groups.
    fn updates(&self, kept: Vec<Vec<(Row<'_>, f64)>>) -> Vec<Update> {
        let count = self.updates_per_step.clamp(1, kept.len().max(1));
        let groups = kept.len();
        let mut kept = kept.into_iter();
        let runs = (0..count).map(|update| (update + 1) * groups / count - update * groups / count);
        let updates = runs.map(|length| {
            let rows = kept.by_ref().take(length).flatten();
            self.update(rows.map(|(row, advantage)| self.example(row, advantage)).collect())
        });
        updates.filter(|update| !update.examples.is_empty()).collect()
    }

    fn update(&self, examples: Vec<Example>) -> Update {
        let loss = Loss {
            kl: self.kl.penalty(),
            entropy_bonus: self.entropy_bonus,
            temperature: self.temperature,
            ..Loss::mean(self.objective, &examples)
        };
        Update { examples, loss }
    }

    fn example(&self, row: Row<'_>, advantage: f64) -> Example {
        Example {
            tokens: row.trajectory.transcript.tokens(),
            advantages: row
                .weights
                .iter()
                .map(|&weight| if weight == 0.0 { 0.0 } else { advantage as f32 })
                .collect(),
            weights: row.weights,
            old_logprobs: row.logprobs,
            reference_logprobs: if self.kl.penalty().is_some() { row.reference } else { Vec::new() },
        }
    }
}

impl Batch {
    fn keep(&mut self, kept: &[Vec<(Row<'_>, f64)>]) {
        let rows = || kept.iter().flatten();
        self.kept_groups = kept.len();
        self.trained = rows().count();
        self.policy_tokens = rows().map(|(row, _)| row.trained_tokens()).sum();
        let count = self.trained.max(1) as f64;
        self.advantage_mean = rows().map(|(_, advantage)| advantage).sum::<f64>() / count;
        let squares = rows().map(|(_, advantage)| (advantage - self.advantage_mean).powi(2)).sum::<f64>();
        self.advantage_std = (squares / count).sqrt();
    }
}

impl Row<'_> {
    fn trained_tokens(&self) -> usize {
        self.weights.iter().filter(|weight| **weight != 0.0).count()
    }

    fn wrote(&self) -> bool {
        self.trajectory.transcript.policy_tokens() > 0
    }
}

fn check(trajectory: &Trajectory) -> Result<(), BatchError> {
    let (question, member) = (trajectory.question.id.clone(), trajectory.member);
    if !trajectory.reward.is_finite() {
        return Err(BatchError::BadReward { question, member, reward: trajectory.reward });
    }
    let mut pieces = trajectory.transcript.pieces.iter().filter(|piece| piece.author == Author::Policy);
    match pieces.find(|piece| piece.tokens.len() != piece.logprobs.len()) {
        Some(piece) => Err(BatchError::NoLogprobs {
            question,
            member,
            tokens: piece.tokens.len(),
            logprobs: piece.logprobs.len(),
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
