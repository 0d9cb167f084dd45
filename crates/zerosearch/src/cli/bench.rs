//! `zerosearch bench`

use std::num::NonZeroUsize;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use zerosearch::bench::{self, Answering, Play, Reading, Sampling};
use zerosearch::problem::problem;
use zerosearch::stop::{Reason, Stop};
use zerosearch_learner::Objective;
use zerosearch_learner::seed::Seed;

use super::screen::say;

mod flags;
mod load;

use flags::{Common, Telling, Which};
use load::LoadFlags;

/// Measure training, sampling and conversations on this machine
///
/// Figures are medians over `--repeats` rounds after one that does not count, with rows that are random and never the same
/// twice. Nothing else should run meanwhile.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  zerosearch bench train
  zerosearch bench train --rollouts --json
  zerosearch bench train --rank 16
  zerosearch bench sample --rows 64 --prompt 64 --tokens 64
  zerosearch bench sample --model SmolLM2.gguf --rows 1
  zerosearch bench pair --shape qwen2.5-1.5b --rank 16 --rows 4
  zerosearch bench prefill --rows 64 --tokens 512 --shared 150
  zerosearch bench matmul
  zerosearch bench grpo --turns 3
  zerosearch bench grpo --turns 2,8
  zerosearch bench orchestration
  zerosearch bench load --url http://localhost:8000 --clients 500")]
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
    /// each (the prefill) and once for all; decoding is the difference of the medians, for all tokens but the first. For
    /// one row, share_of_read_bandwidth is the bytes of the weights times the decoded tokens per second over the best of ten
    /// readings of 1 GiB of memory.
    Sample(Sample),
    /// Policy and simulator that sample at once: two adapters over one model beside two models
    ///
    /// Both ways alternate. `--rows` is of each of the two, `--rank` that of the adapters.
    Pair(Sample),
    /// Reading rows that begin alike, one new token each
    Prefill(Prefill),
    /// Matrix products: a linear layer's forward, and the gradients of its weights and of its input
    ///
    /// gflops counts laying out activations for the kernels; weights are laid out once, which with_weights_gflops counts each
    /// time. peak_gflops is what multiplications and additions in registers reach.
    Matmul(Matmul),
    /// One whole step of GRPO: conversations, gradients, AdamW, packing of the new weights
    ///
    /// Every turn is exactly as long as asked, and documents come at once from an engine that makes them up. times_first is
    /// the seconds of a trajectory over those with the first number of `--turns`, the median of the rounds' ratios.
    Grpo(Grpo),
    /// Conversations against a server that answers every call after the same time
    ///
    /// The policy answers at once; the server is this program, started again as a process of its own. ideal_seconds is what
    /// the calls take with all slots of the server full; share_of_ideal is that over the seconds taken, connecting included.
    Orchestration(Orchestration),
    /// Many clients at once against a search server that is running: what is lost, and how long answers take
    ///
    /// Every client asks again as soon as it is answered.
    Load(LoadFlags),
    /// The server of `orchestration`; ends with its standard input
    #[command(hide = true)]
    StubServer(StubServer),
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
    which: Which,
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
    which: Which,
    #[command(flatten)]
    common: Common,
}

#[derive(Args, Debug)]
struct Prefill {
    /// Rows at once
    #[arg(long, value_name = "N", default_value = "64")]
    rows: NonZeroUsize,
    /// Tokens of each row
    #[arg(long, value_name = "N", default_value = "512")]
    tokens: NonZeroUsize,
    /// Tokens that all rows begin with
    #[arg(long, value_name = "N", default_value_t = 150)]
    shared: usize,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    common: Common,
}

#[derive(Args, Debug)]
struct Matmul {
    /// Rows x inner x outer width, such as 1024x576x1536; may be repeated [default: four typical ones]
    #[arg(long = "size", value_name = "SIZE", value_parser = size)]
    sizes: Vec<[usize; 3]>,
    #[command(flatten)]
    common: Common,
}

#[derive(Args, Debug)]
struct Grpo {
    /// Questions
    #[arg(long, value_name = "N", default_value = "4")]
    questions: NonZeroUsize,
    /// Conversations about each
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(2..))]
    group: u32,
    /// Tokens of each prompt
    #[arg(long, value_name = "N", default_value = "64")]
    prompt: NonZeroUsize,
    /// Turns of each conversation; several, such as 2,8, are measured by turns and compared with the first
    #[arg(long, value_name = "N", default_value = "1", value_delimiter = ',')]
    turns: Vec<NonZeroUsize>,
    /// Tokens of each turn
    #[arg(long, value_name = "N", default_value = "64")]
    tokens: NonZeroUsize,
    /// Tokens of documents between two turns
    #[arg(long, value_name = "N", default_value = "100")]
    documents: NonZeroUsize,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    common: Common,
}

#[derive(Args, Debug)]
struct Orchestration {
    /// Conversations
    #[arg(long, value_name = "N", default_value = "1000")]
    rollouts: NonZeroUsize,
    /// Searches of each conversation
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=64))]
    searches: u32,
    #[command(flatten)]
    server: StubServer,
    #[command(flatten)]
    telling: Telling,
}

/// How the server answers.
#[derive(Args, Debug)]
struct StubServer {
    /// Milliseconds from the moment that a call has a slot to its answer
    #[arg(long, value_name = "N", default_value_t = 200)]
    latency_ms: u64,
    /// Calls that the server answers at once; twice as many are under way
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..=16_384))]
    slots: u16,
}

impl Bench {
    pub(super) async fn run(self, stop: &Stop) -> Result<Option<Reason>> {
        let work = async {
            match self.what {
                What::Train(it) => it.run().await,
                What::Sample(it) => it.run().await,
                What::Pair(it) => it.run_pair().await,
                What::Prefill(it) => it.run().await,
                What::Matmul(it) => it.run(),
                What::Grpo(it) => it.run().await,
                What::Orchestration(it) => it.run().await,
                What::Load(it) => it.run().await,
                What::StubServer(it) => it.run().await,
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
        let choice = self.which.choice(&self.common);
        let subject = choice.learner(if self.rollouts { 700 } else { tokens })?;
        let (rows, vocabulary) = (self.rows.map(NonZeroUsize::get), subject.config.vocabulary);
        let repeats = self.common.repeats();
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
        let sampling = self.sampling();
        let subject = self.which.choice(&self.common).policy(sampling.prompt + sampling.tokens)?;
        self.common.tell(&bench::sample(&subject, sampling).await?)
    }

    async fn run_pair(self) -> Result<()> {
        let sampling = self.sampling();
        let choice = self.which.choice(&self.common);
        if choice.rank == 0 {
            return Err(problem("the adapters have no rank").hint("give one, such as `--rank 16`").into());
        }
        let subject = choice.pairs(sampling.prompt + sampling.tokens)?;
        self.common.tell(&bench::pair(&subject, sampling).await?)
    }

    fn sampling(&self) -> Sampling {
        Sampling {
            rows: self.rows.get(),
            prompt: self.prompt.get(),
            tokens: self.tokens as usize,
            repeats: self.common.repeats(),
        }
    }
}

impl Prefill {
    async fn run(self) -> Result<()> {
        let (rows, tokens, repeats) = (self.rows.get(), self.tokens.get(), self.common.repeats());
        let shared = self.shared.min(tokens - 1);
        let subject = self.which.choice(&self.common).policy(tokens + 1)?;
        let reading = Reading { rows, tokens, shared, repeats };
        self.common.tell(&bench::prefill(&subject, reading).await?)
    }
}

impl Matmul {
    fn run(self) -> Result<()> {
        let sizes = if self.sizes.is_empty() { &bench::SIZES[..] } else { &self.sizes };
        let figures = bench::matmul(self.common.computing(), sizes, self.common.repeats());
        if self.common.telling.json {
            return figures.iter().try_for_each(|figures| self.common.tell(figures));
        }
        self.common.tell(&serde_json::json!({ "products": figures }))
    }
}

impl Grpo {
    async fn run(self) -> Result<()> {
        let play = |turns: &NonZeroUsize| Play {
            questions: self.questions.get(),
            group: self.group as usize,
            prompt: self.prompt.get(),
            turns: turns.get(),
            tokens: self.tokens.get(),
            documents: self.documents.get(),
        };
        let plays: Vec<Play> = self.turns.iter().map(play).collect();
        let longest = plays.iter().map(Play::length).max().unwrap_or(0);
        let subject = self.which.choice(&self.common).learner(longest)?;
        let figures = bench::grpo(&subject, &plays, self.common.repeats()).await?;
        figures.iter().try_for_each(|figures| self.common.tell(figures))
    }
}

impl Orchestration {
    async fn run(self) -> Result<()> {
        let orchestration = bench::Orchestration {
            rollouts: self.rollouts.get(),
            searches: self.searches as usize,
            answering: self.server.answering(),
            repeats: self.telling.repeats.get(),
            program: std::env::current_exe().context("where this program lies is not known")?,
        };
        self.telling.tell(&bench::orchestration(&orchestration).await?)
    }
}

impl StubServer {
    fn answering(&self) -> Answering {
        Answering { latency: Duration::from_millis(self.latency_ms), slots: self.slots.into() }
    }

    async fn run(self) -> Result<()> {
        bench::serve_stub(self.answering(), |address| say(&format!("http://{address}"))).await
    }
}

/// `1024x576x1536`
fn size(text: &str) -> Result<[usize; 3], String> {
    let numbers: Option<Vec<usize>> =
        text.split('x').map(|number| number.parse().ok().filter(|number| *number > 0)).collect();
    let numbers = numbers.and_then(|numbers| numbers.try_into().ok());
    numbers.ok_or_else(|| "give rows x inner x outer width, such as 1024x576x1536".into())
}
