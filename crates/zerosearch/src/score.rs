//! Scoring: the log-probabilities of given rows, one line each, in a file that can be left half written and taken up again.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use serde::Serialize;
use zerosearch_learner::TokenId;

use crate::learners::Voice;
use crate::progress::Progress;

mod basis;
mod draft;
mod rows;

pub use basis::Basis;
use draft::Draft;
use rows::{Row, Rows};

/// Tokens that are scored, and whose lines are kept, together; a longer row is scored alone.
const TOGETHER: usize = 16_384;

#[derive(Serialize)]
struct Scored<'a> {
    tokens: &'a [TokenId],
    /// Null for the first token, which nothing precedes.
    logprobs: Vec<Option<f32>>,
}

/// The scoring of one file of rows into another.
pub struct Scoring {
    voice: Voice,
    rows: PathBuf,
    temperature: f32,
    draft: Draft,
    done: usize,
    total: usize,
}

impl Scoring {
    /// Reads the whole file `rows`, which must be usable to its last row, and takes up what an earlier scoring left
    /// beside `out`. Text is encoded behind the model's own prefix, as its tokenizer does.
    ///
    /// # Errors
    /// When what was left was made of another `basis` or of other rows.
    pub async fn open(voice: Voice, basis: &Basis, rows: &Path, out: &Path) -> Result<Self> {
        let total = rows::check(rows, &voice).await?;
        let mut draft = Draft::open(out, basis)?;
        let done = draft.keep(&mut Rows::open(rows, &voice.text)?)?;
        let (rows, temperature) = (rows.to_owned(), basis.temperature);
        Ok(Self { voice, rows, temperature, draft, done, total })
    }

    /// Scores what is not scored yet. Lines are kept as they come: when this is abandoned, none of them is lost.
    pub async fn run(&mut self) -> Result<()> {
        let progress = Progress::new(self.total as u64, self.done as u64);
        let (path, text) = (self.rows.clone(), Arc::clone(&self.voice.text));
        let mut rows = Rows::open(&path, &text)?;
        rows.by_ref().take(self.done).try_for_each(|row| row.map(drop))?;
        loop {
            let together = rows.together(TOGETHER)?;
            if together.is_empty() {
                return Ok(());
            }
            let lines = self.scored(&together).await?;
            self.draft.append(&lines)?;
            self.done += together.len();
            progress.counted("rows", self.done as u64, self.total as u64);
        }
    }

    /// Gives the file its name. Returns the number of rows.
    pub fn finish(self) -> Result<usize> {
        self.draft.finish()?;
        Ok(self.total)
    }

    /// How far it is, and where that lies.
    pub fn so_far(&self) -> String {
        format!("{} of {} rows are scored, in {}", self.done, self.total, self.draft.path().display())
    }

    /// The lines of `rows`.
    async fn scored(&self, rows: &[Row]) -> Result<Vec<u8>> {
        let mut alike: Vec<usize> = (0..rows.len()).collect();
        // Rows that begin alike are scored side by side: a policy may compute their beginning once.
        alike.sort_by_key(|&at| &rows[at].tokens);
        let tokens: Vec<Vec<TokenId>> = alike.iter().map(|&at| rows[at].tokens.clone()).collect();
        let scores = match self.voice.policy.score(&tokens, self.temperature).await {
            Ok(scores) => scores,
            Err(error) => return Err(self.blamed(rows, error.into()).await),
        };
        let mut scored: Vec<(usize, Vec<f32>)> = alike.into_iter().zip(scores).collect();
        scored.sort_unstable_by_key(|(at, _)| *at);
        let mut lines = Vec::new();
        for (at, scores) in scored {
            let logprobs = scores.iter().enumerate().map(|(at, score)| (at > 0).then_some(*score)).collect();
            serde_json::to_writer(&mut lines, &Scored { tokens: &rows[at].tokens, logprobs })?;
            lines.push(b'\n');
        }
        Ok(lines)
    }

    /// `error` with the place of the row that it is about: the first that cannot be scored alone either.
    async fn blamed(&self, rows: &[Row], error: anyhow::Error) -> anyhow::Error {
        for row in rows {
            let alone = self.voice.policy.score(std::slice::from_ref(&row.tokens), self.temperature).await;
            if let Err(error) = alone {
                return rows::refusal(&self.rows, row.line, "cannot be scored").because(error).into();
            }
        }
        error
    }
}

#[cfg(test)]
mod tests;
