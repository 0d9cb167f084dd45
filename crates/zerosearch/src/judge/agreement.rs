//! Agreement: how often a judge model and containment say the same of a document.

use serde::{Deserialize, Serialize};

/// Documents with a verdict whose question has a golden answer that can be looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Useful to the judge, and a golden answer stands in them.
    pub both: usize,
    /// Useful to the judge only.
    pub judge_only: usize,
    /// A golden answer stands in them, and the judge finds them noisy.
    pub containment_only: usize,
    /// Neither.
    pub neither: usize,
    /// Different documents on which the judge gave no verdict: it wrote something else than yes or no, or failed.
    pub no_verdict: usize,
}

impl Agreement {
    /// Counts one document.
    pub(super) fn add(&mut self, judged: bool, contained: bool) {
        match (judged, contained) {
            (true, true) => self.both += 1,
            (true, false) => self.judge_only += 1,
            (false, true) => self.containment_only += 1,
            (false, false) => self.neither += 1,
        }
    }

    /// The share of documents of which both say the same; nothing without documents.
    pub fn share(&self) -> Option<f64> {
        let all = self.both + self.judge_only + self.containment_only + self.neither;
        (all > 0).then(|| (self.both + self.neither) as f64 / all as f64)
    }

    /// Cohen's kappa: `(share - chance) / (1 - chance)`, where chance is the share that would agree if either said
    /// yes as often as it does, but independently. Nothing where chance alone agrees always.
    pub fn kappa(&self) -> Option<f64> {
        let share = self.share()?;
        let all = (self.both + self.judge_only + self.containment_only + self.neither) as f64;
        let judge = (self.both + self.judge_only) as f64 / all;
        let contained = (self.both + self.containment_only) as f64 / all;
        let chance = judge * contained + (1.0 - judge) * (1.0 - contained);
        (chance < 1.0).then(|| (share - chance) / (1.0 - chance))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of Cohen's kappa in every textbook: 20, 5, 10 and 15 of 50 agree in 0.7, 0.5 by chance.
    #[test]
    fn kappa_is_agreement_beyond_chance() {
        let agreement =
            Agreement { both: 20, judge_only: 5, containment_only: 10, neither: 15, no_verdict: 3 };
        assert_eq!(agreement.share(), Some(0.7));
        assert!((agreement.kappa().unwrap() - 0.4).abs() < 1e-12);
        assert_eq!(Agreement::default().kappa(), None);
        assert_eq!(Agreement { both: 3, ..Agreement::default() }.kappa(), None);
    }
}
