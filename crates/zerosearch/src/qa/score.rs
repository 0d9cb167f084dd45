//! Scores: how right an answer is, given the golden answers.

use std::collections::HashMap;

use super::normalize;
use crate::rollout::{Ending, Scores};

/// What gives the scores, and its version. Another rule here or in [`normalize()`] needs another version: results of
/// different ones cannot be compared.
pub const SCORER: &str = "squad-normalised em/sub_em/f1, 1";

/// How right `answer` is, each score taken for itself as the best over all golden answers. No answer scores 0.
///
/// A golden answer of which normalisation leaves nothing (`The`, `?!`) matches only an answer of which nothing is
/// left either; else it would be contained in every answer.
pub fn score(answer: Option<&str>, golds: &[String]) -> Scores {
    let Some(answer) = answer else { return Scores::default() };
    let answer = normalize(answer);
    golds.iter().map(|gold| score_one(&answer, &normalize(gold))).fold(Scores::default(), best)
}

/// The scores of a finished conversation: those of its answer, and 0 for every other ending.
pub fn score_ending(ending: &Ending, golds: &[String]) -> Scores {
    match ending {
        Ending::Answered(answer) => score(Some(answer), golds),
        Ending::OutOfTurns | Ending::OutOfTokens | Ending::Broken(_) => score(None, golds),
    }
}

fn score_one(answer: &str, gold: &str) -> Scores {
    let equal = answer == gold;
    let contained = equal || (!gold.is_empty() && answer.contains(gold));
    Scores { em: f32::from(equal), sub_em: f32::from(contained), f1: token_f1(answer, gold) }
}

/// `2PR / (P + R)` of the bags of words of two normalised texts, that is, twice the words in common over the words of both; 0 where they
/// have none in common.
pub fn token_f1(answer: &str, gold: &str) -> f32 {
    let mut unmatched: HashMap<&str, usize> = HashMap::new();
    for word in gold.split(' ').filter(|word| !word.is_empty()) {
        *unmatched.entry(word).or_default() += 1;
    }
    let gold_words: usize = unmatched.values().sum();
    let (mut answer_words, mut common) = (0_usize, 0_usize);
    for word in answer.split(' ').filter(|word| !word.is_empty()) {
        answer_words += 1;
        if let Some(left) = unmatched.get_mut(word).filter(|left| **left > 0) {
            *left -= 1;
            common += 1;
        }
    }
    if common == 0 { 0.0 } else { (2.0 * common as f64 / (answer_words + gold_words) as f64) as f32 }
}

fn best(a: Scores, b: Scores) -> Scores {
    Scores { em: a.em.max(b.em), sub_em: a.sub_em.max(b.sub_em), f1: a.f1.max(b.f1) }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    fn golds(answers: &[&str]) -> Vec<String> {
        answers.iter().map(ToString::to_string).collect()
    }

    /// (answer, golds, containment, F1, exact match), as the functions of ZeroSearch (which calls containment "EM")
    /// and Search-R1 (exact match) computed them.
    #[test]
    fn matches_the_vectors_of_the_reference_functions() {
        for (answer, expected_golds, sub_em, f1, em) in [
            ("Beijing, China", &["Beijing"][..], 1.0, 0.666_667, 0.0),
            ("London", &["London, England"], 0.0, 0.666_667, 0.0),
            ("the Beijing.", &["Beijing"], 1.0, 1.0, 1.0),
            ("U.S.A.", &["USA"], 1.0, 1.0, 1.0),
            ("an Apple-pie", &["apple pie"], 0.0, 0.0, 0.0),
            ("a cat and a dog", &["the cat", "dog"], 1.0, 0.5, 0.0),
            ("Beyoncé", &["Beyonce"], 0.0, 0.0, 0.0),
            ("“Hello”", &["hello"], 1.0, 0.0, 0.0),
            ("yes", &["no", "Yes"], 1.0, 1.0, 1.0),
            ("the", &["a"], 1.0, 0.0, 1.0),
            ("", &["x"], 0.0, 0.0, 0.0),
            ("it is 1931 or 1932 or 1933", &["1931"], 1.0, 0.25, 0.0),
            ("to be or not to be", &["be be be"], 0.0, 0.444_444, 0.0),
        ] {
            let scores = score(Some(answer), &golds(expected_golds));
            assert_eq!((scores.sub_em, scores.em), (sub_em, em), "{answer}");
            assert!((scores.f1 - f1).abs() < 1e-6, "{answer}: F1 {} instead of {f1}", scores.f1);
        }
    }

    /// The reference reads "Beijing" out of its own prompt where the policy gave no answer; here none scores 0.
    #[test]
    fn no_answer_scores_nothing() {
        assert_eq!(score(None, &golds(&["Beijing"])), Scores::default());
        for ending in [Ending::OutOfTurns, Ending::OutOfTokens, Ending::Broken("Beijing".into())] {
            assert_eq!(score_ending(&ending, &golds(&["Beijing"])), Scores::default());
        }
        assert_eq!(score_ending(&Ending::Answered("beijing".into()), &golds(&["Beijing"])).em, 1.0);
    }

    #[test]
    fn a_gold_of_which_nothing_is_left_is_not_contained_in_everything() {
        assert_eq!(score(Some("London"), &golds(&["The", "?!"])), Scores::default());
    }

    #[test]
    fn without_golds_nothing_is_right() {
        assert_eq!(score(Some("London"), &[]), Scores::default());
    }

    /// F1 and containment may be best for different golds: 2·1/(2+1) with "york", containment with "new york".
    #[test]
    fn each_score_is_the_best_over_all_golds() {
        let scores = score(Some("New York"), &golds(&["Boston", "York"]));
        assert_eq!((scores.em, scores.sub_em), (0.0, 1.0));
        assert!((scores.f1 - 2.0 / 3.0).abs() < 1e-6);
    }

    /// What 1,884 phrases of up to three of these words are normalised to and score against two others, as one digest. Where it changes, so do
    /// scores that were published under [`SCORER`]: give that another version, then put the new digest here.
    #[test]
    fn the_scorers_version_stands_for_its_scores() {
        const WORDS: [&str; 12] =
            ["the", "A", "New", "york", "U.S.", "usa", "Beyoncé", "“an", "1,000", "-", "é\u{a0}x", "İ"];
        let mut phrases: Vec<String> = WORDS.iter().map(ToString::to_string).collect();
        for length in 0..2 {
            let longer: Vec<String> = phrases
                .iter()
                .filter(|phrase| phrase.split(' ').count() == length + 1)
                .flat_map(|phrase| WORDS.iter().map(move |word| format!("{phrase} {word}")))
                .collect();
            phrases.extend(longer);
        }
        let mut digest = Sha256::new();
        for (at, answer) in phrases.iter().enumerate() {
            let golds = [at * 7 + 1, at * 31 + 5].map(|at| phrases[at % phrases.len()].clone());
            let Scores { em, sub_em, f1 } = score(Some(answer), &golds);
            digest.update(format!("{}|{em}|{sub_em}|{f1}\n", normalize(answer)));
        }
        let digest: String = digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        assert_eq!((SCORER, digest.as_str()), ("squad-normalised em/sub_em/f1, 1", "7ea19785e72c1856"));
    }
}
