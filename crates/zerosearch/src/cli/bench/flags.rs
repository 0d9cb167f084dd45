//! Flags that the measurements share.

use std::num::NonZeroUsize;

use anyhow::Result;
use clap::{Args, ValueEnum};
use serde::Serialize;
use zerosearch::bench::{self, Choice, Computing};
use zerosearch_local::Arithmetic;

use super::super::screen::say;

/// What is measured.
#[derive(Args, Debug)]
pub(super) struct Which {
    /// A model to measure instead of random weights: a Hugging Face directory, a .gguf file or a hub id
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// The shape of the random weights: tiny, smollm2-135m, qwen2.5-0.5b, qwen3-0.6b, qwen2.5-1.5b or llama-3.2-3b
    #[arg(long, value_name = "SHAPE", default_value = "smollm2-135m", conflicts_with = "model")]
    shape: String,
    /// With a new LoRA adapter of this rank over all linear layers, which trains in place of the model; 0 for none
    #[arg(long, value_name = "RANK", default_value_t = 0, hide_default_value = true)]
    rank: usize,
}

/// How it computes, and how it is told.
#[derive(Args, Debug)]
pub(super) struct Common {
    /// The numbers to compute in
    #[arg(long, value_name = "DTYPE", default_value = "bf16")]
    dtype: Numbers,
    /// Threads that compute [default: one for each core]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    threads: usize,
    #[command(flatten)]
    pub(super) telling: Telling,
}

/// How often it is measured, and how that is told.
#[derive(Args, Debug)]
pub(super) struct Telling {
    /// Rounds, of which the median is told
    #[arg(long, value_name = "N", default_value = "5")]
    pub(super) repeats: NonZeroUsize,
    /// Print one line of JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Numbers {
    Bf16,
    F32,
}

impl Which {
    pub(super) fn choice(self, common: &Common) -> Choice {
        let Self { model, shape, rank } = self;
        Choice { model, shape, rank, computing: common.computing() }
    }
}

impl Common {
    pub(super) fn computing(&self) -> Computing {
        let arithmetic = match self.dtype {
            Numbers::Bf16 => Arithmetic::Bf16,
            Numbers::F32 => Arithmetic::F32,
        };
        Computing { threads: self.threads, arithmetic }
    }

    pub(super) fn repeats(&self) -> usize {
        self.telling.repeats.get()
    }

    pub(super) fn tell(&self, figures: &impl Serialize) -> Result<()> {
        self.telling.tell(figures)
    }
}

impl Telling {
    pub(super) fn tell(&self, figures: &impl Serialize) -> Result<()> {
        let figures = serde_json::to_value(figures)?;
        say(&if self.json { figures.to_string() } else { bench::table(&figures) });
        Ok(())
    }
}
