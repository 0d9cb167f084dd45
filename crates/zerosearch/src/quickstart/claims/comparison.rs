//! A comparison: an arm beside the recipe as it is, seed by seed.

use serde::{Deserialize, Serialize};

/// Two-sided 95 % quantiles of Student's t with 1, 2, 3, ... degrees of freedom.
const T: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];

/// One arm: exact match on the held-out questions with a real engine, seed by seed, and how it differs from the recipe's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Its name.
    pub arm: String,
    /// What it changes.
    pub change: String,
    /// Greedy, seed by seed.
    pub em: Vec<f64>,
    /// The recipe's less the arm's.
    pub advantage: Spread,
    /// At temperature 1, seed by seed; empty where it was not asked so.
    pub sampled_em: Vec<f64>,
    /// The recipe's less the arm's.
    pub sampled_advantage: Option<Spread>,
}

/// The mean over seeds and its 95 % interval: Student's t, over the seeds as one sample; above 30 degrees of freedom the quantile of 30.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// Half the width of the interval; null where there is one seed.
    pub margin: Option<f64>,
}

impl Comparison {
    /// The arm's scores beside those of the recipe, both in the order of the seeds.
    pub(super) fn of(arm: &str, change: &str, recipe: &Scores, own: &Scores) -> Self {
        let less = |all: &[f64], own: &[f64]| {
            let differences: Vec<f64> = all.iter().zip(own).map(|(all, own)| all - own).collect();
            Spread::of(&differences)
        };
        Self {
            arm: arm.into(),
            change: change.into(),
            advantage: less(&recipe.em, &own.em),
            sampled_advantage: (!own.sampled_em.is_empty())
                .then(|| less(&recipe.sampled_em, &own.sampled_em)),
            em: own.em.clone(),
            sampled_em: own.sampled_em.clone(),
        }
    }
}

/// Exact match, seed by seed.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Scores {
    pub(super) em: Vec<f64>,
    pub(super) sampled_em: Vec<f64>,
}

impl Spread {
    /// Of one number for each seed.
    pub(super) fn of(numbers: &[f64]) -> Self {
        let count = numbers.len() as f64;
        let mean = numbers.iter().sum::<f64>() / count;
        let squares: f64 = numbers.iter().map(|number| (number - mean).powi(2)).sum();
        let margin = numbers.len().checked_sub(2).map(|at| {
            let quantile = T.get(at).copied().unwrap_or(T[T.len() - 1]);
            quantile * (squares / (count - 1.0) / count).sqrt()
        });
        Self { mean, margin }
    }

    /// Whether the interval lies above 0, below it, or neither can be told.
    pub(super) fn words(&self) -> &'static str {
        match self.margin {
            Some(margin) if self.mean - margin > 0.0 => "better",
            Some(margin) if self.mean + margin < 0.0 => "worse",
            _ => "cannot be told apart",
        }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.margin {
            Some(margin) => {
                write!(out, "{:+.3} [{:+.3}, {:+.3}]", self.mean, self.mean - margin, self.mean + margin)
            }
            None => write!(out, "{:+.3} [one seed]", self.mean),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: 1, 2, 3 have the mean 2 and the standard error 1/√3; Student's t with 2 degrees of freedom is 4.303.
    #[test]
    fn an_interval_is_students() {
        let spread = Spread::of(&[1.0, 2.0, 3.0]);
        assert!((spread.margin.unwrap() - 4.303 / 3.0_f64.sqrt()).abs() < 1e-9);
        assert_eq!((spread.mean, spread.words()), (2.0, "cannot be told apart"));
        assert_eq!(Spread::of(&[1.0, 1.1, 1.2]).words(), "better");
        assert_eq!(Spread::of(&[0.25]).to_string(), "+0.250 [one seed]");
    }

    #[test]
    fn an_arm_is_compared_seed_by_seed() {
        let recipe = Scores { em: vec![0.9, 0.8], sampled_em: vec![0.6, 0.5] };
        let arm = Scores { em: vec![0.5, 0.4], sampled_em: Vec::new() };
        let comparison = Comparison::of("a", "b", &recipe, &arm);
        assert!((comparison.advantage.mean - 0.4).abs() < 1e-12);
        assert!(comparison.advantage.margin.unwrap() < 1e-9 && comparison.sampled_advantage.is_none());
    }
}
