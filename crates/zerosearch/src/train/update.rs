//! An update: what the conversations taught, handed to the learner.

use anyhow::{Context, Result};
use zerosearch_learner::{Adam, Example, LossReport};

use super::Course;
use crate::config::Optimizer;
use crate::rl::{Batch, Scored};
use crate::rollout::Group;
use crate::run::Row;

/// The optimizer's numbers at `learning_rate`.
pub(crate) fn adam(plan: &Optimizer, learning_rate: f32) -> Adam {
    Adam {
        learning_rate,
        beta1: plan.beta1 as f32,
        beta2: plan.beta2 as f32,
        epsilon: plan.epsilon as f32,
        weight_decay: plan.weight_decay as f32,
        decay_all: plan.decay_all,
        max_grad_norm: (plan.max_grad_norm > 0.0).then_some(plan.max_grad_norm as f32),
    }
}

impl Course {
    /// What `groups` teach.
    pub(super) async fn batch(&self, groups: &[Group]) -> Result<Batch> {
        let rows = self.recipe.reference_rows(groups);
        let reference = match &self.reference {
            Some(policy) if !rows.is_empty() => policy.score(&rows, self.recipe.temperature).await?,
            _ => Vec::new(),
        };
        let rows = self.recipe.own_rows(groups);
        let own = match &rows[..] {
            [] => Vec::new(),
            rows => self.learner.snapshot().await?.score(rows, self.recipe.temperature).await?,
        };
        Ok(self.recipe.batch(groups, Scored { reference, own })?)
    }

    /// Steps the learner once for each part of `batch`, and puts what it saw.
    pub(super) async fn update(&self, batch: &Batch, step: u64, row: &mut Row) -> Result<()> {
        let learning_rate = self.rate.at(step);
        let adam = adam(&self.plan.optimizer, learning_rate);
        let (mut sums, mut norm, mut mismatch) = (LossReport::default(), 0.0_f64, 0.0);
        for (index, update) in batch.updates.iter().enumerate() {
            let report = self.learner.accumulate(&update.examples, &update.loss).await?;
            if index == 0 {
                mismatch = mismatch_kl(&update.examples, &report);
            }
            sums.absorb(report);
            norm = norm.max(self.learner.step(&adam).await.context("the learner could not step")?.grad_norm);
        }
        let share = |sum: f64| if sums.weight > 0.0 { sum / sums.weight } else { 0.0 };
        row.put("mismatch_kl", mismatch)
            .put("actor/pg_loss", sums.loss / batch.updates.len().max(1) as f64)
            .put("actor/entropy", share(sums.entropy))
            .put("actor/pg_clipfrac", share(sums.clipped))
            .put("actor/kl_loss", share(sums.kl))
            .put("actor/grad_norm", norm)
            .put("actor/lr", learning_rate);
        describe(batch, row);
        Ok(())
    }
}

fn describe(batch: &Batch, row: &mut Row) {
    let counts = [
        ("batch/kept_groups", batch.kept_groups),
        ("batch/skipped_groups", batch.skipped_groups),
        ("batch/broken_groups", batch.broken_groups),
        ("batch/trained", batch.trained),
        ("batch/policy_tokens", batch.policy_tokens),
    ];
    row.put_all(counts.map(|(name, count)| (name, count as f64)));
    row.put("critic/advantages/mean", batch.advantage_mean).put("critic/advantages/std", batch.advantage_std);
    if let Some(kl) = batch.reward_kl {
        row.put("critic/kl", kl);
    }
}

/// How far the probabilities that the learner computed are from those that were sampled with: the mean over the
/// policy's tokens of `r - 1 - ln r` with `r = exp(training - sampled)`. Never negative, and 0 only when every
/// log-probability is the same.
pub(super) fn mismatch_kl(examples: &[Example], report: &LossReport) -> f64 {
    let (mut sum, mut tokens) = (0.0_f64, 0_usize);
    for (example, trained) in examples.iter().zip(&report.examples) {
        let pairs = example.old_logprobs.iter().zip(&trained.logprobs);
        for ((sampled, trained), _) in pairs.zip(&example.weights).filter(|(_, weight)| **weight != 0.0) {
            let difference = f64::from(*trained) - f64::from(*sampled);
            sum += difference.exp_m1() - difference;
            tokens += 1;
        }
    }
    sum / tokens.max(1) as f64
}

#[cfg(test)]
mod tests {
    use zerosearch_learner::ExampleReport;

    use super::*;

    fn mismatch(sampled: &[f32], trained: &[f32]) -> f64 {
        let example = Example {
            tokens: vec![0; sampled.len()],
            weights: (0..sampled.len()).map(|at| if at == 0 { 0.0 } else { 1.0 }).collect(),
            old_logprobs: sampled.to_vec(),
            ..Example::default()
        };
        let examples = vec![ExampleReport { logprobs: trained.to_vec() }];
        mismatch_kl(&[example], &LossReport { examples, ..LossReport::default() })
    }

    /// By hand: differences of ln 2 and 0 over two counted tokens give (2 - 1 - ln 2)/2 = 0.153426.
    #[test]
    fn mismatch_is_zero_only_for_equal_numbers_and_ignores_other_authors() {
        assert_eq!(mismatch(&[9.0, -1.5, -0.25], &[0.0, -1.5, -0.25]), 0.0);
        let found = mismatch(&[0.0, -1.0, -0.5], &[0.0, -1.0 + 2.0_f32.ln(), -0.5]);
        assert!((found - 0.153_426).abs() < 1e-6, "{found}");
        assert!(mismatch(&[0.0, -1.0, -1.0], &[0.0, -0.9, -1.1]) > 0.0);
    }
}
