//! The protocol: which of the policy's words are an action.
//!
//! Only what the policy itself wrote in this turn is read, up to the first closing tag: there sampling stops too, so
//! that whatever shares a token with the tag, or comes after it, has no meaning.

use zerosearch_search::clean;

use super::Action;

/// Ends a query.
pub const SEARCH_CLOSER: &str = "</search>";
/// Ends an answer.
pub const ANSWER_CLOSER: &str = "</answer>";

const SEARCH_OPENER: &str = "<search>";
const ANSWER_OPENER: &str = "<answer>";

/// Which actions a conversation knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// The policy may search and answer.
    SearchAndAnswer,
    /// There is no search engine: the policy may only answer, and search tags are words like any other.
    AnswerOnly,
}

impl Protocol {
    /// The strings that end a turn, whichever comes first.
    pub fn stop_strings(self) -> Vec<String> {
        self.pairs().iter().map(|(_, closer)| (*closer).to_owned()).collect()
    }

    /// What the policy did with the words of one turn: the first complete pair of tags decides, and its content is
    /// trimmed. No pair, or a query of which cleaning leaves nothing, is [`Action::Invalid`].
    pub fn read(self, words: &str) -> Action {
        let Some((content, closer)) = self.first_pair(words) else { return Action::Invalid };
        match closer {
            ANSWER_CLOSER => Action::Answer(content.trim().to_owned()),
            _ if clean(content).is_empty() => Action::Invalid,
            _ => Action::Search(content.trim().to_owned()),
        }
    }

    /// The content and the closing tag of the first complete pair.
    fn first_pair(self, words: &str) -> Option<(&str, &'static str)> {
        let first =
            self.pairs().iter().filter_map(|(opener, closer)| Some((words.find(closer)?, opener, closer)));
        let (end, opener, closer) = first.min_by_key(|(end, ..)| *end)?;
        let before = &words[..end];
        let begin = before.find(opener)? + opener.len();
        Some((&before[begin..], closer))
    }

    fn pairs(self) -> &'static [(&'static str, &'static str)] {
        const PAIRS: [(&str, &str); 2] = [(ANSWER_OPENER, ANSWER_CLOSER), (SEARCH_OPENER, SEARCH_CLOSER)];
        match self {
            Self::SearchAndAnswer => &PAIRS,
            Self::AnswerOnly => &PAIRS[..1],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(query: &str) -> Action {
        Action::Search(query.into())
    }

    fn answer(words: &str) -> Action {
        Action::Answer(words.into())
    }

    #[test]
    fn the_first_complete_pair_decides() {
        let read = |words| Protocol::SearchAndAnswer.read(words);
        assert_eq!(read("<think>hm</think>\n<search> who wrote Emma </search>"), search("who wrote Emma"));
        assert_eq!(read("<answer>Austen</answer>"), answer("Austen"));
        assert_eq!(read("<search>a</search><answer>b</answer>"), search("a"));
        assert_eq!(read("<answer>b</answer><search>a</search>"), answer("b"));
        assert_eq!(read("<search>two\nlines</search>"), search("two\nlines"));
        assert_eq!(read("<answer> </answer>"), answer(""));
    }

    /// A closing tag ends the turn, so a pair that would close after it does not exist.
    #[test]
    fn nested_and_crossed_tags_are_read_up_to_the_first_closing_tag() {
        let read = |words| Protocol::SearchAndAnswer.read(words);
        assert_eq!(read("<search>a<answer>b</answer>c</search>"), answer("b"));
        assert_eq!(read("<answer>b<search>a</search>c</answer>"), search("a"));
        assert_eq!(read("<search>a<search>b</search>"), search("a<search>b"));
        assert_eq!(read("<answer>a</search>b</answer>"), Action::Invalid);
        assert_eq!(read("</search><search>a</search>"), Action::Invalid);
    }

    #[test]
    fn whatever_follows_the_closing_tag_has_no_meaning() {
        let read = |words| Protocol::SearchAndAnswer.read(words);
        assert_eq!(read("<search>a</search>\n<answer>b</answer>"), search("a"));
        assert_eq!(read("<answer>a</answer>.<|im_end|>"), answer("a"));
    }

    #[test]
    fn no_pair_and_empty_queries_are_invalid() {
        let read = |words| Protocol::SearchAndAnswer.read(words);
        for words in [
            "",
            "just words",
            "<search>no end",
            "no start</search>",
            "<search></search>",
            "<search> \n\t </search>",
            "<search>\u{200b}\u{7}\u{e0041}\u{1b}[31m</search>",
            "<Search>a</Search>",
            "<search >a</search >",
            "<answer>a",
        ] {
            assert_eq!(read(words), Action::Invalid, "{words}");
        }
    }

    #[test]
    fn without_an_engine_search_tags_are_words() {
        let protocol = Protocol::AnswerOnly;
        assert_eq!(protocol.stop_strings(), ["</answer>"]);
        assert_eq!(protocol.read("<search>a</search> <answer>b</answer>"), answer("b"));
        assert_eq!(protocol.read("<search>a</search>"), Action::Invalid);
    }
}
