//! REINFORCE (Williams 1992): what was rewarded becomes likelier.
//!
//! ```text
//! none            A_i = r_i                                 the paper (arXiv 2505.04588)
//! leave_one_out   A_i = r_i - mean(r_j of the same group : j != i)          arXiv 2402.14740
//! batch_mean      A_i = r_i - mean(r of the whole batch)
//! ```
//!
//! Without a baseline and with rewards that are never negative, every sampled answer becomes likelier or stays; a
//! baseline also makes bad ones less likely and lowers the variance of the gradient.

use serde::{Deserialize, Serialize};

use super::compare::{all_equal, mean};

/// REINFORCE with one advantage for all tokens of a trajectory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reinforce {
    /// What is taken off the reward.
    pub baseline: Baseline,
}

/// What REINFORCE takes off the reward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Baseline {
    /// Nothing.
    #[default]
    None,
    /// The mean of the group's other rewards. A lone answer has nobody to be compared with and teaches nothing.
    LeaveOneOut,
    /// The mean of all rewards of the batch.
    BatchMean,
}

impl Reinforce {
    /// One advantage for each reward, group by group.
    pub fn advantages(&self, groups: &[Vec<f64>]) -> Vec<Vec<f64>> {
        match self.baseline {
            Baseline::None => groups.to_vec(),
            Baseline::LeaveOneOut => groups.iter().map(|rewards| leave_one_out(rewards)).collect(),
            Baseline::BatchMean => batch_mean(groups),
        }
    }
}

fn leave_one_out(rewards: &[f64]) -> Vec<f64> {
    if all_equal(rewards) {
        return vec![0.0; rewards.len()];
    }
    let total: f64 = rewards.iter().sum();
    let others = (rewards.len() - 1) as f64;
    rewards.iter().map(|reward| reward - (total - reward) / others).collect()
}

fn batch_mean(groups: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let all = groups.concat();
    if all_equal(&all) {
        return groups.iter().map(|rewards| vec![0.0; rewards.len()]).collect();
    }
    let mean = mean(&all);
    groups.iter().map(|rewards| rewards.iter().map(|reward| reward - mean).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advantages(baseline: Baseline, groups: &[&[f64]]) -> Vec<Vec<f64>> {
        let groups: Vec<Vec<f64>> = groups.iter().map(|group| group.to_vec()).collect();
        Reinforce { baseline }.advantages(&groups)
    }

    #[test]
    fn without_a_baseline_the_reward_is_the_advantage() {
        assert_eq!(advantages(Baseline::None, &[&[1.0, 1.0], &[0.0, 0.5]]), [[1.0, 1.0], [0.0, 0.5]]);
    }

    /// By hand: 1 - (0+0)/2, and 0 - (1+0)/2 twice; 1 - .5 and .5 - 1.
    #[test]
    fn leave_one_out_matches_hand_arithmetic() {
        let computed = advantages(Baseline::LeaveOneOut, &[&[1.0, 0.0, 0.0], &[1.0, 0.5]]);
        assert_eq!(computed, [vec![1.0, -0.5, -0.5], vec![0.5, -0.5]]);
    }

    #[test]
    fn equal_or_lone_rewards_teach_nothing_by_leaving_one_out() {
        let computed = advantages(Baseline::LeaveOneOut, &[&[0.1, 0.1, 0.1], &[0.7], &[]]);
        assert_eq!(computed, [vec![0.0; 3], vec![0.0], vec![]]);
    }

    /// By hand: the mean of 1, 0, 0, 1, 1, 0 is 1/2, for both groups.
    #[test]
    fn the_batch_mean_is_over_all_groups() {
        let computed = advantages(Baseline::BatchMean, &[&[1.0, 0.0, 0.0], &[1.0, 1.0, 0.0]]);
        assert_eq!(computed, [[0.5, -0.5, -0.5], [0.5, 0.5, -0.5]]);
        assert_eq!(advantages(Baseline::BatchMean, &[&[0.1, 0.1], &[0.1]]), [vec![0.0, 0.0], vec![0.0]]);
        assert_eq!(advantages(Baseline::BatchMean, &[]), Vec::<Vec<f64>>::new());
    }
}
