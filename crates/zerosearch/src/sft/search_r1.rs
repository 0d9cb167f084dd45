//! Search-R1 transcripts: one response in think, search, information and answer tags.

use serde::Deserialize;
use serde_json::Value;

use super::convert::{Draft, Draw};
use crate::qa::score;
use crate::rollout::{ANSWER_CLOSER, Action, Protocol, SEARCH_CLOSER};

const OPENER: &str = "<information>";
const CLOSER: &str = "</information>";

#[derive(Deserialize)]
struct Row {
    question: String,
    #[serde(default)]
    golden_answers: Vec<String>,
    response: String,
}

/// The transcript of one row. It must be what our rollout could have made: each information block follows a search,
/// and the response ends with its first answer.
pub(super) fn draft(row: &Value) -> Draw {
    let Row { question, golden_answers, response } = match Row::deserialize(row) {
        Ok(row) => row,
        Err(error) => {
            return Draw::Foreign(format!("a Search-R1 row has `question` and `response`: {error}"));
        }
    };
    let mut draft = Draft { question, ..Draft::default() };
    let mut rest = response.as_str();
    while let Some(at) = rest.find(OPENER) {
        let said = rest[..at].trim();
        let Some(length) = rest[at..].find(CLOSER) else {
            return Draw::Left("an information block has no end");
        };
        let found = &rest[at + OPENER.len()..at + length];
        if !said.ends_with(SEARCH_CLOSER)
            || !matches!(Protocol::SearchAndAnswer.read(said), Action::Search(_))
        {
            return Draw::Left("documents that no search asked for");
        }
        if said.matches(SEARCH_CLOSER).count() > 1 {
            return Draw::Left("several searches in one turn");
        }
        draft.searched(said.to_owned(), found);
        rest = &rest[at + length + CLOSER.len()..];
    }
    let Some(end) = rest.find(ANSWER_CLOSER).map(|at| at + ANSWER_CLOSER.len()) else {
        return Draw::Left("no answer");
    };
    let said = rest[..end].trim();
    let Action::Answer(answer) = Protocol::SearchAndAnswer.read(said) else { return Draw::Left("no answer") };
    draft.answered(said.to_owned());
    draft.f1 = (!golden_answers.is_empty()).then(|| score(Some(&answer), &golden_answers).f1);
    Draw::Row(draft)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::rollout::Author;

    fn draw(response: &str) -> Draw {
        draft(&json!({"question": "who?", "golden_answers": ["Ann"], "response": response}))
    }

    #[test]
    fn turns_end_with_their_closing_tag_and_documents_are_framed_as_in_a_rollout() {
        let Draw::Row(draft) = draw(
            "<think> hm </think> <search> ann </search>\n\n<information>Doc 1: x\n</information>\n\n<answer> Ann </answer> and more",
        ) else {
            panic!("the row is sound")
        };
        let parts: Vec<(Author, &str)> =
            draft.segments.iter().map(|segment| (segment.author, segment.text.as_str())).collect();
        assert_eq!(
            parts,
            [
                (Author::Policy, "<think> hm </think> <search> ann </search>"),
                (Author::Search, "\n\n<information>Doc 1: x</information>\n\n"),
                (Author::Policy, "<answer> Ann </answer>"),
            ]
        );
        assert_eq!((draft.searches, draft.f1), (1, Some(1.0)));
    }

    #[test]
    fn what_a_rollout_could_not_have_made_is_left_out() {
        for (response, reason) in [
            (
                "<information>Doc 1: made up</information><answer>a</answer>",
                "documents that no search asked for",
            ),
            (
                "<search>a</search> <search>b</search><information>c</information><answer>a</answer>",
                "several searches in one turn",
            ),
            ("<search>a</search><information>b", "an information block has no end"),
            ("<search>a</search><information>b</information> hm", "no answer"),
            ("I think</answer>", "no answer"),
        ] {
            assert_eq!(draw(response), Draw::Left(reason), "{response}");
        }
        assert!(matches!(draft(&json!({"messages": []})), Draw::Foreign(_)));
    }
}
