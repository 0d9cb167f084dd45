//! `zerosearch eval`

use anyhow::Result;
use clap::Args;
use zerosearch::config::Purpose;
use zerosearch::stop::{Reason, Stop};

use super::collection::CollectionFlags;

/// Measure a policy on questions: EM, sub-EM and F1, with intervals
///
/// Decoding is greedy unless --samples and --temperature say otherwise, and no question is dropped: a conversation
/// that breaks counts as a wrong answer and is shown; with too many of them (rl.max_broken_share) the verb fails. The
/// same command again goes on where it was left, and asks the broken ones again.
///
/// A simulated engine is played by simulator.model or simulator.urls. Without either, a checkpoint of a run is measured
/// with the model that it was trained with: the run's simulator.model, or the weights that it started from.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  zerosearch eval --model runs/train/checkpoints/000030 --questions nq.jsonl --count 300 --out evals/after
  zerosearch eval --model SmolLM2.gguf --questions nq.jsonl --engine bm25 --corpus wiki.jsonl.gz --out evals/bm25
  zerosearch eval --model SmolLM2.gguf --questions nq.jsonl --questions popqa.jsonl --engine none --out evals/closed-book")]
pub(super) struct Eval {
    #[command(flatten)]
    pub(super) flags: CollectionFlags,
}

impl Eval {
    pub(super) async fn run(self, stop: &Stop) -> Result<Option<Reason>> {
        self.flags.run(Purpose::Use, stop, |_| ()).await
    }
}
