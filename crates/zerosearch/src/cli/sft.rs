//! `zerosearch sft`

use anyhow::Result;
use clap::Args;
use zerosearch::config::{Purpose, Setting};
use zerosearch::learners::{self, Pool};
use zerosearch::sft::{Lesson, sft};
use zerosearch::stop::{Reason, Stop};

use super::flags::{RunFlags, texts};
use super::place::{Place, written};
use super::screen::say;

/// Fine-tune a model on transcripts, chats, instructions or pairs
///
/// Each line of a file is one row: {"segments": [{"author", "text"}]} (only what the author `policy` wrote is trained),
/// {"messages": [{"role", "content"}]}, {"instruction", "input", "output"}, {"tokens", "weights"}, or a pair of `zerosearch
/// judge`, which makes a simulator: it is asked as [simulator], rollout.k and rollout.document_style say (simulator.mode
/// is `tuned` unless set), and learns to write the documents.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  zerosearch sft configs/first-run/cold-start.toml --model SmolLM2.gguf --data fireact.jsonl
  zerosearch sft --model HuggingFaceTB/SmolLM2-135M-Instruct --data chats.jsonl --set sft.epochs=2
  zerosearch sft configs/simulator/web.toml --model Qwen/Qwen2.5-3B-Instruct --data pairs/pairs.jsonl
  zerosearch sft --resume runs/cold-start")]
pub(super) struct Sft {
    #[command(flatten)]
    pub(super) flags: RunFlags,
    /// A file to learn from (JSONL, also gzipped); may be repeated (sets sft.files)
    #[arg(long, value_name = "FILE")]
    data: Vec<String>,
}

impl Sft {
    pub(super) async fn run(mut self, stop: &Stop) -> Result<Option<Reason>> {
        if !self.data.is_empty() {
            self.flags.plan.settings.insert(0, Setting::of("sft", "files", texts(&self.data)));
        }
        let place = Place::find(&self.flags, written(&self.flags)?, "sft", Purpose::Sft)?;
        if self.flags.dry_run {
            say(place.plan.to_toml()?.trim_end());
            return Ok(None);
        }
        let pool = Pool::new(&place.plan.model);
        let longest = place.plan.sft.max_row_tokens.max(place.plan.rollout.max_context_tokens);
        let opened = learners::open(&place.plan, longest, &pool).await?;
        let mut run = place.open(opened.hashes.clone())?;
        let lesson = Lesson::open(place.plan.clone(), opened, &mut run).await;
        let lesson = run.noted(lesson)?;
        let outcome = sft(&lesson, &mut run, stop).await;
        let left = run.noted(outcome)?;
        lesson.progress.say(&place.farewell(&run, left));
        Ok(left)
    }
}
