//! Words: the inventory of invented names, which every world hands out anew.

use std::collections::BTreeSet;

use rand::seq::{IndexedRandom, SliceRandom};
use rand_chacha::ChaCha8Rng;
use zerosearch_learner::seed::Seed;

/// How many names there are.
const NAMES: usize = 520;

const CONSONANTS: &str = "bdfgklmnprstvz";
const VOWELS: &str = "aeiou";
const ENDS: &str = "nrsl";

/// What people do.
pub(super) const JOBS: [&str; 12] = [
    "painter", "writer", "doctor", "pilot", "farmer", "singer", "lawyer", "baker", "judge", "sailor",
    "teacher", "dancer",
];
/// The second word of a book's title.
pub(super) const TITLES: [&str; 10] =
    ["River", "Garden", "Mirror", "Tower", "Winter", "Letter", "Island", "Shadow", "Bridge", "Forest"];
/// The second word of a company's name.
pub(super) const FIRMS: [&str; 6] = ["Works", "Labs", "Group", "Trade", "Mills", "Motors"];
/// The first year in which anything happens, and the first in which nothing does.
pub(super) const YEARS: std::ops::Range<u32> = 1850..1990;

/// The names, each of two syllables, in an order of their own: the same in every world.
pub(super) fn names() -> Vec<String> {
    let open =
        || CONSONANTS.chars().flat_map(|first| VOWELS.chars().map(move |vowel| format!("{first}{vowel}")));
    let mut names: Vec<String> = open()
        .flat_map(|first| open().map(move |second| format!("{first}{second}")))
        .flat_map(|stem| ENDS.chars().map(move |end| format!("{stem}{end}")))
        .map(|name| name[..1].to_uppercase() + &name[1..])
        .collect();
    names.shuffle(&mut Seed::run(0).purpose("names").generator());
    names.truncate(NAMES);
    names
}

/// Every word that a document, a question, a query or a thought of any world is made of, in a fixed order.
pub(super) fn all(phrases: &[&str]) -> Vec<String> {
    let years = YEARS.map(|year| year.to_string());
    let fixed = JOBS.iter().chain(&TITLES).chain(&FIRMS).map(|word| (*word).to_owned());
    let spoken: BTreeSet<String> = phrases
        .iter()
        .flat_map(|phrase| phrase.split(|character: char| !character.is_ascii_alphabetic()))
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect();
    let mut known = BTreeSet::new();
    names()
        .into_iter()
        .chain(years)
        .chain(fixed)
        .chain(spoken)
        .filter(|word| known.insert(word.clone()))
        .collect()
}

/// A member of a list that is not empty.
pub(super) fn picked<'a>(list: &[&'a str], generator: &mut ChaCha8Rng) -> &'a str {
    list.choose(generator).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_differ_and_are_always_the_same() {
        let names = names();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), NAMES);
        assert!(names.iter().all(|name| name.len() == 5), "{names:?}");
        assert_eq!(names, super::names());
    }
}
