//! `zerosearch convert`

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};
use zerosearch::sft::{From, Keep, convert};
use zerosearch::stop::Reason;

use super::screen::say;

/// Turn transcripts of other programs into rows for `sft`
///
/// Each row holds the question and the policy's and the engine's segments, with the tags, spacing and documents of our
/// rollouts. The prompt is added when a model is fine-tuned, as rollouts add it.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  zerosearch convert --from react fireact.jsonl.gz --out segments.jsonl --min-searches 1
  zerosearch convert --from search-r1 responses.jsonl --out segments.jsonl --min-f1 1")]
pub(super) struct Convert {
    /// Whose transcripts they are
    #[arg(long, value_enum)]
    from: Format,
    /// Files of transcripts (JSONL, also gzipped)
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Leave out transcripts with fewer searches
    #[arg(long, value_name = "N", default_value_t = 0)]
    min_searches: usize,
    /// Leave out transcripts whose answer has a lower F1, where golden answers are given
    #[arg(long, value_name = "F1", default_value_t = 0.0)]
    min_f1: f32,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// Rows with `question` and `response`, in think, search, information and answer tags
    SearchR1,
    /// Chats of `Thought: ... Action: search[...]`, as FireAct has them; only rewarded episodes
    React,
}

impl Convert {
    pub(super) fn run(self) -> Result<Option<Reason>> {
        let from = match self.from {
            Format::SearchR1 => From::SearchR1,
            Format::React => From::React,
        };
        let keep = Keep { min_searches: self.min_searches, min_f1: self.min_f1 };
        let converted = convert(from, &self.files, &self.out, keep)?;
        say(&format!("{} transcripts written to {}", converted.kept, self.out.display()));
        for (reason, count) in &converted.dropped {
            say(&format!("{count} left out: {reason}"));
        }
        Ok(None)
    }
}
