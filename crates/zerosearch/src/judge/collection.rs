//! A collection: the search calls of finished conversations, as `rows.jsonl` files hold them.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use flate2::bufread::MultiGzDecoder;
use serde::Deserialize;
use zerosearch_search::{Document, clean};

use super::Origin;
use crate::problem::problem;
use crate::qa::{Question, score_ending};
use crate::rollout::{Action, Ending, Turn};
use crate::run::VERSION;

/// One search call that brought documents.
#[derive(Clone, Debug)]
pub struct Call {
    /// The question behind it.
    pub question: Arc<Question>,
    /// What the engine was asked.
    pub query: String,
    /// What it found.
    pub documents: Vec<Document>,
    /// The token F1 of the answer that the conversation came to; none without an answer.
    pub f1: Option<f32>,
    /// Where the call is recorded.
    pub from: Origin,
}

/// The calls of some files, and what else was in them.
#[derive(Clone, Debug, Default)]
pub struct Collection {
    /// In the files' order.
    pub calls: Vec<Call>,
    /// Conversations.
    pub conversations: usize,
    /// Conversations that something of ours broke; nothing of them is used.
    pub broken: usize,
    /// Conversations without an answer.
    pub unanswered: usize,
    /// Searches of conversations that are not broken.
    pub searches: usize,
    /// Those of them that brought no documents.
    pub without_documents: usize,
    /// Calls whose question has no golden answer; they are not among the calls.
    pub without_golds: usize,
    /// Last lines that a crash tore.
    pub torn: usize,
}

/// What of a conversation matters here.
#[derive(Deserialize)]
struct Row {
    version: u32,
    question: Arc<Question>,
    #[serde(default)]
    member: usize,
    turns: Vec<Turn>,
    ending: Ending,
}

impl Collection {
    /// Reads files of conversations (JSONL, also gzipped), or the `rows.jsonl` of folders.
    ///
    /// # Errors
    /// The first line that is no conversation; inputs in which no search brought documents.
    pub fn read(inputs: &[PathBuf]) -> Result<Self> {
        let mut collection = Self::default();
        for input in inputs {
            collection.read_file(&file_of(input)?)?;
        }
        if collection.calls.is_empty() {
            let names: Vec<String> = inputs.iter().map(|path| path.display().to_string()).collect();
            let found = format!(
                "{} conversations, {} broken, {} searches, {} of them without documents",
                collection.conversations,
                collection.broken,
                collection.searches,
                collection.without_documents
            );
            return Err(problem(format!("there is no search with documents in {}", names.join(", ")))
                .because(found)
                .hint("`zerosearch collect` plays questions with an engine and keeps every query and its documents")
                .into());
        }
        Ok(collection)
    }

    fn read_file(&mut self, path: &Path) -> Result<()> {
        let mut reader = open(path)?;
        let (mut line, mut number) = (Vec::new(), 0);
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line);
            if read.with_context(|| format!("{} cannot be read", path.display()))? == 0 {
                return Ok(());
            }
            number += 1;
            if line.trim_ascii().is_empty() {
                continue;
            }
            match serde_json::from_slice::<Row>(&line) {
                Ok(row) if row.version <= VERSION => self.take(row, path, number),
                Ok(row) => {
                    let what = format!("{}, line {number}, has version {}", path.display(), row.version);
                    return Err(problem(what).hint(format!("this program reads version {VERSION}")).into());
                }
                Err(_) if !line.ends_with(b"\n") => self.torn += 1,
                Err(error) => {
                    return Err(problem(format!("{}, line {number}, is not a conversation", path.display()))
                        .because(error)
                        .hint("rows are what `zerosearch collect` and `zerosearch eval` write to rows.jsonl")
                        .into());
                }
            }
        }
    }

    fn take(&mut self, row: Row, path: &Path, line: usize) {
        self.conversations += 1;
        let f1 = match &row.ending {
            Ending::Broken(_) => {
                self.broken += 1;
                return;
            }
            Ending::Answered(_) => Some(score_ending(&row.ending, &row.question.golden_answers).f1),
            Ending::OutOfTurns | Ending::OutOfTokens => {
                self.unanswered += 1;
                None
            }
        };
        let found = |turn: &Turn| matches!(turn.action, Action::Search(_)) && !turn.documents.is_empty();
        let last = row.turns.iter().rposition(found);
        for (at, turn) in row.turns.into_iter().enumerate() {
            let Action::Search(query) = turn.action else { continue };
            self.searches += 1;
            if turn.documents.is_empty() {
                self.without_documents += 1;
                continue;
            }
            if row.question.golden_answers.iter().all(|gold| gold.trim().is_empty()) {
                self.without_golds += 1;
                continue;
            }
            let from = Origin {
                file: path.display().to_string(),
                line,
                turn: at,
                id: row.question.id.clone(),
                source: row.question.source.clone(),
                member: row.member,
                last: last == Some(at),
            };
            let (question, query) = (Arc::clone(&row.question), clean(&query));
            self.calls.push(Call { question, query, documents: turn.documents, f1, from });
        }
    }
}

/// The file of conversations that `input` means.
pub(super) fn file_of(input: &Path) -> Result<PathBuf> {
    let file = if input.is_dir() { input.join("rows.jsonl") } else { input.to_owned() };
    if file.is_file() {
        return Ok(file);
    }
    Err(problem(format!("there is no {}", file.display()))
        .hint("name a folder of `zerosearch collect` or `zerosearch eval`, or a file of conversations")
        .into())
}

fn open(path: &Path) -> Result<Box<dyn BufRead>> {
    let failed = || format!("{} cannot be read", path.display());
    let mut reader = BufReader::new(File::open(path).with_context(failed)?);
    let gzipped = reader.fill_buf().with_context(failed)?.starts_with(&[0x1f, 0x8b]);
    Ok(if gzipped { Box::new(BufReader::new(MultiGzDecoder::new(reader))) } else { Box::new(reader) })
}
