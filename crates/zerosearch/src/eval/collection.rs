//! A collection: conversations about questions in a folder of their own, which can be left and taken up again.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use tokio::sync::Notify;
use zerosearch_learner::seed::Seed;

use super::{RecipeRecord, Summary, summarize};
use crate::config::{ConfigFile, EngineName, Plan, Purpose};
use crate::engines::Engines;
use crate::learners::{Voice, simulator_hashes};
use crate::problem::problem;
use crate::progress::Progress;
use crate::qa::Question;
use crate::rollout::{Ending, Group, Rollout, Seat, Trajectory, play_seats, seats};
use crate::run::{
    Directory, Hashes, Lock, TrajectoryLine, append_line, holds_more, is_leftover, lines, read_json, replace,
};
use crate::train::{Stage, collection_hashes, questions_of, refuse_trained};

/// Conversations that are kept as they end: an evaluation, or what a simulator learns from.
pub struct Collection {
    rollout: Rollout,
    stage: Stage,
    questions: Vec<Arc<Question>>,
    /// What was played, by the question's id and the member. Broken conversations are not in it: they are tried again.
    played: HashMap<(String, usize), Trajectory>,
    broken: Vec<Trajectory>,
    folder: PathBuf,
    recipe: RecipeRecord,
    seed: Seed,
    max_broken_share: f64,
    unusable: usize,
    _lock: Lock,
}

impl Collection {
    /// Opens what `plan` names ([`with_player`](super::with_player) has named the simulator), its engine among `engines`,
    /// and takes up what `folder` holds from an earlier time. For [`Purpose::Use`] no question may be one that the model was trained on.
    ///
    /// # Errors
    /// When `folder` holds the conversations of another plan, model or file, or another process writes there.
    pub async fn open(
        plan: Plan,
        purpose: Purpose,
        voice: Voice,
        engines: &mut Engines<'_>,
        folder: &Path,
    ) -> Result<Self> {
        if plan.eval.questions.is_empty() {
            return Err(problem("no questions are named").hint("give `--questions FILE`").into());
        }
        let seed = Seed::run(plan.run.seed);
        let mut questions = questions_of(&plan.eval.questions, plan.questions.skip_unusable)?;
        if plan.eval.count > 0 {
            questions = questions.sample(plan.eval.count, seed.purpose("eval questions"));
        }
        if purpose == Purpose::Use {
            refuse_trained(&plan, questions.questions())?;
        }
        let Voice { policy, text, hashes: mut models, .. } = voice;
        if plan.eval.engine == EngineName::Simulated {
            models.extend(simulator_hashes(&plan).await?);
        }
        let desk = engines.open(plan.eval.engine).await?;
        let stage = Stage::for_evaluation(&plan, text, desk)?;
        let rollout = stage.rollout(policy, 1, seed.purpose("eval"))?;
        rollout.check(questions.questions().iter().map(|question| &**question))?;
        let recipe = RecipeRecord::of(&plan, &stage, questions.questions());
        let lock = claim(folder, &plan, &collection_hashes(&plan, questions.files(), models)?)?;
        let mut collection = Self {
            rollout,
            stage,
            questions: questions.questions().to_vec(),
            played: HashMap::new(),
            broken: Vec::new(),
            folder: folder.to_owned(),
            recipe,
            seed,
            max_broken_share: plan.rl.max_broken_share,
            unusable: questions.skipped(),
            _lock: lock,
        };
        collection.take_up()?;
        Ok(collection)
    }

    /// Has every conversation that is still to be had. Each is kept at once; when this is abandoned, none is lost.
    ///
    /// # Errors
    /// When one cannot be kept: nothing more is played then.
    pub async fn play(&mut self) -> Result<()> {
        let all = self.seats().len();
        let open: Vec<Seat> =
            self.seats().into_iter().filter(|seat| !self.played.contains_key(&key_of(seat))).collect();
        let path = self.rows();
        let progress = Progress::new(all as u64, self.played.len() as u64);
        let done = AtomicUsize::new(self.played.len());
        let failure: Mutex<Option<std::io::Error>> = Mutex::new(None);
        let failed = Notify::new();
        let watch = |trajectory: &Trajectory| {
            if let Err(error) = append_line(&path, &self.stage.line(trajectory, 0)) {
                *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                failed.notify_one();
            }
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            progress.counted("conversations", done as u64, all as u64);
        };
        let concurrency = self.stage.crowd.concurrency;
        let played = tokio::select! {
            biased;
            () = failed.notified() => Vec::new(),
            played = play_seats(&self.rollout, open, concurrency, &watch) => played,
        };
        if let Some(error) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            let what = format!("{} cannot be written", path.display());
            return Err(problem(what)
                .because(error)
                .hint("make room and give the same command again: what was played is kept")
                .into());
        }
        self.keep(played);
        Ok(())
    }

    /// Writes the rows in the order of questions and members, and what they show.
    pub fn finish(&self) -> Result<Summary> {
        let broken: HashMap<(String, usize), &Trajectory> =
            self.broken.iter().map(|row| ((row.question.id.clone(), row.member), row)).collect();
        let row = |seat: &Seat| {
            let key = key_of(seat);
            self.played.get(&key).or_else(|| broken.get(&key).copied()).cloned()
        };
        let mut groups: Vec<Group> = Vec::new();
        for seat in self.seats() {
            let Some(trajectory) = row(&seat) else { continue };
            match groups.last_mut().filter(|group| group.question.id == seat.question.id) {
                Some(group) => group.trajectories.push(trajectory),
                None => groups.push(Group { question: seat.question, trajectories: vec![trajectory] }),
            }
        }
        self.write(self.stage.lines(&groups, 0))?;
        let cache = self.stage.desk.cache_use();
        let summary = summarize(&groups, self.seed.purpose("bootstrap"));
        let summary = Summary { unusable: self.unusable, cache, ..summary }.of_recipe(&self.recipe);
        replace(&self.folder.join("summary.json"), &serde_json::to_vec_pretty(&summary)?)
            .with_context(|| format!("the results in {} cannot be written", self.folder.display()))?;
        Ok(summary)
    }

    /// Refuses a result in which more than `rl.max_broken_share` of the conversations is broken.
    pub fn refuse_broken(&self, summary: &Summary) -> Result<()> {
        if summary.is_sound(self.max_broken_share) {
            return Ok(());
        }
        let reason = self.broken.iter().find_map(|row| match &row.ending {
            Ending::Broken(reason) => Some(reason.clone()),
            _ => None,
        });
        let share = self.max_broken_share;
        Err(problem(format!(
            "{} of {} conversations are broken, more than rl.max_broken_share = {share} allows: this is no result",
            summary.broken, summary.conversations
        ))
        .because(reason.unwrap_or_default())
        .hint("mend the cause and give the same command again: it asks the broken ones again")
        .into())
    }

    fn seats(&self) -> Vec<Seat> {
        seats(&self.questions, self.stage.crowd.group_size)
    }

    /// Reads what was played before. A torn last line would otherwise run into the next one, and broken conversations
    /// are to be had again.
    fn take_up(&mut self) -> Result<()> {
        let before = RecipeRecord::read(&self.folder)?;
        let mut kept: Vec<TrajectoryLine> = lines(&self.rows())?;
        kept.retain(|line| line.trajectory.ending.teaches());
        self.write(kept.iter())?;
        self.keep(kept.into_iter().map(|line| line.trajectory));
        if !self.played.is_empty() {
            self.recipe = self.recipe.clone().after(before);
        }
        self.recipe.write(&self.folder)
    }

    fn keep(&mut self, trajectories: impl IntoIterator<Item = Trajectory>) {
        for trajectory in trajectories {
            match trajectory.ending {
                Ending::Broken(_) => self.broken.push(trajectory),
                _ => {
                    drop(self.played.insert((trajectory.question.id.clone(), trajectory.member), trajectory))
                }
            }
        }
    }

    fn write<T: serde::Serialize>(&self, rows: impl Iterator<Item = T>) -> Result<()> {
        let mut bytes = Vec::new();
        for row in rows {
            serde_json::to_writer(&mut bytes, &row)?;
            bytes.push(b'\n');
        }
        replace(&self.rows(), &bytes).with_context(|| format!("{} cannot be written", self.rows().display()))
    }

    fn rows(&self) -> PathBuf {
        self.folder.join("rows.jsonl")
    }
}

fn key_of(seat: &Seat) -> (String, usize) {
    (seat.question.id.clone(), seat.member)
}

/// Makes `folder`, or finds in it that the same plan was begun there; holds it for this process.
fn claim(folder: &Path, plan: &Plan, hashes: &Hashes) -> Result<Lock> {
    let (config, made_from) = (folder.join("config.toml"), folder.join("hashes.json"));
    let failed = || format!("the folder {} cannot be used", folder.display());
    let is_nothing = |path: &Path| is_leftover(path) || path.ends_with("hashes.json");
    if !config.exists() && holds_more(folder, is_nothing) {
        let what = format!("the folder {} holds something else", folder.display());
        return Err(problem(what).hint("name an empty one with `--out FOLDER`").into());
    }
    std::fs::create_dir_all(folder).with_context(failed)?;
    let lock = Lock::take(&Directory::at(folder))?;
    if !config.exists() {
        replace(&made_from, &serde_json::to_vec_pretty(hashes)?).with_context(failed)?;
        replace(&config, plan.to_toml()?.as_bytes()).with_context(failed)?;
        return Ok(lock);
    }
    let before = ConfigFile::read(&config, &[])?.resolve(Purpose::Use)?;
    let differs = crate::run::changes(&before, plan)?;
    let same_files = read_json::<Hashes>(&made_from)?.agree(hashes);
    let what = match differs.first() {
        None if same_files => return Ok(lock),
        None => "another model, question file, corpus or template".to_owned(),
        Some(first) => format!("{} = {}, not {}", first.key, first.recorded, first.asked),
    };
    Err(problem(format!("the answers in {} were given with {what}", folder.display()))
        .hint("name another folder with `--out FOLDER`")
        .into())
}
