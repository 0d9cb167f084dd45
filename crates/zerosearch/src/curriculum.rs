//! The curriculum: how likely a search call is to bring noise, and how that grows from step to step.
//!
//! ```text
//! p(i) = p_start + (b^(i/m) - 1) / (b - 1) * (p_end - p_start)        i: step from 1, m: steps in all
//! ```
//!
//! Equation 1 of the paper (arXiv 2505.04588), with b = 4 there. A constant schedule has equal ends, a reversed one
//! starts above its end; b = 1 means the formula's limit, a straight line.

use rand::RngExt;
use zerosearch_learner::seed::Seed;
use zerosearch_search::{Label, Labels};

/// The base of the paper's schedule.
pub const PAPER_BASE: f64 = 4.0;

/// The chance of noise at each step, and the coins that are tossed with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Curriculum {
    start: f64,
    end: f64,
    base: f64,
    steps: u64,
    per_document: bool,
}

/// Why there is no such curriculum.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CurriculumError {
    /// An end of the schedule is no probability.
    #[error("the chance of noise at the {which} is {value}; it must lie between 0 and 1")]
    NotAProbability {
        /// `start` or `end`.
        which: &'static str,
        /// What was given.
        value: f64,
    },
    /// The base has no power.
    #[error(
        "the base of the noise schedule is {0}; it must be above 0 (4 in the paper, 1 for a straight line)"
    )]
    BadBase(f64),
    /// Progress needs something to be measured against.
    #[error("a noise schedule over 0 steps has no end; it needs at least 1")]
    NoSteps,
}

impl Curriculum {
    /// The paper's schedule from `start` to `end` over `steps` training steps, with one coin for each search call.
    pub fn new(start: f64, end: f64, steps: u64) -> Result<Self, CurriculumError> {
        for (which, value) in [("start", start), ("end", end)] {
            if !(0.0..=1.0).contains(&value) {
                return Err(CurriculumError::NotAProbability { which, value });
            }
        }
        if steps == 0 {
            return Err(CurriculumError::NoSteps);
        }
        Ok(Self { start, end, base: PAPER_BASE, steps, per_document: false })
    }

    /// The same chance of noise at every step.
    pub fn constant(chance: f64) -> Result<Self, CurriculumError> {
        Self::new(chance, chance, 1)
    }

    /// With another base: larger bases keep the noise low for longer, bases below 1 raise it early.
    pub fn with_base(self, base: f64) -> Result<Self, CurriculumError> {
        if base.is_finite() && base > 0.0 {
            Ok(Self { base, ..self })
        } else {
            Err(CurriculumError::BadBase(base))
        }
    }

    /// With one coin for each document instead of one for each search call.
    #[must_use]
    pub fn per_document(self, per_document: bool) -> Self {
        Self { per_document, ..self }
    }

    /// The chance of noise at `step`, which counts from 1. From step m on it stays at the end of the schedule.
    pub fn noise(&self, step: u64) -> f64 {
        if step >= self.steps {
            return self.end;
        }
        let progress = step as f64 / self.steps as f64;
        let growth = self.base.ln();
        // exp_m1 keeps the quotient exact where the base is close to 1; at 1 itself its limit is the progress.
        let share = if growth == 0.0 { progress } else { (growth * progress).exp_m1() / growth.exp_m1() };
        self.start + share * (self.end - self.start)
    }

    /// One coin. The same step and seed fall the same way, whatever else was tossed.
    pub fn toss(&self, step: u64, seed: Seed) -> Label {
        let draw: f64 = seed.purpose("noise").generator().random();
        if draw < self.noise(step) { Label::Noisy } else { Label::Useful }
    }

    /// The labels of one search call for `k` documents: one for all, or one for each document. `seed` is the call's.
    pub fn labels(&self, step: u64, k: usize, seed: Seed) -> Labels {
        if self.per_document {
            Labels::Each((0..k as u64).map(|document| self.toss(step, seed.index(document))).collect())
        } else {
            Labels::All(self.toss(step, seed))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reference's schedule over 203 steps, computed from its formula; columns 0→.5, 0→.25, 0→.75, .25→.5.
    #[test]
    fn matches_the_table_of_the_reference() {
        let ends = [(0.0, 0.5), (0.0, 0.25), (0.0, 0.75), (0.25, 0.5)];
        for (step, row) in [
            (1, [0.0011, 0.0006, 0.0017, 0.2506]),
            (20, [0.0244, 0.0122, 0.0366, 0.2622]),
            (50, [0.0678, 0.0339, 0.1017, 0.2839]),
            (100, [0.1633, 0.0816, 0.2449, 0.3316]),
            (150, [0.2975, 0.1488, 0.4463, 0.3988]),
            (202, [0.4955, 0.2477, 0.7432, 0.4977]),
            (203, [0.5, 0.25, 0.75, 0.5]),
            (9_999, [0.5, 0.25, 0.75, 0.5]),
        ] {
            for ((start, end), expected) in ends.into_iter().zip(row) {
                let noise = Curriculum::new(start, end, 203).unwrap().noise(step);
                assert!((noise - expected).abs() <= 0.5e-4 + 1e-12, "{start} to {end}, step {step}: {noise}");
            }
        }
    }

    /// By hand: b = 1 is a straight line, and bases near 1 come near it; b = 9 at the middle is (3-1)/(9-1) = 1/4.
    #[test]
    fn the_base_bends_the_line() {
        let line = Curriculum::new(0.2, 0.6, 10).unwrap();
        let at_5 = |base: f64| line.clone().with_base(base).unwrap().noise(5);
        assert!((at_5(1.0) - 0.4).abs() < 1e-12);
        assert!((at_5(1.0 + 1e-13) - 0.4).abs() < 1e-12);
        assert!((at_5(9.0) - 0.3).abs() < 1e-12);
    }

    #[test]
    fn equal_ends_are_constant_and_swapped_ends_fall() {
        let constant = Curriculum::constant(0.5).unwrap();
        assert!((1..50).all(|step| constant.noise(step) == 0.5));
        let reversed = Curriculum::new(0.75, 0.0, 100).unwrap();
        assert!((1..100).all(|step| reversed.noise(step + 1) < reversed.noise(step)));
        assert_eq!(reversed.noise(100), 0.0);
    }

    #[test]
    fn impossible_schedules_are_refused() {
        for (start, end, steps, complaint) in [
            (-0.1, 0.5, 1, "the chance of noise at the start is -0.1; it must lie between 0 and 1"),
            (0.0, 1.5, 1, "the chance of noise at the end is 1.5; it must lie between 0 and 1"),
            (f64::NAN, 0.5, 1, "the chance of noise at the start is NaN; it must lie between 0 and 1"),
            (0.0, 0.5, 0, "a noise schedule over 0 steps has no end; it needs at least 1"),
        ] {
            assert_eq!(Curriculum::new(start, end, steps).unwrap_err().to_string(), complaint);
        }
        for base in [0.0, -2.0, f64::INFINITY, f64::NAN] {
            assert!(Curriculum::constant(0.5).unwrap().with_base(base).is_err(), "{base}");
        }
    }

    /// With chance p, of 4,000 independent coins p·4,000 are noisy, give or take four standard deviations (127 at 1/2).
    #[test]
    fn coins_fall_as_often_as_they_should_and_never_at_the_ends() {
        let noisy = |chance: f64| {
            let curriculum = Curriculum::constant(chance).unwrap();
            let run = Seed::run(7);
            (0..4_000).filter(|&call| curriculum.toss(1, run.index(call)) == Label::Noisy).count()
        };
        assert_eq!((noisy(0.0), noisy(1.0)), (0, 4_000));
        assert!(noisy(0.5).abs_diff(2_000) <= 127, "{}", noisy(0.5));
        assert!(noisy(0.1).abs_diff(400) <= 76, "{}", noisy(0.1));
    }

    #[test]
    fn documents_of_one_call_share_its_coin_unless_each_has_its_own() {
        let curriculum = Curriculum::constant(0.5).unwrap();
        let seed = Seed::run(3).index(9);
        assert_eq!(curriculum.labels(1, 5, seed), Labels::All(curriculum.toss(1, seed)));
        assert_eq!(curriculum.labels(1, 5, seed), curriculum.labels(1, 5, seed));
        let Labels::Each(each) = curriculum.per_document(true).labels(1, 64, seed) else {
            panic!("one label was given for all documents");
        };
        assert_eq!(each.len(), 64);
        assert!(each.contains(&Label::Useful) && each.contains(&Label::Noisy));
    }
}
