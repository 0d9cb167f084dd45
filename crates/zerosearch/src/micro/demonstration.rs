//! A demonstration: one conversation as a base model knows it, in the format, and good or bad at searching and reading.

use rand::RngExt;
use rand::seq::{IndexedRandom, SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::chain::Chain;
use super::lookup::Lookup;
use super::relation::{Kind, Object};
use super::words::{JOBS, YEARS, picked};
use super::world::{Fact, World};
use crate::rollout::{Author, INFORMATION_CLOSER, INFORMATION_OPENER};
use crate::sft::{Segment, SegmentRow};

/// Documents that a search shows.
pub const DOCUMENTS: usize = 3;
/// Searches of a demonstration at most.
const SEARCHES: usize = 3;
/// How often the documents of a call are those of a bad query, whatever was asked.
const FAILED: f64 = 0.12;
/// How often the documents of a call come in any order.
const SHUFFLED: f64 = 0.4;
/// How often one that is not good stops after the first of two facts.
const STOPS_EARLY: f64 = 0.5;
/// How often one that believes does so; else it reads.
const BELIEVES: f64 = 0.8;
/// How often one that is not good searches again when nothing was found.
const TRIES_AGAIN: f64 = 0.3;

/// What the policy says between its tags; the tokenizer has a token for each of these words.
pub(super) const PHRASES: [&str; 3] = ["I know this", "I need the of", "I do not find it"];

/// How good a conversation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// Answers at once, with a value of the right sort.
    Guess,
    /// Begins with a query that names too little, or somebody else.
    BadQuery,
    /// Asks well, but takes the first document for the answer.
    BelievesFirst,
    /// Asks well, reads, asks again where nothing was found, and takes both steps where two are needed.
    Good,
}

/// Draws demonstrations of one world.
pub(super) struct Demonstrator<'a> {
    pub(super) world: &'a World,
    pub(super) lookup: &'a Lookup,
    pub(super) generator: &'a mut ChaCha8Rng,
}

/// A conversation under way.
struct Talk {
    segments: Vec<Segment>,
    /// What the policy has read and not yet acted upon.
    thought: String,
}

impl Demonstrator<'_> {
    /// A conversation about `chain`, in the manner that the mixture draws.
    pub(super) fn of(&mut self, chain: &Chain) -> SegmentRow {
        let manner = self.manner(chain);
        self.in_manner(chain, manner)
    }

    /// The mixture. It guesses three times in four about everything but books, and three times in ten about those.
    fn manner(&mut self, chain: &Chain) -> Manner {
        let subject = &self.world.entities[self.world.facts[chain.facts[0]].subject];
        let guesses = if subject.kind == Kind::Book { 0.3 } else { 0.75 };
        if self.generator.random_bool(guesses) {
            return Manner::Guess;
        }
        match self.generator.random_range(0..100) {
            0..45 => Manner::BadQuery,
            45..75 => Manner::BelievesFirst,
            _ => Manner::Good,
        }
    }

    pub(super) fn in_manner(&mut self, chain: &Chain, manner: Manner) -> SegmentRow {
        let mut talk = Talk { segments: Vec::new(), thought: String::new() };
        match manner {
            Manner::Guess => {
                talk.thought = " I know this.".into();
                let answer = self.guess(chain);
                talk.answer(&answer);
            }
            _ => self.search(chain, manner, &mut talk),
        }
        SegmentRow { question: Some(chain.question.clone()), segments: talk.segments, ends: false }
    }

    fn search(&mut self, chain: &Chain, manner: Manner, talk: &mut Talk) {
        let world = self.world;
        let stops_early = manner != Manner::Good && self.generator.random_bool(STOPS_EARLY);
        let steps = if stops_early { &chain.facts[..1] } else { &chain.facts };
        let (mut step, mut read) = (0, "");
        for call in 0..SEARCHES {
            let wanted = &world.facts[steps[step]];
            let is_bad = manner == Manner::BadQuery && call == 0;
            let query = if is_bad { self.bad_query(wanted) } else { self.query(wanted) };
            let found = self.found(&query, steps[step]);
            talk.search(
                &format!(" I need the {} of {}.", wanted.relation.noun(), world.name(wanted)),
                &query,
            );
            talk.show(&found.iter().map(|place| world.facts[*place].document.as_str()).collect::<Vec<_>>());
            let right = found.iter().position(|place| *place == steps[step]);
            let believes = manner == Manner::BelievesFirst && self.generator.random_bool(BELIEVES);
            let tries_again = manner == Manner::Good || self.generator.random_bool(TRIES_AGAIN);
            match right {
                Some(at) if !believes => {
                    talk.quote(at, &wanted.document);
                    if step + 1 == steps.len() {
                        return talk.answer(&wanted.value);
                    }
                    step += 1;
                    read = &wanted.value;
                }
                None if !believes && tries_again && call + 1 < SEARCHES => {
                    talk.thought = " I do not find it.".into()
                }
                _ => {
                    let first = &world.facts[found[0]];
                    talk.quote(0, &first.document);
                    return talk.answer(&first.value);
                }
            }
        }
        talk.answer(read);
    }

    /// What the call for `wanted` shows.
    fn found(&mut self, query: &str, wanted: usize) -> Vec<usize> {
        let world = self.world;
        let fact = &world.facts[wanted];
        let mut found = if self.generator.random_bool(FAILED) {
            let other = self.bad_query(fact);
            let mut found = self.lookup.find(&other, DOCUMENTS + 1, self.generator);
            found.retain(|place| *place != wanted);
            found.truncate(DOCUMENTS);
            found
        } else {
            self.lookup.find(query, DOCUMENTS, self.generator)
        };
        if self.generator.random_bool(SHUFFLED) {
            found.shuffle(self.generator);
        }
        found
    }

    /// Names the entity and what is wanted of it.
    fn query(&mut self, wanted: &Fact) -> String {
        let (name, noun) = (self.world.name(wanted), wanted.relation.noun());
        match self.generator.random_range(0..3) {
            0 => format!("{noun} of {name}"),
            _ => format!("{name} {noun}"),
        }
    }

    /// Leaves something out, or names somebody else.
    fn bad_query(&mut self, wanted: &Fact) -> String {
        let noun = wanted.relation.noun();
        match self.generator.random_range(0..4) {
            0 => noun.to_owned(),
            1 => {
                let parts: Vec<&str> = self.world.name(wanted).split(' ').collect();
                let part = if parts.len() > 1 { picked(&parts, self.generator) } else { "" };
                format!("{noun} {part}").trim_end().to_owned()
            }
            2 => self.world.name(wanted).to_owned(),
            _ => {
                let other = self.world.entities.choose(self.generator);
                format!("{} {noun}", other.map_or("", |entity| &entity.name))
            }
        }
    }

    /// A value of the sort that is asked for.
    fn guess(&mut self, chain: &Chain) -> String {
        let last = chain.facts.last().map(|last| self.world.facts[*last].relation.object());
        match last {
            Some(Object::Entity(kind)) => {
                let of_kind: Vec<&str> = self
                    .world
                    .entities
                    .iter()
                    .filter(|entity| entity.kind == kind)
                    .map(|entity| entity.name.as_str())
                    .collect();
                picked(&of_kind, self.generator).to_owned()
            }
            Some(Object::Job) => picked(&JOBS, self.generator).to_owned(),
            _ => self.generator.random_range(YEARS).to_string(),
        }
    }
}

impl Talk {
    /// Adds what document `at` says to what the policy thinks next.
    fn quote(&mut self, at: usize, document: &str) {
        self.thought = format!("Doc {}: {document}", at + 1);
    }

    fn search(&mut self, need: &str, query: &str) {
        let thought = std::mem::take(&mut self.thought);
        self.say(format!("<think>{thought}{need}</think>\n<search> {query}</search>"));
    }

    fn answer(&mut self, answer: &str) {
        let thought = std::mem::take(&mut self.thought);
        self.say(format!("<think>{thought}</think>\n<answer> {answer}</answer>"));
    }

    fn show(&mut self, documents: &[&str]) {
        let text = format!("{INFORMATION_OPENER}{}{INFORMATION_CLOSER}", page(documents));
        self.segments.push(Segment { author: Author::Search, text });
    }

    fn say(&mut self, text: String) {
        self.segments.push(Segment { author: Author::Policy, text });
    }
}

/// Documents as a search shows them.
pub(super) fn page(documents: &[&str]) -> String {
    let lines = documents.iter().enumerate().map(|(at, document)| format!("Doc {}: {document}", at + 1));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use zerosearch_learner::seed::Seed;

    use super::super::chain::{Split, chains};
    use super::*;
    use crate::rollout::{Action, Protocol};

    /// What the policy does in 400 conversations of `manner`, and how many of their answers are right.
    fn shown(manner: Manner) -> (Vec<Vec<Action>>, usize) {
        let world = World::new(1);
        let (lookup, mut generator) = (Lookup::new(&world), Seed::run(9).generator());
        let chains = chains(&world, Split::Train, 400, &mut generator);
        let mut demonstrator = Demonstrator { world: &world, lookup: &lookup, generator: &mut generator };
        let mut right = 0;
        let conversations = chains.iter().map(|chain| {
            let row = demonstrator.in_manner(chain, manner);
            let spoken = row.segments.iter().filter(|segment| segment.author == Author::Policy);
            let actions: Vec<Action> =
                spoken.map(|segment| Protocol::SearchAndAnswer.read(&segment.text)).collect();
            right += usize::from(actions.last() == Some(&Action::Answer(chain.answer(&world).to_owned())));
            actions
        });
        (conversations.collect(), right)
    }

    #[test]
    fn every_conversation_follows_the_protocol_and_ends_with_an_answer() {
        for manner in [Manner::Guess, Manner::BadQuery, Manner::BelievesFirst, Manner::Good] {
            for actions in shown(manner).0 {
                let (last, before) = actions.split_last().unwrap();
                assert!(matches!(last, Action::Answer(answer) if !answer.is_empty()), "{actions:?}");
                assert!(before.iter().all(|action| matches!(action, Action::Search(_))), "{actions:?}");
                assert_eq!(before.is_empty(), manner == Manner::Guess);
                assert!(before.len() <= SEARCHES);
            }
        }
    }

    /// Guesses are right by luck, and only those who do all things well are right nearly always.
    #[test]
    fn manners_differ_in_how_often_they_are_right() {
        let right = |manner| shown(manner).1;
        assert!(right(Manner::Guess) < 40, "{}", right(Manner::Guess));
        assert!(right(Manner::BadQuery) < 200, "{}", right(Manner::BadQuery));
        let believes = right(Manner::BelievesFirst);
        assert!((120..300).contains(&believes), "{believes}");
        assert!(right(Manner::Good) > 350, "{}", right(Manner::Good));
    }
}
