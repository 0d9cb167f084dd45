//! The rows to score, read line by line.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;
use zerosearch_learner::TokenId;
use zerosearch_learner::text::Text;

use crate::learners::Voice;
use crate::problem::{Problem, problem};

/// A row as it is written.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Tokens { tokens: Vec<TokenId> },
    Text { text: String },
}

/// A row to score.
pub(super) struct Row {
    /// Its line in the file, from 1.
    pub(super) line: usize,
    /// At least one.
    pub(super) tokens: Vec<TokenId>,
}

/// The rows of a file in order; blank lines are none.
pub(super) struct Rows<'a> {
    path: &'a Path,
    text: &'a Text,
    file: BufReader<File>,
    line: usize,
    /// Read, and left for the next call of [`Rows::together`].
    next: Option<Row>,
}

impl<'a> Rows<'a> {
    pub(super) fn open(path: &'a Path, text: &'a Text) -> Result<Self> {
        let failed = || format!("{} cannot be read", path.display());
        let file = File::open(path).with_context(failed)?;
        if !file.metadata().with_context(failed)?.is_file() {
            return Err(problem(format!("{} is not a file", path.display()))
                .hint("rows are read more than once: write them to a file first")
                .into());
        }
        Ok(Self { path, text, file: BufReader::new(file), line: 0, next: None })
    }

    /// The next rows: as many as have `tokens` tokens together, or one that has more; none at the end.
    pub(super) fn together(&mut self, tokens: usize) -> Result<Vec<Row>> {
        let mut rows: Vec<Row> = Vec::new();
        let mut left = tokens;
        while let Some(row) = self.next().transpose()? {
            if row.tokens.len() > left && !rows.is_empty() {
                self.next = Some(row);
                break;
            }
            left = left.saturating_sub(row.tokens.len());
            rows.push(row);
        }
        Ok(rows)
    }

    fn read(&mut self) -> Result<Option<Row>> {
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            let failed = || format!("{} cannot be read", self.path.display());
            if self.file.read_until(b'\n', &mut bytes).with_context(failed)? == 0 {
                return Ok(None);
            }
            self.line += 1;
            let mark: &[u8] = if self.line == 1 { b"\xef\xbb\xbf" } else { b"" };
            let line = bytes.strip_prefix(mark).unwrap_or(&bytes).trim_ascii();
            if !line.is_empty() {
                let tokens = self.tokens(line)?;
                return Ok(Some(Row { line: self.line, tokens }));
            }
        }
    }

    fn tokens(&self, line: &[u8]) -> Result<Vec<TokenId>> {
        let refused = || {
            refusal(self.path, self.line, "is not a row")
                .hint("a row is {\"tokens\": [1, 2, 3]} or {\"text\": \"words\"}, and not empty")
        };
        let tokens = match serde_json::from_slice(line).map_err(|error| refused().because(error))? {
            Written::Tokens { tokens } => tokens,
            Written::Text { text } => [self.text.prefix(), &self.text.encode(&text)].concat(),
        };
        if tokens.is_empty() { Err(refused().into()) } else { Ok(tokens) }
    }
}

impl Iterator for Rows<'_> {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Result<Row>> {
        self.next.take().map(Ok).or_else(|| self.read().transpose())
    }
}

/// Reads the whole file, of which every row must be one that `voice` can score. Returns the number of rows.
pub(super) async fn check(path: &Path, voice: &Voice) -> Result<usize> {
    let (mut count, mut largest): (usize, Option<(TokenId, usize)>) = (0, None);
    let context_length = voice.policy.context_length();
    for row in Rows::open(path, &voice.text)? {
        let Row { line, tokens } = row?;
        if tokens.len() > context_length {
            let why = format!("it has {} tokens, the model reads {context_length}", tokens.len());
            return Err(refusal(path, line, "is too long").because(why).into());
        }
        count += 1;
        largest = largest.max(tokens.iter().max().map(|&token| (token, line)));
        // Lets whoever asks to stop have a word.
        tokio::task::coop::consume_budget().await;
    }
    let Some((token, line)) = largest else {
        return Err(problem(format!("there is no row in {}", path.display())).into());
    };
    // Only the policy knows where its vocabulary ends, and it says so at once.
    match voice.policy.score(&[vec![token]], 1.0).await {
        Ok(_) => Ok(count),
        Err(error) => Err(refusal(path, line, "cannot be scored").because(error).into()),
    }
}

/// What is wrong with the row at `line`.
pub(super) fn refusal(path: &Path, line: usize, what: &str) -> Problem {
    problem(format!("{}, line {line}, {what}", path.display()))
}
