//! `zerosearch eval`

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use zerosearch::compare::{Named, compare, evaluations_in};
use zerosearch::config::{EngineName, Plan, Purpose, Setting};
use zerosearch::engines::Engines;
use zerosearch::eval::{Collection, Method};
use zerosearch::learners::{self, Pool};
use zerosearch::problem::problem;
use zerosearch::stop::{Reason, Stop};

use super::collection::{CollectionFlags, play};
use super::compare::{Shown, show};
use super::screen::say;

/// Measure a policy on questions: EM, sub-EM and F1, with intervals
///
/// Decoding is greedy unless --samples and --temperature say otherwise, and no question is dropped: a conversation
/// that breaks counts as a wrong answer and is shown; with too many of them (rl.max_broken_share) the verb fails. The
/// same command again goes on where it was left, and asks the broken ones again.
///
/// A simulated engine is played by simulator.model or simulator.urls. Without either, a checkpoint of a run is measured
/// with the model that it was trained with: the run's simulator.model, or the weights that it started from.
///
/// Several methods and several engines are measured one after the other, each pair in a folder of its own below --out,
/// and set against the first in one table, as `compare` does, with whatever else was measured into --out before.
/// The methods are those of the paper's tables: direct (an answer at once), cot (thoughts, then an answer), rag (what a
/// search for the question finds is in the prompt), ra-agent (ReAct: thoughts and searches in turns, after an example),
/// search-o1 (the policy reads what each search finds apart, and goes on with its notes), r1 (as cot, for a policy that
/// was trained without an engine) and search (ZeroSearch and Search-R1, and the model before either). Each is a few keys
/// of the config; a TOML file with other keys is a method too.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  zerosearch eval --model runs/train/checkpoints/000030 --questions nq.jsonl --count 300 --out evals/after
  zerosearch eval --model SmolLM2.gguf --questions nq.jsonl --engine bm25 --corpus wiki.jsonl.gz --out evals/bm25
  zerosearch eval --model SmolLM2.gguf --questions nq.jsonl --questions popqa.jsonl --engine none --out evals/closed-book
  zerosearch eval --model SmolLM2.gguf --questions nq --questions hotpotqa --engine bm25 --index indexes/wiki --out evals/wiki
  zerosearch eval --model SmolLM2.gguf --questions mine=hf://datasets/ORG/NAME@v1/data/test.jsonl --engine none --out evals/mine
  zerosearch eval --model SmolLM2.gguf --questions nq.jsonl --method direct,cot,rag,search --engine bm25,retrieve \\
    --index indexes/wiki --set retrieve.urls='[\"http://localhost:8000\"]' --out evals/methods")]
pub(super) struct Eval {
    /// How the policy comes to its answers: direct, cot, rag, ra-agent, search-o1, r1, search or a TOML file; several with
    /// commas between them. What a method says wins over the config file and over other flags
    #[arg(long = "method", value_name = "METHOD", value_delimiter = ',')]
    methods: Vec<String>,
    #[command(flatten)]
    shown: Shown,
    #[command(flatten)]
    pub(super) flags: CollectionFlags,
}

/// One method with one engine.
struct Cell {
    name: String,
    folder: PathBuf,
    plan: Plan,
}

impl Eval {
    pub(super) async fn run(self, stop: &Stop) -> Result<Option<Reason>> {
        if self.methods.is_empty() && self.engines().len() < 2 {
            return self.flags.run(Purpose::Use, stop, |_| ()).await;
        }
        let cells = self.cells()?;
        if self.flags.dry_run {
            for cell in &cells {
                say(&format!("# {}\n{}", cell.folder.display(), cell.plan.to_toml()?.trim_end()));
            }
            return Ok(None);
        }
        let mut finished = Vec::new();
        for (cell, collection) in opened(cells).await? {
            say(&format!("{}:", cell.name));
            if let Err(reason) = play(collection, &cell.folder, stop).await? {
                return Ok(Some(reason));
            }
            say("");
            finished.push(Named { name: cell.name, folder: cell.folder });
        }
        finished.extend(others(&finished, &self.flags.out));
        show(&compare(&finished, &self.shown.wanted(None))?, Some(&self.flags.out))?;
        Ok(None)
    }

    /// Every method with every engine; one that leaves no choice of the engine, once.
    fn cells(&self) -> Result<Vec<Cell>> {
        let methods: Vec<Method> =
            self.methods.iter().map(|name| Method::named(name)).collect::<Result<_>>()?;
        let mut cells = Vec::new();
        for method in &methods {
            if method.decides_engine() || self.engines().is_empty() {
                cells.push(self.cell(method.name.clone(), method.settings.clone())?);
                continue;
            }
            for engine in self.engines() {
                let settings = [vec![engine_setting(engine)], method.settings.clone()].concat();
                cells.push(self.cell(format!("{}-{engine}", method.name), settings)?);
            }
        }
        for engine in self.engines().into_iter().filter(|_| methods.is_empty()) {
            cells.push(self.cell(engine.to_owned(), vec![engine_setting(engine)])?);
        }
        refuse_twins(&cells)?;
        Ok(cells)
    }

    fn cell(&self, name: String, settings: Vec<Setting>) -> Result<Cell> {
        let plan =
            self.flags.plan(Purpose::Use, &settings).with_context(|| format!("{name} cannot be measured"))?;
        Ok(Cell { folder: self.flags.out.join(&name), name, plan })
    }

    fn engines(&self) -> Vec<&str> {
        self.flags.engine.engine.iter().flat_map(|engines| engines.split(',')).map(str::trim).collect()
    }
}

/// The policy and each engine are opened once, and every collection before the first question is asked: what cannot be
/// measured is refused before anything else is. Methods decide nothing of what engines are made of, so those of one plan are
/// those of all; of a plan with a simulator, because only there its player is named.
async fn opened(cells: Vec<Cell>) -> Result<Vec<(Cell, Collection)>> {
    let Some(longest) = cells.iter().max_by_key(|cell| cell.plan.rollout.max_context_tokens) else {
        return Ok(Vec::new());
    };
    let pool = Pool::new(&longest.plan.model);
    let voice = learners::open_player(&longest.plan, &pool).await?;
    let plans: Vec<Plan> = cells.iter().map(|cell| cell.plan.clone()).collect();
    let simulated = plans.iter().find(|plan| plan.eval.engine == EngineName::Simulated);
    let mut engines = Engines::new(simulated.unwrap_or(&plans[0]), &pool, None, None);
    let mut opened = Vec::new();
    for cell in cells {
        let collection =
            Collection::open(cell.plan.clone(), Purpose::Use, voice.clone(), &mut engines, &cell.folder)
                .await;
        let collection = collection.with_context(|| format!("{} cannot be measured", cell.name))?;
        opened.push((cell, collection));
    }
    Ok(opened)
}

/// What was measured into `folder` before, so that its table has all that lies there.
fn others(measured: &[Named], folder: &Path) -> Vec<Named> {
    let is_other = |path: &PathBuf| !measured.iter().any(|it| it.folder == *path);
    let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let found = evaluations_in(folder).into_iter().filter(is_other);
    found.map(|folder| Named { name: name(&folder), folder }).collect()
}

fn engine_setting(engine: &str) -> Setting {
    Setting::of("eval", "engine", engine)
}

fn refuse_twins(cells: &[Cell]) -> Result<()> {
    let twin = |(at, cell): (usize, &Cell)| {
        cells[..at].iter().any(|other| other.name == cell.name).then(|| cell.name.clone())
    };
    match cells.iter().enumerate().find_map(twin) {
        Some(name) => Err(problem(format!("{name} is to be measured twice"))
            .hint(
                "name every method and every engine once; a method file goes by its name without the ending",
            )
            .into()),
        None => Ok(()),
    }
}
