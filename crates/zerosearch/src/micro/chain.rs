//! A chain: the facts that lead from what a question names to its answer, one or two.

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::relation::{CHAINS, Relation};
use super::world::{Fact, World};

/// Facts that lead to an answer, and the question that they answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// By their places in [`World::facts`], in the order in which they are needed.
    pub facts: Vec<usize>,
    /// The question.
    pub question: String,
}

/// Of what questions are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// Entities that may be met in training.
    Train,
    /// Entities that are kept for evaluation.
    Evaluation,
}

/// The share of questions that need two facts.
const TWO_HOPS: f64 = 0.3;

impl Chain {
    /// The words of the answer.
    pub fn answer<'a>(&self, world: &'a World) -> &'a str {
        self.facts.last().map_or("", |last| &world.facts[*last].value)
    }
}

/// `count` different questions about entities of `split`, three in ten of which need two facts; fewer where there are
/// not as many.
pub fn chains(world: &World, split: Split, count: usize, generator: &mut ChaCha8Rng) -> Vec<Chain> {
    let is_asked = |fact: &Fact| world.entities[fact.subject].held_out == (split == Split::Evaluation);
    let facts = || (0..world.facts.len()).filter(|place| is_asked(&world.facts[*place]));
    let mut short: Vec<Chain> = facts().flat_map(|place| of_one(world, place)).collect();
    let mut long: Vec<Chain> = facts().flat_map(|place| of_two(world, place)).collect();
    short.shuffle(generator);
    long.shuffle(generator);
    let mut chains = Vec::new();
    while chains.len() < count && !(short.is_empty() && long.is_empty()) {
        let wants_two = generator.random_bool(TWO_HOPS);
        let (wanted, other) = if wants_two { (&mut long, &mut short) } else { (&mut short, &mut long) };
        chains.extend(wanted.pop().or_else(|| other.pop()));
    }
    chains
}

fn of_one(world: &World, place: usize) -> Vec<Chain> {
    let fact = &world.facts[place];
    let asked = |words: &str| words.replace("{}", world.name(fact));
    fact.relation.questions().map(|words| Chain { facts: vec![place], question: asked(words) }).into()
}

fn of_two(world: &World, place: usize) -> Vec<Chain> {
    let fact = &world.facts[place];
    let leads = |relation: Relation| world.fact(fact.object?, relation);
    CHAINS
        .iter()
        .filter(|(first, ..)| *first == fact.relation)
        .filter_map(|(_, second, words)| {
            let question = words.replace("{}", world.name(fact));
            Some(Chain { facts: vec![place, leads(*second)?], question })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use zerosearch_learner::seed::Seed;

    use super::*;

    fn drawn(split: Split, count: usize) -> (World, Vec<Chain>) {
        let world = World::new(1);
        let chains = chains(&world, split, count, &mut Seed::run(2).generator());
        (world, chains)
    }

    #[test]
    fn nothing_that_is_held_out_is_asked_in_training() {
        for (split, held_out) in [(Split::Train, false), (Split::Evaluation, true)] {
            let (world, chains) = drawn(split, 400);
            assert_eq!(chains.len(), 400);
            let asked = chains.iter().map(|chain| &world.entities[world.facts[chain.facts[0]].subject]);
            assert!(asked.into_iter().all(|entity| entity.held_out == held_out));
        }
    }

    /// Of 400 draws 120 are expected; the deviation is 9.2, five of them are allowed.
    #[test]
    fn questions_differ_and_three_in_ten_need_two_facts() {
        let (world, chains) = drawn(Split::Evaluation, 400);
        assert_eq!(chains.iter().map(|chain| &chain.question).collect::<BTreeSet<_>>().len(), 400);
        let two = chains.iter().filter(|chain| chain.facts.len() == 2).count();
        assert!(two.abs_diff(120) < 46, "{two}");
        for chain in chains.iter().filter(|chain| chain.facts.len() == 2) {
            let [first, second] = [chain.facts[0], chain.facts[1]].map(|place| &world.facts[place]);
            assert_eq!(first.object, Some(second.subject));
        }
    }

    #[test]
    fn a_world_that_is_asked_out_gives_fewer_questions() {
        let (_, all) = drawn(Split::Train, usize::MAX);
        assert!(all.len() > 5_000 && all.len() < 20_000, "{}", all.len());
    }
}
