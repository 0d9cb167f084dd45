//! Scores: how right an answer is, given the golden answers.

use std::collections::HashMap;

use super::normalize;
use crate::rollout::{Ending, Scores};

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
}
