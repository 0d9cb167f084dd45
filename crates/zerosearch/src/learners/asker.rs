//! The asker: a fixed policy that searches for its question and answers with what it reads first.

use std::sync::Arc;

use zerosearch_learner::SamplingRequest;
use zerosearch_learner::scripted::ScriptedPolicy;
use zerosearch_learner::text::Text;

/// More than any conversation has.
const CONTEXT: usize = 1 << 20;

/// A policy without a model: it searches once, for the question or for its last words, and answers with the first
/// words of the first document. The request's seed chooses. Its log-probabilities are made up.
pub(super) fn asker(text: &Arc<Text>) -> ScriptedPolicy {
    ScriptedPolicy::new(Arc::clone(text), reply).with_context_length(CONTEXT)
}

fn reply(request: &SamplingRequest, talk: &str) -> String {
    // A prompt without this word has its question in its last line.
    let talk = talk.split_once("Question: ").map_or_else(|| last_line(talk), |(_, talk)| talk);
    let choice = (request.seed % 4) as usize;
    let Some((_, found)) = talk.split_once("<information>") else {
        let question = talk.lines().next().unwrap_or_default();
        let question = question.split("<|").next().unwrap_or_default();
        let words: Vec<&str> = question.split_whitespace().collect();
        let left_out = if choice.is_multiple_of(2) { 0 } else { words.len() / 2 };
        return format!("<search> {} </search>", words[left_out..].join(" "));
    };
    let first = found.split_once("Doc 1").map_or("", |(_, first)| first);
    let first = first.split(" Doc 2").next().unwrap_or_default();
    let words =
        first.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty() && *word != "Title");
    let answer: Vec<&str> = words.take(choice + 1).collect();
    format!("<answer> {} </answer>", answer.join(" "))
}

fn last_line(talk: &str) -> &str {
    talk.trim_end().lines().next_back().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(seed: u64, talk: &str) -> String {
        let request = SamplingRequest::of_length(vec![1], 99, seed);
        reply(&request, talk)
    }

    #[test]
    fn it_searches_and_answers_with_what_it_finds() {
        let asked =
            "Search between <information> tags.\n\nQuestion: who wrote Emma in 1815?<|end|><|assistant|>";
        assert_eq!(said(4, asked), "<search> who wrote Emma in 1815? </search>");
        assert_eq!(said(5, asked), "<search> Emma in 1815? </search>");
        let read = format!(
            "{asked}<search> x </search>\n<information>Doc 1: Jane Austen wrote it. Doc 2: no</information>"
        );
        assert_eq!(said(1, &read), "<answer> Jane Austen </answer>");
        assert_eq!(
            said(0, &format!("{asked}\n<information>Doc 1(Title: Jane) x</information>")),
            "<answer> Jane </answer>"
        );
        assert_eq!(said(0, "Please answer.\nwho?"), "<search> who? </search>");
    }
}
