//! Authored segments: a row of text in which everybody's words are marked as theirs.

use serde::{Deserialize, Serialize};
use zerosearch_learner::text::Text;
use zerosearch_learner::{Example, TokenId};

use crate::qa::Question;
use crate::rollout::{Author, PromptTemplate, segment_tokens};

/// A row with authored segments. The tokens are those that a rollout would have: each segment is encoded by itself,
/// as its author's tokens are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentRow {
    /// Where given, the row begins with the prompt that a rollout would put this question in.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub question: Option<String>,
    /// In order.
    pub segments: Vec<Segment>,
    /// Whether the policy ends its turn after the last segment, with the model's end-of-turn token.
    #[serde(default)]
    pub ends: bool,
}

/// One author's words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    /// Who wrote them. Only the policy's are trained.
    pub author: Author,
    /// The words.
    pub text: String,
}

impl SegmentRow {
    /// The row as training takes it.
    pub(super) fn example(&self, text: &Text, prompt: &PromptTemplate) -> Result<Example, String> {
        let mut example = Example::default();
        if let Some(words) = &self.question {
            push(&mut example, &opening(words, text, prompt)?, false);
        }
        for segment in &self.segments {
            push(
                &mut example,
                &segment_tokens(segment.author, &segment.text, text),
                segment.author == Author::Policy,
            );
        }
        if self.ends {
            let end = text.end_of_turn().ok_or("`ends` is set, but the model has no end-of-turn token")?;
            push(&mut example, &[end], true);
        }
        Ok(example)
    }
}

fn opening(words: &str, text: &Text, prompt: &PromptTemplate) -> Result<Vec<TokenId>, String> {
    let question = Question {
        id: "row".into(),
        source: "sft".into(),
        text: words.to_owned(),
        golden_answers: Vec::new(),
        prompt: None,
    };
    if prompt.wants_documents(&question) {
        return Err("rollout.prompt shows documents, and a written transcript has none to show".into());
    }
    prompt.tokens(&question, "", text).map_err(|error| error.to_string())
}

/// Appends tokens that are trained or not.
pub(super) fn push(example: &mut Example, tokens: &[TokenId], trained: bool) {
    example.tokens.extend_from_slice(tokens);
    example.weights.extend(std::iter::repeat_n(f32::from(u8::from(trained)), tokens.len()));
}

#[cfg(test)]
mod tests {
    use zerosearch_learner::text::tiny_text;

    use super::*;

    #[test]
    fn only_the_policys_segments_and_its_end_are_trained() {
        let row: SegmentRow = serde_json::from_str(
            r#"{"segments":[{"author":"prompt","text":"ab"},{"author":"policy","text":"<search>c</search>"},
               {"author":"search","text":"\n\n<information>d</information>\n\n"},{"author":"policy","text":"e"}],"ends":true}"#,
        )
        .unwrap();
        let text = tiny_text();
        let example = row.example(&text, &PromptTemplate::standard().unwrap()).unwrap();
        let trained: Vec<TokenId> = example
            .tokens
            .iter()
            .zip(&example.weights)
            .filter(|(_, weight)| **weight == 1.0)
            .map(|(token, _)| *token)
            .collect();
        assert_eq!(text.decode(&trained), "<search>c</search>e<|end|>");
        assert_eq!(
            text.decode(&example.tokens),
            "ab<search>c</search>\n\n<information>d</information>\n\ne<|end|>"
        );
    }

    /// The template ends an answer with token 259; `eos_token`, the lower stop token, is 256.
    #[test]
    fn a_row_ends_with_the_token_that_the_chat_template_ends_an_answer_with() {
        let folder = tempfile::tempdir().unwrap();
        for file in tiny_text().files() {
            std::fs::write(folder.path().join(&file.name), &file.bytes).unwrap();
        }
        let template = "{% for m in messages %}<|user|>{{ m.content }}<|assistant|>{% endfor %}";
        std::fs::write(folder.path().join("chat_template.jinja"), template).unwrap();
        let text = Text::from_directory(folder.path()).unwrap();
        assert_eq!((text.named_token("eos_token"), text.stop_tokens()), (Some(256), [256, 259].as_slice()));
        let segments = vec![Segment { author: Author::Policy, text: "a".into() }];
        let row = SegmentRow { question: None, segments, ends: true };
        let example = row.example(&text, &PromptTemplate::standard().unwrap()).unwrap();
        assert_eq!(example.tokens, [97, 259]);
    }

    #[test]
    fn a_question_opens_the_row_as_a_rollout_opens() {
        let text = tiny_text();
        let prompt = PromptTemplate::standard().unwrap();
        let row = SegmentRow { question: Some("who?".into()), segments: Vec::new(), ends: false };
        let example = row.example(&text, &prompt).unwrap();
        assert_eq!(example.tokens, opening("who?", &text, &prompt).unwrap());
        assert!(example.weights.iter().all(|weight| *weight == 0.0));
    }
}
