//! Scoring: the log-probabilities of given rows, one line each.

use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use zerosearch_learner::TokenId;
use zerosearch_learner::text::Text;

use crate::learners::Voice;
use crate::report::problem;
use crate::run::replace;

/// Rows that are scored together.
const TOGETHER: usize = 64;

#[derive(Deserialize)]
#[serde(untagged)]
enum Row {
    Tokens { tokens: Vec<TokenId> },
    Text { text: String },
}

#[derive(Serialize)]
struct Scored<'a> {
    tokens: &'a [TokenId],
    /// Null for the first token, which nothing precedes.
    logprobs: Vec<Option<f32>>,
}

/// Scores the rows of the file `rows` under softmax(logits / `temperature`) and writes `out`, whole or not at all.
/// Text is encoded behind the model's own prefix, as its tokenizer does. Returns the number of rows.
pub async fn score(voice: &Voice, rows: &Path, out: &Path, temperature: f32) -> Result<usize> {
    let rows = read(rows, &voice.text)?;
    let mut written = Vec::new();
    for together in rows.chunks(TOGETHER) {
        for (tokens, scores) in together.iter().zip(voice.policy.score(together, temperature).await?) {
            let logprobs =
                scores.into_iter().enumerate().map(|(index, score)| (index > 0).then_some(score)).collect();
            serde_json::to_writer(&mut written, &Scored { tokens, logprobs })?;
            written.push(b'\n');
        }
    }
    replace(out, &written).with_context(|| format!("{} cannot be written", out.display()))?;
    Ok(rows.len())
}

fn read(path: &Path, text: &Text) -> Result<Vec<Vec<TokenId>>> {
    let content =
        std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let lines = content
        .trim_start_matches('\u{feff}')
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty());
    let rows: Vec<Vec<TokenId>> = lines
        .map(|(index, line)| {
            let refuse = || {
                let place = format!("{}, line {}, is not a row", path.display(), index + 1);
                problem(place)
                    .hint("a row is {\"tokens\": [1, 2, 3]} or {\"text\": \"words\"}, and not empty")
            };
            let tokens = match serde_json::from_str(line).map_err(|error| refuse().because(error))? {
                Row::Tokens { tokens } => tokens,
                Row::Text { text: words } => [text.prefix(), &text.encode(&words)].concat(),
            };
            if tokens.is_empty() { Err(refuse().into()) } else { Ok(tokens) }
        })
        .collect::<Result<_>>()?;
    if rows.is_empty() {
        return Err(problem(format!("there is no row in {}", path.display())).into());
    }
    Ok(rows)
}
