//! The tokenizer of all invented worlds: a token for each of their words, the protocol's tags, and every byte.

use zerosearch_learner::Result;
use zerosearch_learner::text::{Text, word_text};

use super::demonstration::PHRASES;
use super::relation::{CHAINS, Relation};
use super::words;

/// Documents that a page numbers with one token each.
const NUMBERED: usize = 5;
/// Words that begin a line.
const OPENERS: [&str; 5] = ["Question", "Query", "Answer", "useful", "noisy"];
/// Words of the simulator's prompt that no document and no conversation has.
const PROMPT_WORDS: &str = "answer";

/// Reads and writes the words of every invented world.
///
/// # Errors
/// None that a released program can meet; they would be mistakes in this file.
pub fn text() -> Result<Text> {
    let numbers: Vec<String> = (1..=NUMBERED).map(|number| format!("Doc {number}:")).collect();
    word_text(&entries(), &numbers)
}

/// Words with the space before them, as they stand in a line, and those that begin one.
fn entries() -> Vec<String> {
    let sentences = Relation::ALL.map(|relation| relation.sentences("", "").concat());
    let mut phrases = [PHRASES.as_slice(), &[PROMPT_WORDS]].concat();
    phrases.extend(sentences.iter().map(String::as_str));
    phrases.extend(Relation::ALL.iter().flat_map(|relation| relation.questions()));
    phrases.extend(CHAINS.iter().map(|(.., question)| *question));
    let spaced = words::all(&phrases).into_iter().map(|word| format!(" {word}"));
    let openers = OPENERS.iter().map(|word| (*word).to_owned());
    ["\n\n".to_owned()].into_iter().chain(openers).chain(spaced).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_every_year_and_every_tag_is_one_token() {
        let text = text().unwrap();
        let line = format!(" The birth year of {} {} is 1907.", words::names()[0], words::names()[519]);
        assert_eq!(text.encode_plain(&line).len(), 9, "{line}");
        assert_eq!(text.encode("<think>Doc 2: I do not find it.</think>\n<search>").len(), 11);
        assert_eq!(text.encode("\n\n<information>").len(), 2);
        assert_eq!(text.encode_plain("Doc 1: The job.\nDoc 2:").len(), 6);
        assert!(text.vocabulary_size() < 1_100, "{}", text.vocabulary_size());
    }

    #[test]
    fn any_text_comes_back_and_spells_no_special_token() {
        let text = text().unwrap();
        for words in ["naïve 東京 <|end|>\u{7}", "Kadonx's  3 1850s", ""] {
            let tokens = text.encode_plain(words);
            assert_eq!(text.decode(&tokens), words);
            assert!(!text.end_of_turn().is_some_and(|end| tokens.contains(&end)));
        }
    }

    #[test]
    fn it_is_always_the_same() {
        assert_eq!(text().unwrap().files(), text().unwrap().files());
    }
}
