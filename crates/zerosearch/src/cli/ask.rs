//! `zerosearch ask`

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use zerosearch::ask::{Table, outcome};
use zerosearch::config::{Purpose, Setting};
use zerosearch::eval::with_player;
use zerosearch::learners::{self, Pool};
use zerosearch::problem::printable;
use zerosearch::rollout::Moment;
use zerosearch::stop::{Reason, Stop};

use super::flags::{EngineFlags, PlanFlags, config};
use super::place::in_recipe;
use super::screen::say;

/// Ask a policy one question and watch it search
///
/// A simulated engine can only write useful documents for a question whose answer it is told (`--golden-answer`).
/// Without one it writes what a search that misses would bring. It is played by simulator.model or simulator.urls; for
/// a checkpoint of a run, without either, by the model that the run was trained with.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  zerosearch ask --model runs/train/checkpoints/000030 \"who wrote emma\" --golden-answer \"Jane Austen\"
  zerosearch ask --model SmolLM2.gguf --engine bm25 --corpus wiki.jsonl.gz \"who wrote emma\"
  zerosearch ask --model SmolLM2.gguf --engine none \"what is the capital of France\"")]
pub(super) struct Ask {
    /// The question
    question: String,
    /// A config file for the rollout and the simulator
    #[arg(long, value_name = "RECIPE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    plan: PlanFlags,
    #[command(flatten)]
    engine: EngineFlags,
    /// A right answer, for a simulated engine; may be repeated. The policy does not see it
    #[arg(long, value_name = "ANSWER")]
    golden_answer: Vec<String>,
}

impl Ask {
    pub(super) async fn run(self, stop: &Stop) -> Result<Option<Reason>> {
        let mut settings: Vec<Setting> = self.engine.all().collect();
        if self.golden_answer.is_empty() {
            settings.push(Setting::of("eval", "noise", 1.0));
        }
        settings.extend(self.plan.all());
        let plan = config(self.config.as_ref(), &settings)?.resolve(Purpose::Use);
        let plan = with_player(plan.map_err(|complaint| in_recipe(self.config.as_deref(), complaint))?)?;
        if self.golden_answer.is_empty() && plan.eval.engine.writes_to_order() {
            say("note: no --golden-answer is given, so the engine's documents do not hold the answer\n");
        }
        let pool = Pool::new(&plan.model);
        let voice = learners::open_player(&plan, &pool).await?;
        let table = Table::open(&plan, voice, &pool).await?;
        match stop.or(table.ask(&self.question, &self.golden_answer, &tell)).await {
            Ok(trajectory) => say(&printable(&outcome(&trajectory?.ending))),
            Err(reason) => return Ok(Some(reason)),
        }
        Ok(None)
    }
}

fn tell(moment: Moment<'_>) {
    match moment {
        Moment::Said(words) => say(&format!("{}\n", printable(words.trim()))),
        Moment::Searching(query) => say(&format!("searching: {}", printable(query))),
        Moment::Found(documents) => {
            for (index, document) in documents.iter().enumerate() {
                say(&format!(
                    "  {}. {} {}",
                    index + 1,
                    printable(&document.title),
                    printable(&document.text)
                ));
            }
            say("");
        }
        Moment::Noted(notes) => say(&format!("noted: {}\n", printable(notes))),
        Moment::Hinted => say("(no search and no answer: the policy is told how to do either)\n"),
    }
}
