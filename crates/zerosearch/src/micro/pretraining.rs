//! Pre-training rows: pages and demonstrations of many worlds whose facts contradict each other, so that only reading pays.

use rand::RngExt;
use rand::seq::{IndexedRandom, SliceRandom};
use rand_chacha::ChaCha8Rng;
use zerosearch_learner::seed::Seed;

use super::chain::{Chain, Split, chains};
use super::demonstration::{DOCUMENTS, Demonstrator, page};
use super::lookup::Lookup;
use super::words::picked;
use super::world::World;
use crate::rollout::Author;
use crate::sft::{Segment, SegmentRow};

/// Documents on a page.
const ON_A_PAGE: usize = 4;

/// `count` rows of each of `worlds` worlds.
pub(super) fn rows(worlds: u64, count: usize) -> impl Iterator<Item = SegmentRow> {
    (0..worlds).flat_map(move |index| of_world(index, count))
}

fn of_world(index: u64, count: usize) -> Vec<SegmentRow> {
    let world = World::of_pretraining(index);
    let lookup = Lookup::new(&world);
    let mut generator = Seed::run(0).purpose("pretraining rows").index(index).generator();
    let chains: Vec<Chain> = [Split::Train, Split::Evaluation]
        .into_iter()
        .flat_map(|split| chains(&world, split, count, &mut generator))
        .collect();
    (0..count)
        .map(|_| {
            let (world, lookup, generator) = (&world, &lookup, &mut generator);
            let chain = chains.choose(generator);
            match (chain, generator.random_range(0..100)) {
                (None, _) | (_, 0..10) => about_one(world, generator),
                (_, 10..40) => exercise(world, lookup, generator),
                (Some(chain), _) => Demonstrator { world, lookup, generator }.of(chain),
            }
        })
        .collect()
}

/// A page about one entity, which says what is true of it more than once.
fn about_one(world: &World, generator: &mut ChaCha8Rng) -> SegmentRow {
    let subject = world.facts.choose(generator).map_or(0, |fact| fact.subject);
    let facts = world.facts.iter().filter(|fact| fact.subject == subject);
    let mut documents: Vec<String> =
        facts.flat_map(|fact| fact.relation.sentences(world.name(fact), &fact.value)).collect();
    documents.shuffle(generator);
    documents.truncate(ON_A_PAGE);
    let text = page(&documents.iter().map(String::as_str).collect::<Vec<_>>());
    SegmentRow { question: None, segments: vec![Segment { author: Author::Policy, text }], ends: true }
}

/// Documents, a question, and the document that answers it.
fn exercise(world: &World, lookup: &Lookup, generator: &mut ChaCha8Rng) -> SegmentRow {
    let wanted = generator.random_range(0..world.facts.len());
    let (fact, name) = (&world.facts[wanted], world.name(&world.facts[wanted]));
    let mut found = lookup.find(&format!("{name} {}", fact.relation.noun()), DOCUMENTS, generator);
    found.shuffle(generator);
    let documents: Vec<&str> = found.iter().map(|place| world.facts[*place].document.as_str()).collect();
    let at = found.iter().position(|place| *place == wanted).unwrap_or_default();
    let asked = picked(&fact.relation.questions(), generator).replace("{}", name);
    let segment = |author, text| Segment { author, text };
    let segments = vec![
        segment(Author::Search, page(&documents)),
        segment(Author::Prompt, format!("\nQuestion: {asked}\n")),
        segment(Author::Policy, format!("Doc {}: {}", at + 1, documents[at])),
    ];
    SegmentRow { question: None, segments, ends: true }
}

#[cfg(test)]
mod tests {
    use super::rows;

    #[test]
    fn rows_are_always_the_same_and_worlds_are_apart() {
        let drawn = |worlds| rows(worlds, 20).collect::<Vec<_>>();
        assert_eq!(drawn(2), drawn(2));
        assert_eq!(drawn(2)[..20], drawn(1)[..]);
        assert_ne!(drawn(2)[..20], drawn(2)[20..]);
    }
}
