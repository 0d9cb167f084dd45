//! Verdicts: what a judge model said of each document, kept in a file as they come.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use futures::stream::{self, StreamExt};
use serde::{Deserialize, Serialize};
use zerosearch_search::WriteRequest;

use super::label::contained;
use super::pair::fingerprint;
use super::{Agreement, Call, JudgeModel, model};
use crate::problem::problem;
use crate::progress::Progress;
use crate::run::{VERSION, append_line, lines, mend};

/// Documents without a verdict before a judge is given up on, if they are more than half of all so far.
const PATIENCE: usize = 20;
/// Letters of a reply that are kept.
const REPLY_CHARS: usize = 200;

/// One line of `verdicts.jsonl`.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Line {
    version: u32,
    /// SHA-256 of judge and prompt.
    request: String,
    /// Whether the document is useful; null where the reply is neither yes nor no.
    useful: Option<bool>,
    /// The beginning of the reply.
    reply: String,
}

/// The verdicts of one judge.
pub(super) struct Verdicts<'a> {
    judge: &'a JudgeModel,
    path: PathBuf,
    known: HashMap<String, Option<bool>>,
    /// Documents that the judge failed on, this time.
    failed: usize,
    /// The first thing that was no verdict.
    excuse: Option<String>,
}

impl<'a> Verdicts<'a> {
    /// Those that the file at `path` holds.
    pub(super) fn open(path: &Path, judge: &'a JudgeModel) -> Result<Self> {
        mend(path).with_context(|| format!("{} cannot be mended", path.display()))?;
        let lines: Vec<Line> = lines(path)?;
        let known = lines.into_iter().map(|line| (line.request, line.useful)).collect();
        Ok(Self { judge, path: path.to_owned(), known, failed: 0, excuse: None })
    }

    /// Asks for every verdict on the documents of `calls` that is missing. Each is kept at once: when this is
    /// abandoned, none is lost.
    ///
    /// # Errors
    /// When the judge gives no verdict on more than half of the documents.
    pub(super) async fn complete(&mut self, calls: &[Call]) -> Result<()> {
        let (mut open, mut all) = (Vec::new(), HashMap::new());
        for call in calls {
            for document in &call.documents {
                let request = self.judge.request(&call.query, document)?;
                let key = self.key(&request);
                if all.insert(key.clone(), ()).is_none() && !self.known.contains_key(&key) {
                    open.push((key, request));
                }
            }
        }
        let (total, mut done) = (all.len(), all.len() - open.len());
        let progress = Progress::new(total as u64, done as u64);
        let judge = self.judge;
        let ask =
            |(key, request): (String, WriteRequest)| async move { (key, judge.writer.write(&request).await) };
        let mut replies = stream::iter(open).map(ask).buffer_unordered(judge.concurrency.max(1));
        while let Some((key, reply)) = replies.next().await {
            match reply {
                Ok(written) => self.keep(key, &written.text)?,
                Err(error) => {
                    self.failed += 1;
                    self.excuse.get_or_insert_with(|| error.to_string());
                }
            }
            done += 1;
            progress.counted("documents", done as u64, total as u64);
            self.refuse_silence(done, PATIENCE)?;
        }
        self.refuse_silence(total, 1)
    }

    /// What is known of the call's documents.
    pub(super) fn of(&self, call: &Call) -> Vec<Option<bool>> {
        let verdict = |document| {
            let request = self.judge.request(&call.query, document).ok()?;
            self.known.get(&self.key(&request)).copied().flatten()
        };
        call.documents.iter().map(verdict).collect()
    }

    /// How far the judge and containment agree.
    pub(super) fn agreement(&self, calls: &[Call]) -> Agreement {
        let mut agreement = Agreement { no_verdict: self.without(), ..Agreement::default() };
        for call in calls {
            let Some(held) = contained(call) else { continue };
            for (verdict, held) in self.of(call).into_iter().zip(held) {
                if let Some(useful) = verdict {
                    agreement.add(useful, held);
                }
            }
        }
        agreement
    }

    fn keep(&mut self, request: String, reply: &str) -> Result<()> {
        let useful = model::read(reply);
        let reply: String = reply.trim().chars().take(REPLY_CHARS).collect();
        if useful.is_none() {
            self.excuse.get_or_insert_with(|| format!("it wrote, where yes or no was asked for: {reply}"));
        }
        append_line(&self.path, &Line { version: VERSION, request: request.clone(), useful, reply })
            .with_context(|| format!("{} cannot be written", self.path.display()))?;
        self.known.insert(request, useful);
        Ok(())
    }

    fn without(&self) -> usize {
        self.failed + self.known.values().filter(|useful| useful.is_none()).count()
    }

    fn refuse_silence(&self, of: usize, patience: usize) -> Result<()> {
        let without = self.without();
        if without < patience || without * 2 <= of {
            return Ok(());
        }
        let excuse = self.excuse.clone().unwrap_or_else(|| "it wrote neither yes nor no".into());
        Err(problem(format!("the judge gave no verdict on {without} of {of} documents"))
            .because(excuse)
            .hint("use a model that follows instructions, or judge `--by containment` or `--by answer`")
            .into())
    }

    fn key(&self, request: &WriteRequest) -> String {
        let tokens = request.max_tokens.to_string();
        fingerprint([self.judge.identity.as_str(), request.prompt.as_str(), tokens.as_str()])
    }
}
