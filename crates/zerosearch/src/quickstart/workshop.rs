//! The workshop: each stage carried out by the functions behind the verbs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::Stage;
use super::recipe::{Asked, Recipe};
use super::rows::{Rows, tokens_of_run};
use crate::config::{Plan, Purpose, Setting};
use crate::engines::Engines;
use crate::eval::{Collection, Interval, Summary};
use crate::judge::{By, Order, judge};
use crate::learners::{self, Pool};
use crate::micro::write_world;
use crate::problem::problem;
use crate::run::{Checkpoints, Directory, Run};
use crate::sft::{Lesson, sft};
use crate::simulator::{Candidate, Comparison, Contest, Gate, Terms};
use crate::stop::{Reason, Stop};
use crate::train::{Course, hashes, train};

/// The share of questions whose pairs the simulator is measured on.
const HELD_OUT: f64 = 0.1;
/// Queries that it is measured on at most.
const MEASURED: usize = 300;
/// What it must be like to be trained against.
const REQUIRED: &str = "last_hop=0.6,noisy=0.2";

/// Everything that stages need.
pub(super) struct Workshop<'a> {
    pub(super) recipe: Recipe<'a>,
    pub(super) world_seed: u64,
    pub(super) is_gated: bool,
    pub(super) stop: &'a Stop,
}

/// What came of a stage.
pub(super) enum Outcome {
    /// It is done: the tokens that it took, and what it found, in words.
    Done(u64, String),
    /// It was left.
    Left(Reason),
}

impl Workshop<'_> {
    /// Carries `stage` out, or goes on with it.
    pub(super) async fn carry_out(&self, stage: Stage) -> Result<Outcome> {
        let folder = self.recipe.folder.join(stage.folder());
        match stage {
            Stage::World => {
                write_world(self.world_seed, &folder)?;
                Ok(Outcome::Done(0, "3,930 documents, 400 evaluation questions, a base model".into()))
            }
            Stage::Before => self.ask(&self.base(), &Asked::ALL, &folder).await,
            Stage::Collect => self.collect(&folder).await,
            Stage::Judge => self.judge(&folder).await,
            Stage::Simulator => self.tune(&folder).await,
            Stage::Measure => self.measure(&folder).await,
            Stage::Train => self.train(Vec::new(), &folder).await,
            Stage::After => self.ask(&self.end_of(Stage::Train)?, &Asked::ALL, &folder).await,
        }
    }

    /// The model that everything starts from.
    pub(super) fn base(&self) -> PathBuf {
        self.recipe.of(Stage::World, "base")
    }

    /// Asks `model` the evaluation questions in each of the ways `asked`; a folder below `folder` for each.
    pub(super) async fn ask(&self, model: &Path, asked: &[Asked], folder: &Path) -> Result<Outcome> {
        let (mut tokens, mut found) = (0, Vec::new());
        for asked in asked {
            let folder = folder.join(asked.folder());
            let plan = self.recipe.ask(model, *asked)?;
            let Some(summary) = self.play(plan, Purpose::Use, &folder).await? else { return Ok(self.left()) };
            tokens += Rows::of(&folder)?.tokens;
            let em = summary.all.em;
            found.push(format!("{} {:.3} ({:.3} to {:.3})", asked.folder(), em.mean, em.low, em.high));
        }
        Ok(Outcome::Done(tokens, format!("exact match {}", found.join(", "))))
    }

    async fn collect(&self, folder: &Path) -> Result<Outcome> {
        let plan = self.recipe.collect()?;
        let Some(summary) = self.play(plan, Purpose::Collect, folder).await? else { return Ok(self.left()) };
        let found = format!(
            "{} conversations, {} searches with documents",
            summary.conversations, summary.searches.with_documents
        );
        Ok(Outcome::Done(Rows::of(folder)?.tokens, found))
    }

    /// Nothing where it was left.
    async fn play(&self, plan: Plan, purpose: Purpose, folder: &Path) -> Result<Option<Summary>> {
        let pool = Pool::new(&plan.model);
        let voice = learners::open_player(&plan, &pool).await?;
        let mut engines = Engines::new(&plan, &pool, None, None);
        let mut collection = Collection::open(plan.clone(), purpose, voice, &mut engines, folder).await?;
        match self.stop.or(collection.play()).await {
            Ok(played) => played?,
            Err(_) => return Ok(None),
        }
        let summary = collection.finish()?;
        collection.refuse_broken(&summary)?;
        Ok(Some(summary))
    }

    async fn judge(&self, folder: &Path) -> Result<Outcome> {
        let order = Order {
            inputs: vec![self.recipe.folder.join(Stage::Collect.folder())],
            by: By::Both { min_f1: 1.0 },
            per_document: false,
            unbalanced: false,
            held_out: HELD_OUT,
        };
        let summary = judge(&order, &self.recipe.judge()?, folder).await?;
        let (pairs, held_out) = (summary.pairs, summary.held_out);
        let found = format!(
            "{} useful and {} noisy pairs, {} held out",
            pairs.useful,
            pairs.noisy,
            held_out.useful + held_out.noisy
        );
        Ok(Outcome::Done(0, found))
    }

    async fn tune(&self, folder: &Path) -> Result<Outcome> {
        let plan = self.recipe.tune()?;
        let pool = Pool::new(&plan.model);
        let longest = plan.sft.max_row_tokens.max(plan.rollout.max_context_tokens);
        let opened = learners::open(&plan, longest, &pool).await?;
        let mut run = begun(folder, "sft", &plan, opened.hashes.clone())?;
        let lesson = Lesson::open(plan, opened, &mut run).await;
        let lesson = run.noted(lesson)?;
        let ended = sft(&lesson, &mut run, self.stop).await;
        outcome(run.noted(ended)?, &run)
    }

    async fn measure(&self, folder: &Path) -> Result<Outcome> {
        let tuned = self.recipe.measure(&self.end_of(Stage::Simulator)?)?;
        let (prompted, untuned) = (self.recipe.prompted(&self.base())?, self.recipe.measure(&self.base())?);
        let plan = tuned.clone();
        let pool = Pool::new(&plan.model);
        let terms = Terms {
            pairs: self.recipe.of(Stage::Judge, "held-out.jsonl"),
            count: MEASURED,
            k: plan.rollout.k,
            seed: plan.run.seed,
            max_broken_share: plan.rl.max_broken_share,
        };
        let named = [("tuned", tuned), ("prompted", prompted), ("untuned", untuned)];
        let candidates = named.map(|(name, plan)| Candidate { name: name.into(), plan }).into();
        let mut contest = Contest::open(terms, candidates, folder).await?;
        match self.stop.or(contest.hold(&pool)).await {
            Ok(held) => held?,
            Err(reason) => return Ok(Outcome::Left(reason)),
        }
        let comparison = contest.finish()?;
        contest.refuse_broken()?;
        if self.is_gated {
            refuse_weak(&comparison, folder)?;
        }
        Ok(Outcome::Done(0, told(&comparison)))
    }

    /// Trains the base model against the tuned simulator, with `changes` to the recipe.
    pub(super) async fn train(&self, changes: Vec<Setting>, folder: &Path) -> Result<Outcome> {
        let plan = self.recipe.train(&self.end_of(Stage::Simulator)?, changes)?;
        let pool = Pool::new(&plan.model);
        let context = learners::conversation(&plan);
        let opened = learners::open(&plan, context, &pool).await?;
        let mut models = opened.hashes.clone();
        models.extend(learners::simulator_hashes(&plan).await?);
        let mut run = begun(folder, "train", &plan, models)?;
        let course = Course::open(plan, opened, &pool, &mut run).await;
        let course = run.noted(course)?;
        let ended = train(&course, &mut run, self.stop).await;
        outcome(run.noted(ended)?, &run)
    }

    fn end_of(&self, stage: Stage) -> Result<PathBuf> {
        end_of(&self.recipe.folder.join(stage.folder()))
    }

    fn left(&self) -> Outcome {
        Outcome::Left(self.stop.reason().unwrap_or(Reason::Interrupted))
    }
}

/// The model that the run in `folder` ended with.
pub(super) fn end_of(folder: &Path) -> Result<PathBuf> {
    let checkpoints = Checkpoints::open(&Directory::at(folder), 1)?;
    let last = checkpoints.last().with_context(|| format!("{} holds no checkpoint", folder.display()))?;
    Ok(checkpoints.folder(last))
}

/// A run of `verb` in `folder`, new or taken up.
fn begun(folder: &Path, verb: &str, plan: &Plan, models: BTreeMap<String, String>) -> Result<Run> {
    let hashes = hashes(plan, models)?;
    if Directory::at(folder).record().is_file() {
        return Run::resume(folder, verb, plan, &hashes);
    }
    Run::create(folder, verb, plan, hashes)
}

fn outcome(left: Option<Reason>, run: &Run) -> Result<Outcome> {
    match left {
        Some(reason) => Ok(Outcome::Left(reason)),
        None => Ok(Outcome::Done(tokens_of_run(run.directory())?, format!("{} steps", run.done()))),
    }
}

/// What the tuned simulator is like, in words.
fn told(comparison: &Comparison) -> String {
    let words = |interval: Option<Interval>| interval.map_or("-".into(), |it| it.words());
    let tuned = comparison.simulators.first().map(|entry| &entry.figures);
    let (last_hop, noisy) = (words(tuned.and_then(|it| it.last_hop)), words(tuned.and_then(|it| it.noisy)));
    format!("a golden answer in {last_hop} of last useful calls, in {noisy} of noisy ones")
}

/// Refuses to go on with a tuned simulator that is too weak to train against.
fn refuse_weak(comparison: &Comparison, folder: &Path) -> Result<()> {
    let gate: Gate = REQUIRED.parse().map_err(|error: String| problem(error))?;
    let tuned = comparison.simulators.first();
    let misses = tuned.map_or_else(|| vec!["none was measured".into()], |entry| gate.misses(&entry.figures));
    if misses.is_empty() {
        return Ok(());
    }
    let samples = folder.join("samples.md");
    Err(problem(format!("the simulator is too weak to train against: {}", misses.join("; ")))
        .hint(format!(
            "{} shows what it writes; another `--seed` with another `--out` tunes another",
            samples.display()
        ))
        .into())
}
