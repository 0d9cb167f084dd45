//! A harvest: the documents of one call that are worth keeping.
//!
//! Every draft is cleaned and shortened. One without a word (articles are none) is dropped, and so is one that repeats an earlier document
//! of the call: it would cost the policy context and teach it nothing. Both are counted.

use std::collections::HashSet;

use super::reply::Draft;
use crate::containment::words;
use crate::{Document, Label, Provenance, Tally, clean_counted};

/// The engine's name, in records and documents.
pub(super) const ENGINE: &str = "simulated";

/// The documents kept so far, and what happened on the way.
pub(super) struct Harvest {
    pub(super) documents: Vec<Document>,
    pub(super) tally: Tally,
    seen: HashSet<String>,
    most_words: usize,
    template: String,
}

impl Harvest {
    /// Nothing yet. Documents get at most `most_words` words and carry the hash of `template`.
    pub(super) fn new(most_words: usize, template: &str) -> Self {
        let template = template.to_owned();
        Self { documents: Vec::new(), tally: Tally::default(), seen: HashSet::new(), most_words, template }
    }

    /// Keeps `draft` unless it is empty or a repetition; whether it was kept.
    pub(super) fn offer(&mut self, label: Label, draft: &Draft) -> bool {
        let (title, in_title) = clean_counted(&draft.title);
        let (text, in_text) = clean_counted(&draft.text);
        self.tally.neutralised += in_title + in_text;
        let title = shorten(&title, self.most_words, false);
        let text = shorten(&text, self.most_words, draft.cut_off);
        if words(text).is_empty() {
            self.tally.empty += 1;
            return false;
        }
        if !self.seen.insert([words(title), words(text)].concat().join(" ")) {
            self.tally.repeated += 1;
            return false;
        }
        let provenance = Provenance {
            engine: ENGINE.into(),
            label: Some(label),
            template: Some(self.template.clone()),
            ..Provenance::default()
        };
        // Cleaned again: the cut may have left a bracket at the end.
        self.documents.push(Document { title: crate::clean(title), text: crate::clean(text), provenance });
        true
    }
}

/// Letters that a word may have on average before a text counts as longer than its words say: scripts without spaces
/// are one long word.
const LETTERS_PER_WORD: usize = 12;

/// The front of `text` within `most_words`. Too long, it ends with the last sentence that ends in the second half of
/// what fits, else with a word. `cut_off`: the last word may be a part of one, and is left out.
fn shorten(text: &str, most_words: usize, cut_off: bool) -> &str {
    let most_letters = most_words.saturating_mul(LETTERS_PER_WORD);
    let bytes = text.char_indices().nth(most_letters).map_or(text.len(), |(at, _)| at);
    let too_many_letters = bytes < text.len();
    let front = &text[..bytes];
    let ends: Vec<usize> = word_ends(front);
    if ends.is_empty() {
        return "";
    }
    let whole = if cut_off || too_many_letters { ends.len().saturating_sub(1).max(1) } else { ends.len() };
    let keep = whole.min(most_words);
    let complete_end = front.trim_end().ends_with(SENTENCE_ENDS);
    if keep == ends.len() || (cut_off && !too_many_letters && complete_end && ends.len() <= most_words) {
        return front.trim_end();
    }
    let half = keep.div_ceil(2);
    let sentence = (half..=keep).rev().find(|&n| n > 0 && front[..ends[n - 1]].ends_with(SENTENCE_ENDS));
    front[..ends[sentence.unwrap_or(keep) - 1]].trim_end()
}

const SENTENCE_ENDS: [char; 6] = ['.', '!', '?', '。', '！', '？'];

/// The byte positions where the words of `text` end.
fn word_ends(text: &str) -> Vec<usize> {
    let ends_at = |(at, c): (usize, char)| {
        let end = at + c.len_utf8();
        let last = !c.is_whitespace() && text[end..].chars().next().is_none_or(char::is_whitespace);
        last.then_some(end)
    };
    text.char_indices().filter_map(ends_at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(text: &str) -> Draft {
        Draft::new(text, false)
    }

    #[test]
    fn long_texts_end_with_a_sentence_or_a_word() {
        assert_eq!(shorten("One two. Three four five six.", 4, false), "One two.");
        assert_eq!(shorten("One. Two three four five six.", 4, false), "One. Two three four");
        assert_eq!(shorten("One two three.", 3, false), "One two three.");
        assert_eq!(shorten("", 3, false), "");
        assert_eq!(shorten("", 3, true), "");
        assert_eq!(shorten(" \u{3000} ", 3, true), "");
    }

    #[test]
    fn half_a_word_at_a_length_limit_is_left_out() {
        assert_eq!(shorten("it was built in 19", 9, true), "it was built in");
        assert_eq!(shorten("It was built. Then it fe", 9, true), "It was built.");
        assert_eq!(shorten("It was built.", 9, true), "It was built.");
        assert_eq!(shorten("wor", 9, true), "wor");
    }

    /// 2 words of 12 letters each may have 24 letters.
    #[test]
    fn scripts_without_spaces_are_bounded_by_letters() {
        assert_eq!(shorten(&"あ".repeat(100), 2, false).chars().count(), 24);
    }

    #[test]
    fn empty_and_repeated_documents_are_dropped_and_counted() {
        let mut harvest = Harvest::new(9, "h");
        let kept: Vec<bool> = ["A bridge.", "", " - ", "the BRIDGE", "bridges", "<b>"]
            .iter()
            .map(|text| harvest.offer(Label::Noisy, &draft(text)))
            .collect();
        assert_eq!(kept, [true, false, false, false, true, true]);
        assert_eq!(harvest.tally, Tally { empty: 2, repeated: 1, neutralised: 1, ..Tally::default() });
        let provenance = &harvest.documents[0].provenance;
        assert_eq!((provenance.engine.as_str(), provenance.label), ("simulated", Some(Label::Noisy)));
        assert_eq!(provenance.template.as_deref(), Some("h"));
    }

    #[test]
    fn kept_documents_are_clean_after_the_cut() {
        let mut harvest = Harvest::new(2, "h");
        harvest.offer(Label::Useful, &draft("(Title: a </search>) one < two three"));
        let document = &harvest.documents[0];
        assert_eq!((document.title.as_str(), document.text.as_str()), ("a ‹/search›", "one ‹"));
    }
}
