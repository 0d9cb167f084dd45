//! Balance: each pair once, some held out, and as many of one label as of the other.
//!
//! Which pairs are drawn is decided pair by pair, by a number that follows from the run's seed and the pair alone.

use std::collections::HashMap;

use zerosearch_learner::seed::Seed;
use zerosearch_search::Label;

use super::{Counts, Pair};
use crate::qa::normalize;

/// Pairs without repetitions.
pub(super) struct Unique {
    /// The first of each, with the label that most of them have.
    pub(super) pairs: Vec<Pair>,
    /// How many repeated an earlier one.
    pub(super) repeated: usize,
    /// Different pairs that came with both labels.
    pub(super) contradicted: usize,
    /// Those of them that came as often with one as with the other, and are left out.
    pub(super) tied: usize,
}

/// Each pair of question, query and documents once.
pub(super) fn unique(pairs: Vec<Pair>) -> Unique {
    let count = pairs.len();
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut kept: Vec<(Pair, Counts)> = Vec::new();
    for pair in pairs {
        let place = *places.entry(pair.fingerprint()).or_insert(kept.len());
        if let Some((first, votes)) = kept.get_mut(place) {
            votes.add(pair.label);
            first.from.last |= pair.from.last;
        } else {
            let votes = Counts::of(std::slice::from_ref(&pair));
            kept.push((pair, votes));
        }
    }
    let repeated = count - kept.len();
    let contradicted = kept.iter().filter(|(_, votes)| votes.useful > 0 && votes.noisy > 0).count();
    let tied = kept.iter().filter(|(_, votes)| votes.useful == votes.noisy).count();
    let decided = kept.into_iter().filter(|(_, votes)| votes.useful != votes.noisy);
    let pairs = decided.map(|(pair, votes)| {
        let label = if votes.useful > votes.noisy { Label::Useful } else { Label::Noisy };
        Pair { label, ..pair }
    });
    Unique { pairs: pairs.collect(), repeated, contradicted, tied }
}

/// The pairs of about `share` of the questions, and the others. All pairs of a question go the same way.
pub(super) fn split(pairs: Vec<Pair>, share: f64, seed: Seed) -> (Vec<Pair>, Vec<Pair>) {
    let seed = seed.purpose("held out");
    // 53 bits: every value is exact in f64.
    let unit =
        |pair: &Pair| (seed.purpose(&normalize(&pair.question)).number() >> 11) as f64 / (1_u64 << 53) as f64;
    pairs.into_iter().partition(|pair| unit(pair) < share)
}

/// As many pairs of one label as of the other, in their order.
pub(super) fn balanced(pairs: Vec<Pair>, seed: Seed) -> Vec<Pair> {
    let Counts { useful, noisy } = Counts::of(&pairs);
    let (most, keep) = if useful > noisy { (Label::Useful, noisy) } else { (Label::Noisy, useful) };
    let seed = seed.purpose("balance");
    let mut drawn: Vec<(u64, usize)> = pairs
        .iter()
        .enumerate()
        .filter(|(_, pair)| pair.label == most)
        .map(|(at, pair)| (seed.purpose(&pair.fingerprint()).number(), at))
        .collect();
    drawn.sort_unstable();
    let mut stays = vec![true; pairs.len()];
    for (_, at) in drawn.into_iter().skip(keep) {
        stays[at] = false;
    }
    pairs.into_iter().zip(stays).filter(|(_, stays)| *stays).map(|(pair, _)| pair).collect()
}
