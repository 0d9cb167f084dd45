//! The verbs of the program.

use anyhow::Result;
use clap::{Parser, Subcommand};
use zerosearch::stop::{Reason, Stop};

use super::{
    ask, bench, collect, compare, convert, doctor, eval, export, index, judge, plan, quickstart, report,
    score, search, serve, sft, sim, train, world,
};

/// Teaches a language model to answer questions by searching, with a simulated search engine in the training loop.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, subcommand_required = true, arg_required_else_help = true)]
#[command(after_help = "\
Examples:
  zerosearch quickstart
  zerosearch train configs/tiny.toml
  zerosearch train configs/first-run/train.toml --model runs/cold-start/checkpoints/000100
  zerosearch eval --model HuggingFaceTB/SmolLM2-135M-Instruct --questions nq.jsonl --count 300 --out evals/nq

`zerosearch VERB --help` tells more about each verb. docs/configuration.md lists every key of a config file.")]
pub(crate) struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Quickstart(quickstart::Quickstart),
    #[command(visible_alias = "rl")]
    Train(train::Train),
    Judge(judge::Judge),
    Sft(sft::Sft),
    Sim(sim::Sim),
    Eval(eval::Eval),
    Compare(compare::Compare),
    Collect(collect::Collect),
    Ask(ask::Ask),
    Index(index::Index),
    Search(search::Search),
    Serve(serve::Serve),
    Report(report::Report),
    Score(score::Score),
    Export(export::Export),
    Convert(convert::Convert),
    World(world::World),
    Bench(bench::Bench),
    Doctor(doctor::Doctor),
    Plan(plan::Plan),
}

impl Cli {
    /// How long the verb may take.
    pub(crate) fn minutes(&self) -> Option<f64> {
        match &self.verb {
            Verb::Quickstart(it) => it.minutes,
            Verb::Train(it) => it.flags.minutes,
            Verb::Judge(it) => it.minutes,
            Verb::Sft(it) => it.flags.minutes,
            Verb::Sim(it) => it.minutes(),
            Verb::Eval(it) => it.flags.minutes,
            Verb::Collect(it) => it.flags.minutes,
            Verb::Index(it) => it.minutes,
            Verb::Score(it) => it.minutes,
            Verb::Ask(_)
            | Verb::Compare(_)
            | Verb::Search(_)
            | Verb::Serve(_)
            | Verb::Report(_)
            | Verb::Export(_)
            | Verb::Convert(_)
            | Verb::World(_)
            | Verb::Bench(_)
            | Verb::Doctor(_)
            | Verb::Plan(_) => None,
        }
    }

    /// Runs the verb. Says why it was left before its end.
    pub(crate) async fn run(self, stop: &Stop) -> Result<Option<Reason>> {
        match self.verb {
            Verb::Quickstart(it) => it.run(stop).await,
            Verb::Train(it) => it.run(stop).await,
            Verb::Judge(it) => it.run(stop).await,
            Verb::Sft(it) => it.run(stop).await,
            Verb::Sim(it) => it.run(stop).await,
            Verb::Eval(it) => it.run(stop).await,
            Verb::Compare(it) => it.run(),
            Verb::Collect(it) => it.run(stop).await,
            Verb::Ask(it) => it.run(stop).await,
            Verb::Index(it) => it.run(stop).await,
            Verb::Search(it) => it.run(stop).await,
            Verb::Serve(it) => it.run(stop).await,
            Verb::Report(it) => it.run(),
            Verb::Score(it) => it.run(stop).await,
            Verb::Export(it) => it.run().await,
            Verb::Convert(it) => it.run(),
            Verb::World(it) => it.run(),
            Verb::Bench(it) => it.run(stop).await,
            Verb::Doctor(it) => it.run().await,
            Verb::Plan(it) => it.run().await,
        }
    }
}
