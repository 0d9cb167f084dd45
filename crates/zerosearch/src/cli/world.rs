//! `zerosearch world`

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use zerosearch::micro::{write_pretraining, write_world};
use zerosearch::problem::problem;
use zerosearch::stop::Reason;

use super::screen::say;

/// Write an invented world: documents, questions and a model to start from
///
/// People, cities, countries, companies and books with invented names, a short true document for each fact, and questions
/// that need one or two facts. The evaluation questions are about entities that no training question or training document
/// is about, so that only reading can answer them. The folder gets corpus.jsonl (all documents), corpus-train.jsonl,
/// train.jsonl, eval.jsonl, tokenizer/ and base/, a model of 2 MB to start from; the same seed gives the same bytes.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  zerosearch world --seed 7 --out worlds/7
  zerosearch world --out worlds/pretraining --pretraining 400 --rows 1200")]
pub(super) struct World {
    /// Draws the world and its questions
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    seed: u64,
    /// The folder to write; it must be new or empty
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Write pretraining.jsonl too: rows for `sft` from so many other worlds, which contradict each other. A model trained
    /// on them knows the format, is a good reader, and is bad at searching; docs/micro-world.md tells how bad
    #[arg(long, value_name = "WORLDS", default_value_t = 0)]
    pretraining: u64,
    /// Rows of each such world
    #[arg(long, value_name = "N", default_value_t = 1200)]
    rows: usize,
}

impl World {
    pub(super) fn run(self) -> Result<Option<Reason>> {
        if std::fs::read_dir(&self.out).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(problem(format!("the folder {} is not empty", self.out.display()))
                .hint("name another with `--out`")
                .into());
        }
        write_world(self.seed, &self.out)?;
        if self.pretraining > 0 {
            write_pretraining(self.pretraining, self.rows, &self.out)?;
        }
        say(&format!("world {} written to {}", self.seed, self.out.display()));
        Ok(None)
    }
}
