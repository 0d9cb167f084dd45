//! Rows to learn from: JSONL files in any of five forms, turned into tokens and weights.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use serde_json::Value;
use zerosearch_learner::text::{Message, Text};
use zerosearch_learner::{Example, TokenId};

use super::pairs::pair_examples;
use super::segments::{SegmentRow, push};
use crate::problem::problem;
use crate::qa::Question;
use crate::rollout::PromptTemplate;
use crate::simulator::Manner;

/// What a row needs to become tokens.
pub struct Rows<'a> {
    /// The model's words and tokens.
    pub text: &'a Text,
    /// The prompt of rows that name a question.
    pub prompt: &'a PromptTemplate,
    /// How a simulator is asked, for rows that are pairs.
    pub manner: &'a Manner,
    /// The longest row in tokens.
    pub most_tokens: usize,
    /// Whether longer rows are left out and counted, or refused.
    pub skip_long: bool,
}

/// What some files hold.
#[derive(Debug, Default)]
pub struct Found {
    /// What is learned from.
    pub examples: Vec<Example>,
    /// Examples left out for their length.
    pub long: usize,
    /// Rows that are pairs.
    pub pairs: usize,
}

/// `{"messages": [{"role", "content"}]}`: the assistant's turns are trained.
#[derive(Deserialize)]
struct Chat {
    messages: Vec<Message>,
}

/// Alpaca: the output is trained.
#[derive(Deserialize)]
struct Alpaca {
    instruction: String,
    #[serde(default)]
    input: String,
    output: String,
}

/// Tokens and how much each counts.
#[derive(Deserialize)]
struct Ready {
    tokens: Vec<TokenId>,
    weights: Vec<f32>,
}

impl Rows<'_> {
    /// The rows of `files`.
    ///
    /// # Errors
    /// The first row that cannot be used, with its file and line; files without any row.
    pub fn read(&self, files: &[String]) -> Result<Found> {
        let mut read = Found::default();
        for file in files {
            let bytes = content(Path::new(file))?;
            for (line, row) in numbered_lines(&bytes) {
                let place = || format!("{file}, line {line}, cannot be used");
                let value = serde_json::from_slice(row).map_err(|error| format!("it is not JSON: {error}"));
                let examples = value.and_then(|row| self.examples(row, &mut read.pairs));
                for example in examples.map_err(anyhow::Error::msg).with_context(place)? {
                    self.take(example, &mut read).with_context(place)?;
                }
            }
        }
        if read.examples.is_empty() {
            let hint = "each line is {\"segments\"}, {\"messages\"}, {\"instruction\", \"output\"}, {\"tokens\", \
                        \"weights\"}, or a pair of `zerosearch judge`";
            return Err(problem(format!("there is no usable row in {}", files.join(", "))).hint(hint).into());
        }
        Ok(read)
    }

    /// Keeps `example`, unless it is too long.
    fn take(&self, example: Example, read: &mut Found) -> Result<()> {
        match example.tokens.len() {
            length if length <= self.most_tokens => read.examples.push(example),
            _ if self.skip_long => read.long += 1,
            length => {
                let what =
                    format!("it has {length} tokens, more than sft.max_row_tokens = {}", self.most_tokens);
                let hint = "raise sft.max_row_tokens, or leave such rows out with sft.skip_long = true";
                return Err(problem(what).hint(hint).into());
            }
        }
        Ok(())
    }

    /// What is learned from one line: one example, but for pairs. Which form it has is told by its keys.
    fn examples(&self, value: Value, pairs: &mut usize) -> Result<Vec<Example>, String> {
        let mut examples = if value.get("query").is_some() && value.get("documents").is_some() {
            *pairs += 1;
            pair_examples(&parse(value)?, self.manner, self.text)?
        } else {
            vec![self.row(value)?]
        };
        for example in &mut examples {
            if let Some(first) = example.weights.first_mut() {
                // Nothing precedes the first token that could predict it.
                *first = 0.0;
            }
            if example.weights.iter().all(|weight| *weight == 0.0) {
                return Err("nothing in it is trained: the policy (the assistant) says nothing".into());
            }
        }
        Ok(examples)
    }

    fn row(&self, value: Value) -> Result<Example, String> {
        let has = |key: &str| value.get(key).is_some();
        if has("segments") {
            parse::<SegmentRow>(value)?.example(self.text, self.prompt)
        } else if has("messages") {
            self.chat(&parse::<Chat>(value)?.messages)
        } else if has("instruction") {
            self.alpaca(&parse(value)?)
        } else if has("tokens") {
            self.ready(parse(value)?)
        } else {
            Err("it has none of the keys `segments`, `messages`, `instruction`, `tokens`, `documents`".into())
        }
    }

    /// The assistant's turns, each with the token that ends it, as the model's chat template writes them.
    fn chat(&self, messages: &[Message]) -> Result<Example, String> {
        let render = |messages: &[Message], prompt: bool| {
            self.text.chat_tokens(messages, prompt).map_err(|error| error.to_string())
        };
        if !self.text.has_chat_template() {
            return Err("it is a chat, but the model has no chat template".into());
        }
        let all = render(messages, false)?;
        let mut weights = vec![0.0; all.len()];
        for (index, _) in messages.iter().enumerate().filter(|(_, message)| message.role == "assistant") {
            let (before, after) = (render(&messages[..index], true)?, render(&messages[..=index], false)?);
            if !after.starts_with(&before) || !all.starts_with(&after) {
                return Err(format!(
                    "the model's chat template rewrites earlier turns, so message {} has no place of its own",
                    index + 1
                ));
            }
            let said = &after[before.len()..];
            let end = said
                .iter()
                .rposition(|token| self.text.stop_tokens().contains(token))
                .map_or(said.len(), |at| at + 1);
            weights[before.len()..before.len() + end].fill(1.0);
        }
        Ok(Example { tokens: all, weights, ..Example::default() })
    }

    fn alpaca(&self, row: &Alpaca) -> Result<Example, String> {
        let parts: Vec<&str> =
            [row.instruction.trim(), row.input.trim()].into_iter().filter(|part| !part.is_empty()).collect();
        let asked = parts.join("\n\n");
        if self.text.has_chat_template() {
            return self.chat(&[Message::new("user", asked), Message::new("assistant", row.output.as_str())]);
        }
        let mut example = Example::default();
        push(&mut example, self.text.prefix(), false);
        push(&mut example, &self.text.encode_plain(&format!("{asked}\n\n")), false);
        push(&mut example, &self.text.encode_plain(&row.output), true);
        push(&mut example, self.text.end_of_turn().as_slice(), true);
        Ok(example)
    }

    fn ready(&self, row: Ready) -> Result<Example, String> {
        if row.tokens.len() != row.weights.len() {
            return Err(format!("it has {} tokens but {} weights", row.tokens.len(), row.weights.len()));
        }
        let vocabulary = self.text.vocabulary_size();
        if let Some(token) = row.tokens.iter().find(|token| **token as usize >= vocabulary) {
            return Err(format!("token {token} is not in the vocabulary of {vocabulary} entries"));
        }
        if let Some(weight) = row.weights.iter().find(|weight| !weight.is_finite() || **weight < 0.0) {
            return Err(format!("a weight is {weight}; weights are numbers of at least 0"));
        }
        Ok(Example { tokens: row.tokens, weights: row.weights, ..Example::default() })
    }
}

/// The questions of rows that name one, with an id for each: what a model that learned the rows has seen.
pub fn questions_of_rows(files: &[String]) -> Result<Vec<Arc<Question>>> {
    let mut questions = Vec::new();
    for file in files {
        for (line, row) in numbered_lines(&content(Path::new(file))?) {
            let row: Value = serde_json::from_slice(row)
                .with_context(|| format!("{file}, line {line}, cannot be used"))?;
            let Some(text) = row.get("question").and_then(Value::as_str) else { continue };
            questions.push(Arc::new(Question {
                id: format!("{file}:{line}"),
                source: "sft".into(),
                text: text.to_owned(),
                golden_answers: Vec::new(),
                prompt: None,
            }));
        }
    }
    Ok(questions)
}

fn parse<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, String> {
    serde_json::from_value(value).map_err(|error| error.to_string())
}

/// The bytes of a file, unpacked where it is gzipped.
pub(super) fn content(path: &Path) -> Result<Vec<u8>> {
    let failed = || format!("{} cannot be read", path.display());
    let bytes = std::fs::read(path).with_context(failed)?;
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(bytes);
    }
    let mut unpacked = Vec::new();
    MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut unpacked).with_context(failed)?;
    Ok(unpacked)
}

/// Lines that are not blank, with their numbers from 1.
pub(super) fn numbered_lines(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let lines =
        bytes.split(|byte| *byte == b'\n').enumerate().map(|(index, line)| (index + 1, line.trim_ascii()));
    lines.filter(|(_, line)| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use zerosearch_learner::text::tiny_text;

    use super::*;

    fn read(line: &str, skip_long: bool) -> Result<Found> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        std::fs::write(&path, line).unwrap();
        let (text, prompt) = (tiny_text(), PromptTemplate::standard().unwrap());
        let manner = crate::simulator::tuned();
        let rows = Rows { text: &text, prompt: &prompt, manner: &manner, most_tokens: 64, skip_long };
        rows.read(&[path.display().to_string()])
    }

    fn trained(line: &str) -> String {
        let example = read(line, false).unwrap().examples.remove(0);
        let tokens = example.tokens.iter().zip(&example.weights).filter(|(_, weight)| **weight > 0.0);
        tiny_text().decode(&tokens.map(|(token, _)| *token).collect::<Vec<_>>())
    }

    #[test]
    fn a_chat_trains_every_turn_of_the_assistant_with_its_end() {
        let chat = r#"{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"},
            {"role":"user","content":"c"},{"role":"assistant","content":"d"}]}"#
            .replace('\n', " ");
        assert_eq!(trained(&chat), "b<|end|>d<|end|>");
    }

    #[test]
    fn alpaca_trains_its_output_and_ready_rows_their_weights() {
        assert_eq!(trained(r#"{"instruction":"add","input":"1 1","output":"2"}"#), "2<|end|>");
        assert_eq!(trained(r#"{"tokens":[65,66,67],"weights":[1,0,1]}"#), "C");
    }

    #[test]
    fn a_row_that_cannot_be_used_is_named() {
        for (line, words) in [
            ("\n{\"messages\":", "line 2, cannot be used"),
            ("{\"text\":\"x\"}", "none of the keys"),
            ("{\"tokens\":[1],\"weights\":[]}", "1 tokens but 0 weights"),
            ("{\"tokens\":[1,99999],\"weights\":[0,1]}", "token 99999 is not in the vocabulary"),
            ("{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}", "nothing in it is trained"),
            ("", "no usable row"),
        ] {
            let told = format!("{:#}", read(line, false).unwrap_err());
            assert!(told.contains(words), "{line}: {told}");
        }
    }

    #[test]
    fn long_rows_are_refused_or_counted() {
        let long = format!(
            "{{\"instruction\":\"{}\",\"output\":\"b\"}}\n{{\"instruction\":\"a\",\"output\":\"b\"}}",
            "x".repeat(80)
        );
        assert!(format!("{:#}", read(&long, false).unwrap_err()).contains("sft.max_row_tokens = 64"));
        let read = read(&long, true).unwrap();
        assert_eq!((read.examples.len(), read.long), (1, 1));
    }
}
