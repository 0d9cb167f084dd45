//! The verbs of the program.

use anyhow::Result;
use clap::{Parser, Subcommand};
use zerosearch::stop::{Reason, Stop};

use super::{
    ask, bench, collect, compare, convert, doctor, eval, export, index, judge, quickstart, report, score,
    search, serve, sft, sim, train, world,
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
    /// See the whole method work in an invented world, in minutes, from nothing
    Quickstart(quickstart::Quickstart),
    /// Train a policy by reinforcement learning
    #[command(visible_alias = "rl")]
    Train(train::Train),
    /// Mark collected documents useful or noisy, to tune a simulator on
    Judge(judge::Judge),
    /// Fine-tune a model on transcripts, chats, instructions or pairs
    Sft(sft::Sft),
    /// Measure simulators, beside each other and beside the engine they stand for
    Sim(sim::Sim),
    /// Measure a policy on questions: EM, sub-EM and F1, with intervals
    Eval(eval::Eval),
    /// Set evaluations against each other in one table, question by question
    Compare(compare::Compare),
    /// Play questions with an engine and keep what was searched, found and answered
    Collect(collect::Collect),
    /// Ask a policy one question and watch it search
    Ask(ask::Ask),
    /// Make an index of a corpus, however large, for the engines bm25 and dense
    Index(index::Index),
    /// Search with a real engine, without a policy, and see how often an answer is found
    Search(search::Search),
    /// Offer an engine, or a policy, to other programs over HTTP
    Serve(serve::Serve),
    /// Write a page about runs: tables, curves, conversations to read
    Report(report::Report),
    /// Write the log-probabilities of given rows
    Score(score::Score),
    /// Write a model as a Hugging Face directory
    Export(export::Export),
    /// Turn transcripts of other programs into rows for `sft`
    Convert(convert::Convert),
    /// Write an invented world: documents, questions and a model to start from
    World(world::World),
    /// Measure training and sampling on this machine
    Bench(bench::Bench),
    /// Tell what this machine reaches and what a config needs
    Doctor(doctor::Doctor),
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
            | Verb::Doctor(_) => None,
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
        }
    }
}
