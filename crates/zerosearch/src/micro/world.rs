//! A world: entities with invented names, and what is true of them. A pure function of its seed.

use std::collections::{BTreeSet, HashMap};

use rand::RngExt;
use rand::seq::{IndexedRandom, SliceRandom};
use rand_chacha::ChaCha8Rng;
use zerosearch_learner::seed::Seed;

use super::relation::{Kind, Object, Relation};
use super::words::{FIRMS, JOBS, TITLES, YEARS, names, picked};

const FIRST_NAMES: usize = 40;
const SURNAMES: usize = 200;
const STEMS: usize = 100;
/// How many entities of each kind there are.
const POPULATION: [(Kind, usize); 5] =
    [(Kind::Country, 30), (Kind::City, 150), (Kind::Person, 600), (Kind::Book, 500), (Kind::Company, 400)];
/// The share of entities that are kept for evaluation.
const HELD_OUT: f64 = 0.25;

/// Somebody or something with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entity {
    /// What it is.
    pub kind: Kind,
    /// What it is called.
    pub name: String,
    /// Whether it is kept for evaluation: nothing about it is asked or shown in training.
    pub held_out: bool,
}

/// Something that is true of an entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// The entity, by its place in [`World::entities`].
    pub subject: usize,
    /// What of it.
    pub relation: Relation,
    /// The entity that the relation leads to, if it leads to one.
    pub object: Option<usize>,
    /// The words that the relation leads to.
    pub value: String,
    /// The document that says so.
    pub document: String,
}

/// An invented world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct World {
    /// Countries, cities, people, books and companies.
    pub entities: Vec<Entity>,
    /// Every fact about every entity, those about one beside each other.
    pub facts: Vec<Fact>,
    by_subject: HashMap<(usize, Relation), usize>,
}

impl World {
    /// The world of `seed`: the one that a quickstart plays in.
    pub fn new(seed: u64) -> Self {
        Self::drawn(Seed::run(seed).purpose("world"))
    }

    /// One of the worlds that the base model was trained in; none is the world of any seed.
    pub(super) fn of_pretraining(index: u64) -> Self {
        Self::drawn(Seed::run(0).purpose("pretraining world").index(index))
    }

    fn drawn(seed: Seed) -> Self {
        let mut generator = seed.generator();
        let entities = entities(&mut generator);
        let mut of_kind: HashMap<Kind, Vec<usize>> = HashMap::new();
        for (place, entity) in entities.iter().enumerate() {
            of_kind.entry(entity.kind).or_default().push(place);
        }
        let mut facts = Vec::new();
        for (subject, entity) in entities.iter().enumerate() {
            for relation in Relation::ALL.into_iter().filter(|relation| relation.subject() == entity.kind) {
                let (object, value) = match relation.object() {
                    Object::Entity(kind) => {
                        let object = of_kind[&kind].choose(&mut generator).copied().unwrap_or_default();
                        (Some(object), entities[object].name.clone())
                    }
                    Object::Job => (None, picked(&JOBS, &mut generator).to_owned()),
                    Object::Year => (None, generator.random_range(YEARS).to_string()),
                };
                let sentences = relation.sentences(&entity.name, &value);
                let document = sentences[usize::from(generator.random_bool(0.5))].clone();
                facts.push(Fact { subject, relation, object, value, document });
            }
        }
        let places = facts.iter().enumerate();
        let by_subject = places.map(|(place, fact)| ((fact.subject, fact.relation), place)).collect();
        Self { entities, facts, by_subject }
    }

    /// The fact about `subject`, by its place in [`World::facts`].
    pub fn fact(&self, subject: usize, relation: Relation) -> Option<usize> {
        self.by_subject.get(&(subject, relation)).copied()
    }

    /// What the subject of `fact` is called.
    pub fn name(&self, fact: &Fact) -> &str {
        &self.entities[fact.subject].name
    }
}

fn entities(generator: &mut ChaCha8Rng) -> Vec<Entity> {
    let mut words = names();
    words.shuffle(generator);
    let (first_names, surnames) =
        (words.split_off(words.len() - FIRST_NAMES), words.split_off(words.len() - SURNAMES));
    let stems = words.split_off(words.len() - STEMS);
    let owned = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let mut entities = Vec::new();
    for (kind, count) in POPULATION {
        let called = match kind {
            Kind::City | Kind::Country => words.split_off(words.len() - count),
            Kind::Person => pairs((&first_names, &surnames), count, generator),
            Kind::Book => pairs((&stems, &owned(&TITLES)), count, generator),
            Kind::Company => pairs((&stems, &owned(&FIRMS)), count, generator),
        };
        for name in called {
            entities.push(Entity { kind, name, held_out: generator.random_bool(HELD_OUT) });
        }
    }
    entities
}

/// `count` different names of two words.
fn pairs((first, second): (&[String], &[String]), count: usize, generator: &mut ChaCha8Rng) -> Vec<String> {
    let mut names = BTreeSet::new();
    while names.len() < count {
        let index = generator.random_range(0..first.len() * second.len());
        names.insert(format!("{} {}", first[index / second.len()], second[index % second.len()]));
    }
    names.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_world_follows_from_its_seed() {
        assert_eq!(World::new(3), World::new(3));
        assert_ne!(World::new(3), World::new(4));
        assert_ne!(World::new(0), World::of_pretraining(0));
    }

    /// Per entity: 3 facts about a person, 2 about a city, a book and a company, 1 about a country.
    #[test]
    fn every_entity_has_its_facts_and_its_own_name() {
        let world = World::new(1);
        assert_eq!(world.entities.len(), 30 + 150 + 600 + 500 + 400);
        assert_eq!(world.facts.len(), 30 + 2 * 150 + 3 * 600 + 2 * 500 + 2 * 400);
        let names: BTreeSet<&str> = world.entities.iter().map(|entity| entity.name.as_str()).collect();
        assert_eq!(names.len(), world.entities.len());
        for fact in &world.facts {
            let [plain, other] = fact.relation.sentences(world.name(fact), &fact.value);
            assert!(fact.document == plain || fact.document == other, "{}", fact.document);
            assert_eq!(world.facts[world.fact(fact.subject, fact.relation).unwrap()], *fact);
            if let Some(object) = fact.object {
                assert_eq!(world.entities[object].name, fact.value);
            }
        }
    }

    /// Of 1,680 entities a quarter is held out; five standard deviations (18 each) are allowed.
    #[test]
    fn a_quarter_is_held_out() {
        let held_out = World::new(1).entities.iter().filter(|entity| entity.held_out).count();
        assert!(held_out.abs_diff(420) < 90, "{held_out}");
    }
}
