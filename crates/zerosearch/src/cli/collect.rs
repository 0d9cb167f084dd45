//! `zerosearch collect`

use anyhow::Result;
use clap::Args;
use zerosearch::config::Purpose;
use zerosearch::eval::Summary;
use zerosearch::stop::{Reason, Stop};

use super::collection::CollectionFlags;
use super::screen::say;

/// Play questions with an engine and keep every query, its documents, the answer and its scores
///
/// Each question is played several times (--samples, 4 unless told otherwise) at a temperature (1). FOLDER/rows.jsonl
/// has one conversation on each line, FOLDER/summary.json what they were like; docs/run-folder.md describes both. The
/// same command again goes on where it was left; a folder of another plan, model, question file or corpus is refused.
///
/// Any policy plays: a local model, a checkpoint of a run, the model path `server` (an OpenAI-compatible server, named in
/// the section [server]), or `scripted`, a fixed policy that searches for the question and answers with the first words
/// it finds. Any engine answers; a question whose answer is in none of its
/// documents is played and counted. Questions that the model was trained on may be played.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  zerosearch collect --model SmolLM2.gguf --engine bm25 --corpus wiki.jsonl.gz --questions nq.jsonl --out collected/nq
  zerosearch collect --model runs/train/checkpoints/000030 --engine retrieve --set retrieve.urls='[\"http://localhost:8000\"]' \\
    --questions nq.jsonl --count 500 --samples 8 --minutes 30 --out collected/nq-e5")]
pub(super) struct Collect {
    #[command(flatten)]
    pub(super) flags: CollectionFlags,
}

impl Collect {
    pub(super) async fn run(self, stop: &Stop) -> Result<Option<Reason>> {
        self.flags.run(Purpose::Collect, stop, tell).await
    }
}

fn tell(summary: &Summary) {
    if summary.searches.with_documents == 0 {
        say(
            "note: no search was followed by documents; there is nothing in this collection to learn an engine from",
        );
    }
}
