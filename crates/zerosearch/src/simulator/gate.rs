//! A gate: what figures a simulator must have before anybody trains against it.

use std::str::FromStr;

use super::Figures;

/// Bounds on figures, each met or not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gate {
    bounds: Vec<(Name, f64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Useful,
    LastHop,
    Separation,
    Relevance,
    Noisy,
    FormatErrors,
}

const NAMES: [(&str, Name); 6] = [
    ("useful", Name::Useful),
    ("last_hop", Name::LastHop),
    ("separation", Name::Separation),
    ("relevance", Name::Relevance),
    ("noisy", Name::Noisy),
    ("format_errors", Name::FormatErrors),
];

impl FromStr for Gate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bound = |part: &str| {
            let (name, bound) = part.split_once('=')?;
            let (_, name) = NAMES.iter().find(|(known, _)| *known == name.trim())?;
            let bound: f64 = bound.trim().parse().ok().filter(|bound| (0.0..=1.0).contains(bound))?;
            Some((*name, bound))
        };
        let bounds: Option<Vec<(Name, f64)>> = text.split(',').map(bound).collect();
        let known: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
        bounds.map(|bounds| Self { bounds }).ok_or_else(|| {
            format!("give bounds from 0 to 1, such as useful=0.8,noisy=0.1; there are {}", known.join(", "))
        })
    }
}

impl Gate {
    /// Every bound that `figures` do not meet, in words. A figure that there is not does not meet any.
    pub fn misses(&self, figures: &Figures) -> Vec<String> {
        let miss = |(name, bound): &(Name, f64)| {
            let (interval, is_least) = match name {
                Name::Useful => (figures.useful, true),
                Name::LastHop => (figures.last_hop, true),
                Name::Separation => (figures.separation, true),
                Name::Relevance => (figures.relevance, true),
                Name::Noisy => (figures.noisy, false),
                Name::FormatErrors => (figures.format_errors, false),
            };
            let met = interval.is_some_and(|it| if is_least { it.mean >= *bound } else { it.mean <= *bound });
            let found = interval.map_or("not known".to_owned(), |it| it.words());
            let side = if is_least { "at least" } else { "at most" };
            (!met).then(|| format!("{} is {found}, {side} {bound} is required", name.word()))
        };
        self.bounds.iter().filter_map(miss).collect()
    }
}

impl Name {
    fn word(self) -> &'static str {
        NAMES.iter().find(|(_, name)| *name == self).map_or("", |(word, _)| word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::Interval;

    #[test]
    fn bounds_are_least_or_most_and_a_missing_figure_meets_none() {
        let of = |mean| Some(Interval { mean, low: mean, high: mean });
        let figures = Figures { useful: of(0.8), noisy: of(0.2), ..Figures::default() };
        let misses = |gate: &str| gate.parse::<Gate>().unwrap().misses(&figures);
        assert!(misses("useful=0.8,noisy=0.2").is_empty());
        assert_eq!(misses("noisy=0.1"), ["noisy is 0.200 [0.200, 0.200], at most 0.1 is required"]);
        assert_eq!(misses("last_hop = 0"), ["last_hop is not known, at least 0 is required"]);
        for text in ["", "useful", "useful=2", "usefull=0.5", "useful=0.8,"] {
            assert!(text.parse::<Gate>().unwrap_err().contains("useful=0.8,noisy=0.1"), "{text}");
        }
    }
}
