//! ReAct transcripts (arXiv 2210.03629): chats of thoughts, actions and observations, as FireAct recorded them.

use serde::Deserialize;
use serde_json::Value;
use zerosearch_learner::text::Message;

use super::convert::{Draft, Draw};

#[derive(Deserialize)]
struct Row {
    messages: Vec<Message>,
}

/// The transcript of one chat, in the tags of our protocol. Only episodes that were rewarded are kept.
pub(super) fn draft(row: &Value) -> Draw {
    let messages = match Row::deserialize(row) {
        Ok(row) => row.messages,
        Err(error) => return Draw::Foreign(format!("a ReAct row has `messages`: {error}")),
    };
    let mut turns = messages.iter().skip_while(|message| message.role == "system");
    let Some(first) = turns.next().filter(|message| message.role == "user") else {
        return Draw::Left("a chat that does not begin with the question");
    };
    let question = first.content.trim();
    let question = question.strip_prefix("Question:").unwrap_or(question).trim();
    let mut draft = Draft { question: question.to_owned(), ..Draft::default() };
    loop {
        let Some((thought, action)) = turns.next().and_then(said) else {
            return Draw::Left("a turn without an action");
        };
        let Some(observed) = turns.next().and_then(observation) else {
            return Draw::Left("an action without an observation");
        };
        match action {
            Action::Search(query) => {
                draft.searched(format!("{thought}<search> {query} </search>"), &format!("Doc 1: {observed}"))
            }
            Action::Finish(answer) if is_rewarded(&observed) => {
                draft.answered(format!("{thought}<answer> {answer} </answer>"));
                return if turns.next().is_none() {
                    Draw::Row(draft)
                } else {
                    Draw::Left("words after the end")
                };
            }
            Action::Finish(_) => return Draw::Left("an episode without reward"),
        }
    }
}

enum Action {
    Search(String),
    Finish(String),
}

/// `Thought: ...` and `Action: search[...]` or `finish[...]`, the thought in its tags.
fn said(message: &Message) -> Option<(String, Action)> {
    if message.role != "assistant" || holds_tags(&message.content) {
        return None;
    }
    let (thought, action) = message.content.rsplit_once("Action:")?;
    let thought = thought.trim().strip_prefix("Thought:").unwrap_or(thought).trim();
    let (name, rest) = action.trim().split_once('[')?;
    let argument = one_line(rest.strip_suffix(']')?);
    if argument.is_empty() {
        return None;
    }
    let action = match name.trim() {
        "search" => Action::Search(argument),
        "finish" => Action::Finish(argument),
        _ => return None,
    };
    let thought =
        if thought.is_empty() { String::new() } else { format!("<think> {} </think>\n", one_line(thought)) };
    Some((thought, action))
}

fn observation(message: &Message) -> Option<String> {
    let words = message.content.strip_prefix("Observation:")?;
    (message.role == "user" && !holds_tags(words)).then(|| one_line(words))
}

fn is_rewarded(observed: &str) -> bool {
    let reward = observed.rsplit_once("reward =").map(|(_, reward)| reward.trim().trim_end_matches('.'));
    matches!(reward, Some("True" | "1"))
}

/// Tags of the protocol in somebody's words would be read as actions.
fn holds_tags(words: &str) -> bool {
    [
        "<think>",
        "</think>",
        "<search>",
        "</search>",
        "<answer>",
        "</answer>",
        "<information>",
        "</information>",
    ]
    .iter()
    .any(|tag| words.contains(tag))
}

fn one_line(words: &str) -> String {
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::rollout::Author;

    fn chat(turns: &[&str]) -> Draw {
        let role = |index: usize| if index.is_multiple_of(2) { "user" } else { "assistant" };
        let messages: Vec<Value> = turns
            .iter()
            .enumerate()
            .map(|(index, words)| json!({"role": role(index), "content": words}))
            .collect();
        draft(&json!({"messages": messages}))
    }

    #[test]
    fn thoughts_actions_and_observations_become_tags() {
        let Draw::Row(draft) = chat(&[
            "Question: Who?",
            "Thought: I need\nto look.\nAction: search[ann [singer]]",
            "Observation: Ann sings ...",
            "Thought: Found.\nAction: finish[Ann]",
            "Observation: Episode finished, reward = 1",
        ]) else {
            panic!("the chat is sound")
        };
        assert_eq!((draft.question.as_str(), draft.searches, draft.f1), ("Who?", 1, None));
        let parts: Vec<(Author, &str)> =
            draft.segments.iter().map(|segment| (segment.author, segment.text.as_str())).collect();
        assert_eq!(
            parts,
            [
                (Author::Policy, "<think> I need to look. </think>\n<search> ann [singer] </search>"),
                (Author::Search, "\n\n<information>Doc 1: Ann sings ...</information>\n\n"),
                (Author::Policy, "<think> Found. </think>\n<answer> Ann </answer>"),
            ]
        );
    }

    #[test]
    fn unrewarded_and_unsound_episodes_are_left_out() {
        let end = "Observation: Episode finished, reward = ";
        for (turns, reason) in [
            (vec!["q", "Thought: x\nAction: finish[a]", &format!("{end}False")], "an episode without reward"),
            (vec!["q", "Thought: x\nAction: finish[a]", &format!("{end}0")], "an episode without reward"),
            (vec![], "a chat that does not begin with the question"),
            (vec!["q", "Thought: no action"], "a turn without an action"),
            (vec!["q", "Thought: x\nAction: lookup[a]", "Observation: y"], "a turn without an action"),
            (vec!["q", "Action: search[<answer>a</answer>]", "Observation: y"], "a turn without an action"),
            (vec!["q", "Action: search[a]"], "an action without an observation"),
        ] {
            assert_eq!(chat(&turns), Draw::Left(reason), "{turns:?}");
        }
        assert!(matches!(draft(&json!({"question": "x"})), Draw::Foreign(_)));
    }
}
