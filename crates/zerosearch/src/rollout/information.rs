//! The information block: what a search found, as the policy sees it.
//!
//! The tags around it are ours. Everything between them comes from outside and is encoded as plain text, so that a
//! document can spell no special token; its protocol tags are made harmless before that.

use serde::{Deserialize, Serialize};
use zerosearch_learner::TokenId;
use zerosearch_learner::text::Text;
use zerosearch_search::{Document, clean};

use super::Author;
use crate::config;

/// What stands before the documents.
pub const INFORMATION_OPENER: &str = "\n\n<information>";
/// What stands after the documents.
pub const INFORMATION_CLOSER: &str = "</information>\n\n";

const NOTHING_FOUND: &str = include_str!("prompts/nothing.txt");

/// How documents are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DocumentStyle {
    /// `Doc 1: title: text`, one line for each document, as the released ZeroSearch models know it.
    #[default]
    #[serde(rename = "zerosearch")]
    ZeroSearch,
    /// `Doc 1(Title: title) text`, as the released Search-R1 models know it.
    #[serde(rename = "search-r1")]
    SearchR1,
}

impl DocumentStyle {
    /// The documents, numbered from 1, a line for each. No documents are shown as a sentence that says so.
    pub fn render(self, documents: &[Document]) -> String {
        if documents.is_empty() {
            return nothing_found().to_owned();
        }
        let lines = documents.iter().enumerate().map(|(at, document)| self.line(at + 1, document));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// `document` as a simulator should write it to be shown like this: a style without a place for titles has them
    /// at the front of the text.
    pub fn folded(self, document: &Document) -> Document {
        let (title, text) = match (self, document.title.trim(), document.text.trim()) {
            (Self::SearchR1, _, _) | (_, "", _) => return document.clone(),
            (Self::ZeroSearch, title, "") => (String::new(), title.to_owned()),
            (Self::ZeroSearch, title, text) => (String::new(), format!("{title}: {text}")),
        };
        Document { title, text, ..document.clone() }
    }

    fn line(self, number: usize, document: &Document) -> String {
        let (title, text) = (document.title.trim(), document.text.trim());
        match (self, title, text) {
            (_, "", text) => format!("Doc {number}: {text}"),
            (Self::SearchR1, title, text) => format!("Doc {number}(Title: {title}) {text}"),
            (Self::ZeroSearch, title, "") => format!("Doc {number}: {title}"),
            (Self::ZeroSearch, title, text) => format!("Doc {number}: {title}: {text}"),
        }
    }
}

impl From<config::DocumentStyle> for DocumentStyle {
    fn from(style: config::DocumentStyle) -> Self {
        match style {
            config::DocumentStyle::ZeroSearch => Self::ZeroSearch,
            config::DocumentStyle::SearchR1 => Self::SearchR1,
        }
    }
}

/// What is shown in place of documents where there are none.
pub(super) fn nothing_found() -> &'static str {
    NOTHING_FOUND.trim()
}

/// A document that can do no harm: whatever engine it comes from, its tags are words and its lines are one.
pub(super) fn harmless(document: Document) -> Document {
    Document { title: clean(&document.title), text: clean(&document.text), ..document }
}

/// The tokens of an information block around `contents`, which is what [`DocumentStyle::render`] returns or a text in
/// that form. At most `limit` tokens, tags included: longer contents are cut, at a character's end, and the closing
/// tag stays. A limit too small for the tags gives the tags alone.
pub fn information_tokens(contents: &str, limit: usize, text: &Text) -> Vec<TokenId> {
    let mut block = text.encode(INFORMATION_OPENER);
    let closer = text.encode(INFORMATION_CLOSER);
    let mut inside = text.encode_plain(contents.trim());
    cut_at_character(&mut inside, limit.saturating_sub(block.len() + closer.len()), text);
    block.extend(inside);
    block.extend(closer);
    block
}

/// The front of `words` in at most `limit` tokens, cut at a character's end.
pub(super) fn front_of(words: &str, limit: usize, text: &Text) -> String {
    let mut tokens = text.encode_plain(words);
    if tokens.len() <= limit {
        return words.to_owned();
    }
    cut_at_character(&mut tokens, limit, text);
    text.decode(&tokens)
}

/// The end of `words` in at most `limit` tokens, begun at a character's start.
pub(super) fn end_of(words: &str, limit: usize, text: &Text) -> String {
    let tokens = text.encode_plain(words);
    if tokens.len() <= limit {
        return words.to_owned();
    }
    let end = text.decode(&tokens[tokens.len() - limit..]);
    end.trim_start_matches(char::REPLACEMENT_CHARACTER).to_owned()
}

/// The tokens that a conversation has where `author` wrote `words`: how transcripts of other programs become training
/// rows that look like rollouts. A search segment that is an information block is encoded as one.
pub fn segment_tokens(author: Author, words: &str, text: &Text) -> Vec<TokenId> {
    match author {
        Author::Prompt | Author::Policy | Author::Hint => text.encode(words),
        Author::Search => {
            let inside =
                words.strip_prefix(INFORMATION_OPENER).and_then(|rest| rest.strip_suffix(INFORMATION_CLOSER));
            match inside {
                Some(contents) => information_tokens(contents, usize::MAX, text),
                None => text.encode_plain(words),
            }
        }
    }
}

/// Keeps at most `limit` tokens, fewer where the last one kept would leave half a character.
fn cut_at_character(tokens: &mut Vec<TokenId>, limit: usize, text: &Text) {
    if tokens.len() <= limit {
        return;
    }
    tokens.truncate(limit);
    while ends_inside_character(tokens, text) {
        tokens.pop();
    }
}

fn ends_inside_character(tokens: &[TokenId], text: &Text) -> bool {
    // A character has at most four bytes, so the last four tokens decide.
    let tail = &tokens[tokens.len().saturating_sub(4)..];
    let bytes: Vec<u8> = tail.iter().flat_map(|token| text.bytes(*token).iter().copied()).collect();
    let Some(start) = bytes.iter().rposition(|byte| byte & 0xc0 != 0x80) else { return false };
    std::str::from_utf8(&bytes[start..]).is_err_and(|error| error.error_len().is_none())
}

#[cfg(test)]
mod tests {
    use zerosearch_learner::text::tiny_text;

    use super::super::fakes::document;
    use super::*;

    #[test]
    fn documents_are_shown_as_the_released_models_know_them() {
        let documents =
            [document("", "born in 1775"), document("Emma", "a novel\n"), document("Persuasion", "")];
        let zerosearch = "Doc 1: born in 1775\nDoc 2: Emma: a novel\nDoc 3: Persuasion";
        assert_eq!(DocumentStyle::ZeroSearch.render(&documents), zerosearch);
        let search_r1 = "Doc 1: born in 1775\nDoc 2(Title: Emma) a novel\nDoc 3(Title: Persuasion) ";
        assert_eq!(DocumentStyle::SearchR1.render(&documents), search_r1);
        assert_eq!(DocumentStyle::default().render(&[]), "Nothing was found.");
        for style in [DocumentStyle::ZeroSearch, DocumentStyle::SearchR1] {
            let folded = documents.clone().map(|document| style.folded(&document));
            assert_eq!(
                style.render(&folded),
                style.render(&documents),
                "folding changes nothing that is shown"
            );
        }
        assert_eq!(DocumentStyle::ZeroSearch.folded(&documents[1]).title, "");
    }

    #[test]
    fn a_limit_below_the_tags_leaves_the_tags() {
        let text = tiny_text();
        assert_eq!(information_tokens(" found ", 0, &text), [10, 10, 264, 265, 10, 10]);
        assert_eq!(
            text.decode(&information_tokens(" found ", 99, &text)),
            "\n\n<information>found</information>\n\n"
        );
    }

    /// Token 256 is the built-in tokenizer's `<|end|>`.
    #[test]
    fn segments_of_other_programs_get_the_tokens_of_a_rollout() {
        let text = tiny_text();
        let block = "\n\n<information>Doc 1: a <|end|> b</information>\n\n";
        let tokens = segment_tokens(Author::Search, block, &text);
        assert_eq!(tokens, information_tokens("Doc 1: a <|end|> b", usize::MAX, &text));
        assert!(!tokens.contains(&256));
        assert!(!segment_tokens(Author::Search, "no block <|end|>", &text).contains(&256));
        assert_eq!(segment_tokens(Author::Policy, "<answer>", &text), [266]);
        assert_eq!(segment_tokens(Author::Policy, "<|end|>", &text), [256]);
    }
}
