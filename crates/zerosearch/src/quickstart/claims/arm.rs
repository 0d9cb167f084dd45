//! An arm: the recipe with one thing changed.

use anyhow::Result;

use super::super::Stage;
use super::super::recipe::{Asked, Recipe};
use crate::config::Setting;
use crate::curriculum::Curriculum;

/// What is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arm {
    /// A real engine, BM25, over the documents that may be met in training.
    RealEngine,
    /// The same chance of noise at every step: the mean of the curriculum's.
    ConstantNoise,
    /// Useful documents only.
    NoNoise,
    /// The base model plays the engine, prompted with demonstrations.
    Prompted,
    /// The base model plays the engine, asked as the tuned one is.
    Untuned,
    /// Documents are trained like the policy's own words.
    Unmasked,
    /// REINFORCE on the raw reward instead of GRPO.
    Reinforce,
    /// Nobody answers searches, in training and evaluation.
    NoSearch,
}

impl Arm {
    pub(super) const ALL: [Self; 8] = [
        Self::RealEngine,
        Self::ConstantNoise,
        Self::NoNoise,
        Self::Prompted,
        Self::Untuned,
        Self::Unmasked,
        Self::Reinforce,
        Self::NoSearch,
    ];

    /// Its folder and its name in records.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::RealEngine => "real-engine",
            Self::ConstantNoise => "constant-noise",
            Self::NoNoise => "no-noise",
            Self::Prompted => "prompted-simulator",
            Self::Untuned => "untuned-simulator",
            Self::Unmasked => "no-mask",
            Self::Reinforce => "reinforce",
            Self::NoSearch => "no-search",
        }
    }

    /// What is said of it.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::RealEngine => "a real engine (BM25) in training instead of the simulator",
            Self::ConstantNoise => "constant noise, the curriculum's mean, instead of the curriculum",
            Self::NoNoise => "no noise instead of the curriculum",
            Self::Prompted => "the base as simulator, prompted with demonstrations, instead of the tuned one",
            Self::Untuned => "the base as simulator, asked as the tuned one is, instead of it",
            Self::Unmasked => "documents trained as well, instead of masked",
            Self::Reinforce => "REINFORCE on the raw reward instead of GRPO",
            Self::NoSearch => "no search, in training and evaluation",
        }
    }

    /// How its policy is asked.
    pub(super) fn asked(self) -> &'static [Asked] {
        match self {
            Self::NoSearch => &[Asked::Direct],
            _ => &[Asked::Greedy, Asked::Sampled],
        }
    }

    /// What it changes.
    pub(super) fn changes(self, recipe: &Recipe<'_>) -> Result<Vec<Setting>> {
        let of_world = |name: &str| recipe.of(Stage::World, name).display().to_string();
        Ok(match self {
            Self::RealEngine => vec![
                Setting::of("rollout", "engine", "bm25"),
                Setting::of("bm25", "corpus", of_world("corpus-train.jsonl")),
            ],
            Self::ConstantNoise => {
                let noise = mean_noise(recipe)?;
                vec![
                    Setting::of("curriculum", "noise_start", noise),
                    Setting::of("curriculum", "noise_end", noise),
                ]
            }
            Self::NoNoise => vec![Setting::of("curriculum", "noise_end", 0.0)],
            Self::Prompted => vec![
                Setting::of("simulator", "model", of_world("base")),
                Setting::of("simulator", "template", of_world("simulator-prompted.jinja")),
            ],
            Self::Untuned => vec![Setting::of("simulator", "model", of_world("base"))],
            Self::Unmasked => vec![Setting::of("rl", "mask_documents", false)],
            Self::Reinforce => vec![Setting::of("rl", "algorithm", "reinforce")],
            Self::NoSearch => vec![Setting::of("rollout", "engine", "none")],
        })
    }
}

/// The mean chance of noise over the recipe's steps.
fn mean_noise(recipe: &Recipe<'_>) -> Result<f64> {
    let plan = recipe.train(&recipe.of(Stage::World, "base"), Vec::new())?;
    let (steps, noise) = (plan.rl.steps as u64, &plan.curriculum);
    let curriculum = Curriculum::new(noise.noise_start, noise.noise_end, steps)?.with_base(noise.base)?;
    Ok((1..=steps).map(|step| curriculum.noise(step)).sum::<f64>() / steps as f64)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn recipe() -> Recipe<'static> {
        Recipe { folder: Path::new("q"), seed: 1 }
    }

    #[test]
    fn every_arm_is_a_plan_of_its_own_with_the_same_samples() {
        let plan = |changes| recipe().train(Path::new("simulator"), changes).unwrap();
        let mut plans = vec![plan(Vec::new())];
        for arm in Arm::ALL {
            let changed = plan(arm.changes(&recipe()).unwrap());
            assert!(plans.iter().all(|other| *other != changed), "{}", arm.name());
            let samples = |plan: &crate::config::Plan| {
                (plan.rl.steps, plan.rl.questions_per_step, plan.rl.group_size, plan.run.seed)
            };
            assert_eq!(samples(&changed), samples(&plans[0]), "{}", arm.name());
            plans.push(changed);
        }
    }

    /// By hand: the mean of 4^(i/40) over i = 1 to 40 is a geometric sum, r (4 - 1) / (r - 1) / 40 with r = 4^(1/40), 2.2018; less 1
    /// over 3, and half of that.
    #[test]
    fn constant_noise_is_as_much_noise_in_all() {
        assert!((mean_noise(&recipe()).unwrap() - 0.2003).abs() < 1e-4);
    }
}
