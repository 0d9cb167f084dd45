//! `zerosearch judge`

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};
use zerosearch::config::Purpose;
use zerosearch::judge::{By, JudgeModel, Order, judge};
use zerosearch::learners::Pool;
use zerosearch::problem::{printable, problem};
use zerosearch::stop::{Reason, Stop};

use super::flags::{PlanFlags, config, minutes};
use super::place::in_recipe;
use super::screen::say;

/// Mark collected documents useful or noisy, to tune a simulator on
///
/// Reads what `collect` and `eval` keep of conversations with an engine. Every search that brought documents becomes a
/// pair: question, golden answers, query, documents and a label. Repeated pairs are kept once, those of some questions are
/// held out for `sim eval`, and the label with more pairs is cut to the number of the other, drawn by run.seed. Broken
/// conversations, searches without documents and whatever cannot be judged are counted and shown.
///
/// The folder gets pairs.jsonl (for `zerosearch sft`), chat.jsonl (the same as chats, for other trainers), held-out.jsonl
/// and summary.json. [simulator], rollout.k and rollout.document_style say how chats ask; simulator.mode is `tuned`
/// unless set.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  zerosearch judge runs/collect --by containment --held-out 0.1 --out pairs
  zerosearch judge runs/collect --by both --held-out 0.1 --out pairs
  zerosearch judge runs/collect-nq runs/collect-hotpotqa --by answer --out pairs
  zerosearch judge runs/collect --by model --model Qwen/Qwen3-4B --out pairs --minutes 30
  zerosearch judge runs/collect --by model --set 'simulator.urls=[\"http://localhost:8000\"]' \\
      --set simulator.model_name=qwen --out pairs")]
pub(super) struct Judge {
    /// Folders with a rows.jsonl, or files of conversations (JSONL, also gzipped)
    #[arg(required = true, value_name = "FOLDER")]
    inputs: Vec<PathBuf>,
    /// What decides
    #[arg(long, value_enum, default_value_t = Judging::Containment)]
    by: Judging,
    /// With `--by answer` and `--by both`: the token F1 from which on an answer is right
    #[arg(long, value_name = "F1", value_parser = share, default_value = "1")]
    min_f1: f64,
    /// A pair for the useful and one for the noisy documents of a search, instead of one label for all of them
    #[arg(long)]
    per_document: bool,
    /// Keep all pairs, however many more there are with one label
    #[arg(long)]
    unbalanced: bool,
    /// Share of the questions whose pairs are held out
    #[arg(long, value_name = "SHARE", value_parser = share, default_value = "0")]
    held_out: f64,
    /// A config file for the simulator that is to be tuned
    #[arg(long, value_name = "RECIPE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    plan: PlanFlags,
    /// Folder of the pairs
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Stop after so many minutes; the same command goes on
    #[arg(long, value_name = "MINUTES", value_parser = minutes)]
    pub(super) minutes: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Judging {
    /// The conversation's answer: right, its documents are useful; wrong, noisy
    Answer,
    /// A golden answer stands in a document
    Containment,
    /// Useful as the answer says, whole searches; noisy are documents without a golden answer beside one with it
    Both,
    /// A language model, document by document: `--model`, or the servers of simulator.urls
    Model,
}

impl Judge {
    pub(super) async fn run(self, stop: &Stop) -> Result<Option<Reason>> {
        self.refuse_idle_flags()?;
        let plan = config(self.config.as_ref(), &self.plan.all())?.resolve(Purpose::Judge);
        let plan = plan.map_err(|complaint| in_recipe(self.config.as_deref(), complaint))?;
        let by = match self.by {
            Judging::Answer => By::Answer { min_f1: self.min_f1 as f32 },
            Judging::Containment => By::Containment,
            Judging::Both => By::Both { min_f1: self.min_f1 as f32 },
            Judging::Model => By::Model(JudgeModel::open(&plan, &Pool::new(&plan.model)).await?),
        };
        let order = Order {
            inputs: self.inputs,
            by,
            per_document: self.per_document,
            unbalanced: self.unbalanced,
            held_out: self.held_out,
        };
        match stop.or(judge(&order, &plan, &self.out)).await {
            Ok(summary) => say(printable(&summary?.table()).trim_end()),
            Err(reason) => {
                let folder = self.out.display();
                say(&format!(
                    "{reason}: the verdicts so far lie in {folder}\nhint: the same command goes on from there"
                ));
                return Ok(Some(reason));
            }
        }
        say(&format!("written to {}", self.out.display()));
        Ok(None)
    }

    /// What would do nothing is refused.
    fn refuse_idle_flags(&self) -> Result<()> {
        let refuse = |what: &str, hint: &str| Err(problem(what).hint(hint).into());
        if self.by != Judging::Model && self.plan.model.is_some() {
            return refuse(
                "a model judges only with `--by model`",
                "leave `--model` out, or add `--by model`",
            );
        }
        let asks_the_answer = matches!(self.by, Judging::Answer | Judging::Both);
        if !asks_the_answer && self.min_f1 != 1.0 {
            return refuse(
                "`--min-f1` is about answers",
                "leave it out, or add `--by answer` or `--by both`",
            );
        }
        if asks_the_answer && self.per_document {
            let hint = "leave `--per-document` out, or judge `--by containment` or `--by model`";
            return refuse("an answer says nothing about single documents", hint);
        }
        if self.held_out >= 1.0 {
            return refuse(
                "nothing would be left to learn from",
                "give `--held-out` a share below 1, such as 0.1",
            );
        }
        Ok(())
    }
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("give a number from 0 to 1".into()),
    }
}
