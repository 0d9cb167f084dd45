//! Conversion: transcripts of other programs become authored segments that look like our rollouts.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::rows::{content, numbered_lines};
use super::segments::{Segment, SegmentRow};
use super::{react, search_r1};
use crate::problem::problem;
use crate::rollout::{Author, INFORMATION_CLOSER, INFORMATION_OPENER};

/// Whose transcripts they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// Search-R1: rows with `question` and a `response` in think, search, information and answer tags.
    SearchR1,
    /// ReAct: chats of `Thought: ... Action: search[...]`, `Observation: ...` and `finish[...]`, as FireAct has them.
    React,
}

/// Which transcripts are kept, beyond those that have to be sound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Keep {
    /// Searches that a transcript must have at least.
    pub min_searches: usize,
    /// Token F1 that its answer must have at least, where golden answers are known.
    pub min_f1: f32,
}

/// What came of a conversion.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Converted {
    /// Transcripts written.
    pub kept: usize,
    /// Transcripts left out, by reason.
    pub dropped: BTreeMap<&'static str, usize>,
}

/// A transcript under conversion: the policy's turns and what it was shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Draft {
    pub(super) question: String,
    pub(super) segments: Vec<Segment>,
    pub(super) searches: usize,
    /// The answer's F1, where golden answers are known.
    pub(super) f1: Option<f32>,
}

impl Converted {
    /// Why transcripts were left out, in one line.
    pub fn reasons(&self) -> String {
        let reasons: Vec<String> =
            self.dropped.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        if reasons.is_empty() { "nothing".into() } else { reasons.join(", ") }
    }
}

impl Draft {
    /// The policy searched, and was shown `found`.
    pub(super) fn searched(&mut self, said: String, found: &str) {
        self.searches += 1;
        self.segments.push(Segment { author: Author::Policy, text: said });
        let text = format!("{INFORMATION_OPENER}{}{INFORMATION_CLOSER}", found.trim());
        self.segments.push(Segment { author: Author::Search, text });
    }

    /// The policy answered.
    pub(super) fn answered(&mut self, said: String) {
        self.segments.push(Segment { author: Author::Policy, text: said });
    }
}

/// Reads `files` and writes one row of segments for each transcript that is kept to `out`. The prompt is not written:
/// fine-tuning opens each row with the prompt that rollouts use.
pub fn convert(from: From, files: &[String], out: &Path, keep: Keep) -> Result<Converted> {
    let mut converted = Converted::default();
    let mut lines = Vec::new();
    for file in files {
        let bytes = content(Path::new(file))?;
        for (number, line) in numbered_lines(&bytes) {
            let place = || format!("{file}, line {number}, is not a transcript");
            let row: Value = serde_json::from_slice(line).with_context(place)?;
            let draft = match from {
                From::SearchR1 => search_r1::draft(&row),
                From::React => react::draft(&row),
            };
            let draft = match draft {
                Draw::Row(draft) => draft,
                Draw::Left(reason) => {
                    *converted.dropped.entry(reason).or_default() += 1;
                    continue;
                }
                Draw::Foreign(problem) => return Err(anyhow::Error::msg(problem).context(place())),
            };
            match refusal(&draft, keep) {
                Some(reason) => *converted.dropped.entry(reason).or_default() += 1,
                None => {
                    converted.kept += 1;
                    let row =
                        SegmentRow { question: Some(draft.question), segments: draft.segments, ends: true };
                    serde_json::to_writer(&mut lines, &row)?;
                    lines.write_all(b"\n")?;
                }
            }
        }
    }
    if converted.kept == 0 {
        return Err(problem(format!("none of the transcripts in {} can be kept", files.join(", ")))
            .hint(format!("left out: {}", converted.reasons()))
            .into());
    }
    crate::run::replace(out, &lines).with_context(|| format!("{} cannot be written", out.display()))?;
    Ok(converted)
}

/// What one row gave.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Draw {
    /// A sound transcript.
    Row(Draft),
    /// A transcript that must not be learned from, and why.
    Left(&'static str),
    /// No transcript at all: the file is of another kind.
    Foreign(String),
}

fn refusal(draft: &Draft, keep: Keep) -> Option<&'static str> {
    if draft.searches < keep.min_searches {
        return Some("too few searches");
    }
    draft.f1.filter(|f1| *f1 < keep.min_f1).map(|_| "wrong answer")
}
