//! A lookup: the documents that share most words with a query, for demonstrations. Real engines weigh words.

use std::collections::HashMap;

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::world::World;

/// Words that say nothing about what a document is about.
const SILENT: [&str; 4] = ["the", "of", "is", "has"];

/// A world's documents by their words.
pub(super) struct Lookup {
    places: HashMap<String, Vec<usize>>,
    count: usize,
}

impl Lookup {
    /// All documents of `world`.
    pub(super) fn new(world: &World) -> Self {
        let mut places: HashMap<String, Vec<usize>> = HashMap::new();
        for (place, fact) in world.facts.iter().enumerate() {
            for word in words(&fact.document) {
                places.entry(word).or_default().push(place);
            }
        }
        Self { places, count: world.facts.len() }
    }

    /// The `count` facts whose documents have most words of `query`, by their places; among equals the draw decides.
    pub(super) fn find(&self, query: &str, count: usize, generator: &mut ChaCha8Rng) -> Vec<usize> {
        let mut shared: HashMap<usize, usize> = HashMap::new();
        for place in words(query).into_iter().filter_map(|word| self.places.get(&word)).flatten() {
            *shared.entry(*place).or_default() += 1;
        }
        let mut found: Vec<(usize, usize)> = shared.into_iter().collect();
        found.sort_unstable();
        found.shuffle(generator);
        found.sort_by_key(|(_, words)| std::cmp::Reverse(*words));
        let mut found: Vec<usize> = found.into_iter().map(|(place, _)| place).take(count).collect();
        while found.len() < count.min(self.count) {
            let place = generator.random_range(0..self.count);
            if !found.contains(&place) {
                found.push(place);
            }
        }
        found
    }
}

fn words(text: &str) -> Vec<String> {
    let words = text.split(|character: char| !character.is_ascii_alphanumeric()).map(str::to_lowercase);
    words.filter(|word| !word.is_empty() && !SILENT.contains(&word.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use zerosearch_learner::seed::Seed;

    use super::*;

    #[test]
    fn a_query_that_names_entity_and_relation_finds_the_fact_first() {
        let world = World::new(1);
        let lookup = Lookup::new(&world);
        let mut generator = Seed::run(1).generator();
        for (place, fact) in world.facts.iter().enumerate().step_by(97) {
            let query = format!("{} {}", world.name(fact), fact.relation.noun());
            let found = lookup.find(&query, 3, &mut generator);
            assert_eq!((found.len(), found[0]), (3, place), "{query}");
        }
    }

    #[test]
    fn a_query_that_shares_nothing_finds_anything() {
        let lookup = Lookup::new(&World::new(1));
        assert_eq!(lookup.find("?", 3, &mut Seed::run(1).generator()).len(), 3);
    }
}
