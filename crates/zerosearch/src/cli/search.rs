//! `zerosearch search`

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use zerosearch::config::{Plan, Purpose, Setting};
use zerosearch::problem::printable;
use zerosearch::retrieval::{Earlier, Retrieval, questions, write};
use zerosearch::stop::{Reason, Stop};
use zerosearch::train::check_questions;

use super::flags::{EngineFlags, config, texts};
use super::place::in_recipe;
use super::screen::say;

/// Search with a real engine, without a policy: for a query, or for every question of a file
///
/// Questions are asked as they stand. Shown is how often one of the first documents holds a golden answer, with a 95 %
/// interval from 2,000 seeded resamples of the questions, and how long a search takes.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  zerosearch search \"who wrote emma\" --engine bm25 --index indexes/wiki
  zerosearch search --questions nq.jsonl --engine bm25 --index indexes/wiki --k 10 --out found.jsonl
  zerosearch search --questions nq.jsonl --engine dense --dense-index indexes/dense --encoder MODEL \\
      --set dense.search=approximate --k 10 --against exact.jsonl")]
pub(super) struct Search {
    /// The query
    #[arg(value_name = "QUERY", required_unless_present = "questions", conflicts_with = "questions")]
    query: Option<String>,
    /// Questions, `[NAME=]PLACE[@SPLIT]`; may be repeated (sets eval.questions). A place is a file (JSONL, also gzipped,
    /// or Parquet), `hf://datasets/ORG/NAME[@REVISION][/PATH]` on the Hugging Face hub, or one of the paper's sets: nq,
    /// triviaqa, popqa, hotpotqa, 2wikimultihopqa, musique, bamboogle
    #[arg(long, value_name = "PLACE")]
    questions: Vec<String>,
    /// A config file for the engine
    #[arg(long, value_name = "RECIPE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    engine: EngineFlags,
    /// Documents for each query (sets rollout.k)
    #[arg(long, value_name = "N")]
    k: Option<u32>,
    /// Ask only so many questions of each data set, drawn by the seed (sets eval.count)
    #[arg(long, value_name = "N", conflicts_with = "query")]
    count: Option<u32>,
    /// Searches at once; times are those of one search alone only with 1
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: u16,
    /// An earlier `--out` of the same questions: shows the share of its documents that are found again, which is the
    /// recall where the earlier search was exact
    #[arg(long, value_name = "FILE", requires = "questions", conflicts_with = "query")]
    against: Option<PathBuf>,
    /// The file to write: a line for each question, with its documents
    #[arg(long, value_name = "FILE", requires = "questions", conflicts_with = "query")]
    out: Option<PathBuf>,
    /// Set a key of the config, for example `--set retrieve.timeout_s=5`; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<Setting>,
}

impl Search {
    pub(super) async fn run(self, stop: &Stop) -> Result<Option<Reason>> {
        let plan = config(self.config.as_ref(), &self.all())?.resolve(Purpose::Simulate);
        let plan = plan.map_err(|complaint| in_recipe(self.config.as_deref(), complaint))?;
        match stop.or(self.search(&plan)).await {
            Ok(searched) => searched.map(|()| None),
            Err(reason) => {
                say(&format!("{reason}: nothing is written"));
                Ok(Some(reason))
            }
        }
    }

    async fn search(&self, plan: &Plan) -> Result<()> {
        check_questions(&plan.eval.questions)?;
        if let Some(query) = &self.query {
            let found = Retrieval::open(plan).await?.find(query).await?;
            for (place, document) in (1..).zip(&found) {
                let score =
                    document.provenance.score.map_or(String::new(), |score| format!("  ({score:.3})"));
                let (title, text) = (printable(&document.title), printable(&document.text));
                say(&format!("{place}. {title}{score}\n   {text}"));
            }
            if found.is_empty() {
                say("nothing is found");
            }
            return Ok(());
        }
        let questions = questions(plan)?;
        let questions = questions.questions();
        let earlier = self.against.as_deref().map(|path| Earlier::read(path, questions)).transpose()?;
        let retrieval = Retrieval::open(plan).await?;
        let findings = retrieval.ask(questions, self.concurrency.into()).await?;
        if let Some(path) = &self.out {
            write(&findings, path)?;
        }
        say(retrieval.summarize(&findings, earlier.as_ref()).table().trim_end());
        Ok(())
    }

    fn all(&self) -> Vec<Setting> {
        let mut settings: Vec<Setting> = self.engine.all().collect();
        if !self.questions.is_empty() {
            settings.push(Setting::of("eval", "questions", texts(&self.questions)));
        }
        settings.extend(self.k.map(|k| Setting::of("rollout", "k", k)));
        settings.extend(self.count.map(|count| Setting::of("eval", "count", count)));
        settings.extend(self.settings.iter().cloned());
        settings
    }
}
