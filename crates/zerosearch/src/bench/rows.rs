//! Random rows: to train on, and to continue.

use rand::RngExt;
use zerosearch_learner::seed::Seed;
use zerosearch_learner::{Example, TokenId};

/// `length` random tokens of a vocabulary; another seed gives others.
pub(super) fn tokens(seed: Seed, length: usize, vocabulary: usize) -> Vec<TokenId> {
    let mut generator = seed.generator();
    (0..length).map(|_| generator.random_range(0..vocabulary as TokenId)).collect()
}

/// `rows` rows of `length` tokens, all of them trained.
pub fn lessons(seed: Seed, rows: usize, length: usize, vocabulary: usize) -> Vec<Example> {
    let lesson = |row: usize| Example {
        tokens: tokens(seed.index(row as u64), length, vocabulary),
        weights: (0..length).map(|at| if at == 0 { 0.0 } else { 1.0 }).collect(),
        ..Example::default()
    };
    (0..rows).map(lesson).collect()
}

/// Rows of a group.
const GROUP: usize = 8;
/// Tokens that the rows of a group begin with.
const PROMPT: usize = 150;
/// The shortest and the longest row.
const LENGTHS: std::ops::RangeInclusive<usize> = 200..=700;
/// The policy's share of all tokens.
const SHARE: f64 = 0.35;

/// A step's conversations as they are trained: groups of eight rows that share a prompt of 150 tokens; lengths from 200
/// to 700, all equally likely; behind the prompt three turns of the policy with documents between them, 35 % of all
/// tokens the policy's. Advantages are 1 and -1 by turns, the log-probabilities as sampled those of a uniform policy.
pub fn rollouts(seed: Seed, rows: usize, vocabulary: usize) -> Vec<Example> {
    let mut generator = seed.purpose("lengths").generator();
    let lengths: Vec<usize> = (0..rows).map(|_| generator.random_range(LENGTHS)).collect();
    let (all, written) = lengths.iter().fold((0, 0), |(all, behind), it| (all + it, behind + it - PROMPT));
    let share = SHARE * all as f64 / written as f64;
    let row = |(row, &length): (usize, &usize)| {
        let prompt = tokens(seed.purpose("prompt").index((row / GROUP) as u64), PROMPT, vocabulary);
        let rest = tokens(seed.purpose("rest").index(row as u64), length - PROMPT, vocabulary);
        let weights = [vec![0.0; PROMPT], turns(rest.len(), share)].concat();
        Example {
            tokens: [prompt, rest].concat(),
            weights,
            advantages: vec![if row % 2 == 0 { 1.0 } else { -1.0 }; length],
            old_logprobs: vec![-(vocabulary as f32).ln(); length],
            reference_logprobs: Vec::new(),
        }
    };
    lengths.iter().enumerate().map(row).collect()
}

/// The weights of three turns with two blocks of documents between them, `share` of the `length` tokens trained.
fn turns(length: usize, share: f64) -> Vec<f32> {
    let own = (length as f64 * share).round() as usize;
    let shown = length - own;
    let parts = [(own / 3, shown / 2), (own / 3, shown - shown / 2), (own - 2 * (own / 3), 0)];
    parts.iter().flat_map(|&(own, shown)| [vec![1.0; own], vec![0.0; shown]].concat()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The shares follow from the definition; rounding moves each row by half a token at most.
    #[test]
    fn rollouts_are_what_their_definition_says() {
        let batch = rollouts(Seed::run(7), 64, 512);
        let total: usize = batch.iter().map(|row| row.tokens.len()).sum();
        let own: f32 = batch.iter().flat_map(|row| &row.weights).sum();
        assert!((f64::from(own) - 0.35 * total as f64).abs() <= 32.0, "{own} of {total}");
        for (at, row) in batch.iter().enumerate() {
            row.check(true, false).unwrap();
            assert!(LENGTHS.contains(&row.tokens.len()));
            let same = batch.iter().filter(|other| other.tokens[..PROMPT] == row.tokens[..PROMPT]).count();
            assert_eq!(same, 8, "row {at}");
            let begun = row.weights.windows(2).filter(|pair| pair[0] == 0.0 && pair[1] == 1.0).count();
            assert_eq!(begun, 3, "turns of row {at}");
        }
        assert_eq!(batch, rollouts(Seed::run(7), 64, 512));
        assert_ne!(batch, rollouts(Seed::run(8), 64, 512));
    }

    #[test]
    fn no_two_lessons_are_the_same() {
        let mut rows: Vec<_> = (0..3).flat_map(|n| lessons(Seed::run(n), 4, 16, 512)).collect();
        rows.sort_by(|one, other| one.tokens.cmp(&other.tokens));
        rows.dedup();
        assert_eq!(rows.len(), 12);
    }
}
