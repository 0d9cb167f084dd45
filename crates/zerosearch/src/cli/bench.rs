//! `zerosearch bench`

use std::num::NonZeroUsize;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;
use zerosearch::bench::{self, Choice, Sampling};
use zerosearch::stop::{Reason, Stop};
use zerosearch_learner::Objective;
use zerosearch_learner::seed::Seed;
use zerosearch_local::Arithmetic;

use super::screen::say;

/// Measure training and sampling on this machine
///
/// Figures are medians over `--repeats` rounds after one that does not count, with rows that are random and never the same
/// twice. Nothing else should run meanwhile.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  zerosearch bench train
  zerosearch bench train --rollouts --json
  zerosearch bench sample --rows 64 --prompt 64 --tokens 64
  zerosearch bench sample --model SmolLM2.gguf --rows 1")]
pub(super) struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// One step: forward, backward, AdamW, packing of the new weights
    ///
    /// tokens_per_second counts all of it, and every token of the rows. packing_seconds is the share of laying the new
    /// weights out for the kernels; laying out activations is part of gradient_seconds.
    Train(Train),
    /// New tokens of many rows at once
    ///
    /// tokens_per_second includes the prompts. Each round samples its prompts twice with an empty cache, once for one token
    /// each (the prefill) and once for all; decoding is the difference of the medians, for all tokens but the first.
    Sample(Sample),
}

/// What is measured, how often, and how it is told.
#[derive(Args, Debug)]
struct Common {
    /// A model to measure instead of random weights: a Hugging Face directory, a .gguf file or a hub id
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// The shape of the random weights: smollm2-135m or tiny
    #[arg(long, value_name = "SHAPE", default_value = "smollm2-135m", conflicts_with = "model")]
    shape: String,
    /// The numbers to compute in
    #[arg(long, value_name = "DTYPE", default_value = "bf16")]
    dtype: Numbers,
    /// Threads that compute [default: one for each core]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    threads: usize,
    /// Rounds, of which the median is told
    #[arg(long, value_name = "N", default_value = "5")]
    repeats: NonZeroUsize,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Numbers {
    Bf16,
    F32,
}

#[derive(Args, Debug)]
struct Train {
    /// Rows of one step [default: 4, or 64 with --rollouts]
    #[arg(long, value_name = "N")]
    rows: Option<NonZeroUsize>,
    /// Tokens of each row, all trained
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(2..))]
    tokens: u32,
    /// Conversations instead: groups of 8 rows that share a prompt of 150 tokens, 200 to 700 tokens long, 35 % of
    /// them the policy's in three turns, with the clipped surrogate as the loss
    #[arg(long, conflicts_with = "tokens")]
    rollouts: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Args, Debug)]
struct Sample {
    /// Rows at once
    #[arg(long, value_name = "N", default_value = "64")]
    rows: NonZeroUsize,
    /// Tokens of each prompt
    #[arg(long, value_name = "N", default_value = "64")]
    prompt: NonZeroUsize,
    /// New tokens of each row
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(2..))]
    tokens: u32,
    #[command(flatten)]
    common: Common,
}

impl Bench {
    pub(super) async fn run(self, stop: &Stop) -> Result<Option<Reason>> {
        let work = async {
            match self.what {
                What::Train(it) => it.run().await,
                What::Sample(it) => it.run().await,
            }
        };
        match stop.or(work).await {
            Ok(measured) => measured.map(|()| None),
            Err(reason) => Ok(Some(reason)),
        }
    }
}

impl Train {
    async fn run(self) -> Result<()> {
        let tokens = self.tokens as usize;
        let subject = self.common.choice().open(if self.rollouts { 700 } else { tokens })?;
        let (rows, vocabulary) = (self.rows.map(NonZeroUsize::get), subject.config.vocabulary);
        let repeats = self.common.repeats.get();
        let seed = |round| Seed::run(1).index(round);
        let figures = if self.rollouts {
            let batch = |round| bench::rollouts(seed(round), rows.unwrap_or(64), vocabulary);
            bench::train(&subject, Objective::ClippedSurrogate { low: 0.2, high: 0.2 }, repeats, batch).await
        } else {
            let batch = |round| bench::lessons(seed(round), rows.unwrap_or(4), tokens, vocabulary);
            bench::train(&subject, Objective::CrossEntropy, repeats, batch).await
        };
        self.common.tell(&figures?)
    }
}

impl Sample {
    async fn run(self) -> Result<()> {
        let sampling = Sampling {
            rows: self.rows.get(),
            prompt: self.prompt.get(),
            tokens: self.tokens as usize,
            repeats: self.common.repeats.get(),
        };
        let subject = self.common.choice().open(sampling.prompt + sampling.tokens)?;
        self.common.tell(&bench::sample(&subject, sampling).await?)
    }
}

impl Common {
    fn choice(&self) -> Choice {
        Choice {
            model: self.model.clone(),
            shape: self.shape.clone(),
            threads: self.threads,
            arithmetic: match self.dtype {
                Numbers::Bf16 => Arithmetic::Bf16,
                Numbers::F32 => Arithmetic::F32,
            },
        }
    }

    fn tell(&self, figures: &impl Serialize) -> Result<()> {
        let figures = serde_json::to_value(figures)?;
        say(&if self.json { figures.to_string() } else { bench::table(&figures) });
        Ok(())
    }
}
