//! `zerosearch sim`

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use zerosearch::config::{Purpose, Setting};
use zerosearch::learners::Pool;
use zerosearch::problem::{printable, problem};
use zerosearch::simulator::{Candidate, Comparison, Contest, Gate, Terms, WrittenCandidate};
use zerosearch::stop::{Reason, Stop};

use super::flags::{config, minutes};
use super::place::in_recipe;
use super::screen::say;

/// Measure simulators, beside each other and beside the engine they stand for
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  zerosearch sim eval --pairs pairs/held-out.jsonl --simulator tuned=runs/simulator/checkpoints/001000,mode=tuned --out evals/sim")]
pub(super) struct Sim {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// How good are simulators, on queries that they were not tuned on?
    ///
    /// Every query of the pairs is asked twice of each simulator: for useful and for noisy documents, as many as rollout.k.
    /// The first column of the table is the engine that the pairs are from. Intervals are 95 %, from 2,000 seeded bootstrap
    /// resamples of the queries. The same command again goes on where it was left, and asks broken calls again; simulators
    /// may be added. The folder gets rows.jsonl, summary.json and samples.md, a page to read.
    #[command(after_help = "\
Examples:
  zerosearch sim eval --pairs pairs/held-out.jsonl --count 200 --out evals/sim \\
      --simulator prompted=Qwen/Qwen2.5-3B-Instruct \\
      --simulator tuned=runs/simulator/checkpoints/001000,mode=tuned
  zerosearch sim eval --pairs pairs/held-out.jsonl --out evals/sim --require useful=0.8,noisy=0.1 \\
      --simulator served=http://localhost:8000,model_name=sim-14b,mode=tuned")]
    Eval(Eval),
}

#[derive(Args, Debug)]
struct Eval {
    /// Pairs of `zerosearch judge`, such as held-out.jsonl
    #[arg(long, value_name = "FILE")]
    pairs: PathBuf,
    /// A simulator: a model, http://HOST:PORT or `scripted`, with keys of [simulator] behind it; may be repeated
    #[arg(long = "simulator", required = true, value_name = "NAME=PATH[,key=value]...")]
    simulators: Vec<WrittenCandidate>,
    /// Ask only so many of the pairs' queries, drawn by the seed
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    count: usize,
    /// Fail unless every simulator meets these bounds: useful, last_hop, separation, relevance (at least), noisy,
    /// format_errors (at most)
    #[arg(long, value_name = "KEY=BOUND,...")]
    require: Option<Gate>,
    /// A config file for all simulators
    #[arg(long, value_name = "RECIPE")]
    config: Option<PathBuf>,
    /// Set a key of the config for all simulators; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<Setting>,
    /// Folder of the results
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Stop after so many minutes; the same command goes on
    #[arg(long, value_name = "MINUTES", value_parser = minutes)]
    minutes: Option<f64>,
}

impl Sim {
    pub(super) fn minutes(&self) -> Option<f64> {
        let What::Eval(eval) = &self.what;
        eval.minutes
    }

    pub(super) async fn run(self, stop: &Stop) -> Result<Option<Reason>> {
        let What::Eval(eval) = self.what;
        eval.run(stop).await
    }
}

impl Eval {
    async fn run(self, stop: &Stop) -> Result<Option<Reason>> {
        let candidates = self.simulators.iter().map(|written| self.candidate(written));
        let candidates: Vec<Candidate> = candidates.collect::<Result<_>>()?;
        let Some(plan) = candidates.first().map(|candidate| candidate.plan.clone()) else { return Ok(None) };
        let terms = Terms {
            pairs: self.pairs.clone(),
            count: self.count,
            k: plan.rollout.k,
            seed: plan.run.seed,
            max_broken_share: plan.rl.max_broken_share,
        };
        let mut contest = Contest::open(terms, candidates, &self.out).await?;
        let pool = Pool::new(&plan.model);
        match stop.or(contest.hold(&pool)).await {
            Ok(held) => held?,
            Err(reason) => {
                let folder = self.out.display();
                say(&format!(
                    "{reason}: the calls so far lie in {folder}\nhint: the same command goes on from there"
                ));
                return Ok(Some(reason));
            }
        }
        let comparison = contest.finish()?;
        say(printable(&comparison.table()).trim_end());
        say(&format!("samples to read are in {}", self.out.join("samples.md").display()));
        contest.refuse_broken()?;
        self.refuse_weak(&comparison)?;
        Ok(None)
    }

    fn candidate(&self, written: &WrittenCandidate) -> Result<Candidate> {
        let settings: Vec<Setting> = self.settings.iter().chain(&written.settings).cloned().collect();
        let plan = config(self.config.as_ref(), &settings)?.resolve(Purpose::Simulate);
        let plan = plan.map_err(|complaint| in_recipe(self.config.as_deref(), complaint));
        let plan =
            plan.map_err(|error| error.context(format!("the simulator {} cannot be used", written.name)))?;
        Ok(Candidate { name: written.name.clone(), plan })
    }

    fn refuse_weak(&self, comparison: &Comparison) -> Result<()> {
        let Some(gate) = &self.require else { return Ok(()) };
        let misses = comparison.simulators.iter().flat_map(|entry| {
            gate.misses(&entry.figures).into_iter().map(|miss| format!("{}: {miss}", entry.name))
        });
        let misses: Vec<String> = misses.collect();
        if misses.is_empty() {
            return Ok(());
        }
        Err(problem("not every simulator meets what is required")
            .because(misses.join("; "))
            .hint("do not train against it yet: tune it longer or on more pairs, or take a larger model")
            .into())
    }
}
