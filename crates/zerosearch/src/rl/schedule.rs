//! The learning rate's schedule: a linear warm-up, then constant or a half cosine.
//!
//! ```text
//! step <= w      peak * step / w                                      step counts from 1: the first is peak/w, not 0
//! constant       peak
//! cosine         peak * (f + (1 - f) * (1 + cos(pi * (step - w') / (n - w'))) / 2)     w' = max(w, 1), f: floor
//! ```
//!
//! over n steps with w of warm-up. The cosine leaves the peak at the end of the warm-up (or at step 1) and reaches
//! `peak * floor` at step n (arXiv 1608.03983).

use std::f64::consts::PI;

/// The learning rate at each step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LearningRate {
    peak: f64,
    warmup: u64,
    steps: u64,
    decay: Decay,
}

/// What follows the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Decay {
    /// The peak, to the end.
    #[default]
    Constant,
    /// A half cosine down to this share of the peak, in [0, 1].
    Cosine {
        /// The share of the peak at the last step.
        floor: f64,
    },
}

/// Why there is no such schedule.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ScheduleError {
    /// No learning rate.
    #[error("the learning rate is {0}; it must be a number above 0")]
    BadRate(f64),
    /// No share.
    #[error("the cosine schedule ends at {0} times the peak; that must lie between 0 and 1")]
    BadFloor(f64),
    /// The peak would never be reached.
    #[error("the warm-up takes {warmup} steps, the run has {steps}; make it shorter or the run longer")]
    EndlessWarmup {
        /// Steps of warm-up.
        warmup: u64,
        /// Steps in all.
        steps: u64,
    },
}

impl LearningRate {
    /// A schedule over `steps` steps whose first `warmup` lead up to `peak`.
    pub fn new(peak: f64, warmup: u64, steps: u64, decay: Decay) -> Result<Self, ScheduleError> {
        if !(peak.is_finite() && peak > 0.0) {
            return Err(ScheduleError::BadRate(peak));
        }
        if warmup > steps {
            return Err(ScheduleError::EndlessWarmup { warmup, steps });
        }
        match decay {
            Decay::Cosine { floor } if !(0.0..=1.0).contains(&floor) => Err(ScheduleError::BadFloor(floor)),
            _ => Ok(Self { peak, warmup, steps, decay }),
        }
    }

    /// The learning rate of `step`, which counts from 1. Past the last step it stays where it ended.
    pub fn at(&self, step: u64) -> f32 {
        if step < self.warmup {
            return (self.peak * step as f64 / self.warmup as f64) as f32;
        }
        let share = match self.decay {
            Decay::Constant => 1.0,
            Decay::Cosine { floor } => floor + (1.0 - floor) * (1.0 + (PI * self.fallen(step)).cos()) / 2.0,
        };
        (self.peak * share) as f32
    }

    /// How much of the way from the peak to the end lies behind, in [0, 1].
    fn fallen(&self, step: u64) -> f64 {
        let top = self.warmup.max(1);
        let way = self.steps.saturating_sub(top);
        if way == 0 { 0.0 } else { (step.saturating_sub(top) as f64 / way as f64).min(1.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(computed: f32, expected: f64) {
        assert!((f64::from(computed) / expected - 1.0).abs() < 1e-6, "{computed} instead of {expected}");
    }

    /// The reference warms PPO's actor up over 57 of 203 steps and REINFORCE over 192; by hand, 1e-6 · step / w.
    #[test]
    fn the_warm_up_starts_above_zero_and_ends_at_the_peak() {
        for (warmup, step, expected) in [
            (57, 1, 1e-6 / 57.0),
            (57, 57, 1e-6),
            (57, 58, 1e-6),
            (192, 1, 1e-6 / 192.0),
            (192, 57, 57e-6 / 192.0),
            (192, 192, 1e-6),
            (192, 203, 1e-6),
            (0, 1, 1e-6),
            (1, 1, 1e-6),
        ] {
            close(LearningRate::new(1e-6, warmup, 203, Decay::Constant).unwrap().at(step), expected);
        }
    }

    /// By hand, 10 steps of warm-up and 100 of fall to a tenth: half way, cos(pi/2) = 0 gives .1 + .9/2 = .55.
    #[test]
    fn the_cosine_falls_from_the_peak_to_its_floor() {
        let rate = LearningRate::new(1e-3, 10, 110, Decay::Cosine { floor: 0.1 }).unwrap();
        for (step, expected) in [(5, 5e-4), (10, 1e-3), (60, 5.5e-4), (110, 1e-4), (500, 1e-4)] {
            close(rate.at(step), expected);
        }
        assert!((10..110).all(|step| rate.at(step + 1) < rate.at(step)));
        close(LearningRate::new(1e-3, 0, 9, Decay::Cosine { floor: 0.0 }).unwrap().at(1), 1e-3);
        close(LearningRate::new(1e-3, 1, 1, Decay::Cosine { floor: 0.0 }).unwrap().at(1), 1e-3);
    }

    #[test]
    fn impossible_schedules_are_refused() {
        assert_eq!(LearningRate::new(0.0, 0, 9, Decay::Constant), Err(ScheduleError::BadRate(0.0)));
        assert!(LearningRate::new(f64::NAN, 0, 9, Decay::Constant).is_err());
        let floor = Decay::Cosine { floor: 1.5 };
        assert_eq!(LearningRate::new(1.0, 0, 9, floor), Err(ScheduleError::BadFloor(1.5)));
        assert_eq!(
            LearningRate::new(1.0, 10, 9, Decay::Constant).unwrap_err().to_string(),
            "the warm-up takes 10 steps, the run has 9; make it shorter or the run longer"
        );
    }
}
