//! A run: the open folder of a training, and what is written to it as the training goes on.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use serde::Serialize;
use zerosearch_learner::Learner;

use super::claim::{holds_more, is_leftover};
use super::durable::{clear, json_line, replace};
use super::lock::Lock;
use super::read::{numbers, read_json};
use super::record::{Hashes, LeftOut, RunRecord, State, VERSION};
use super::resume::{changes, cut_back};
use super::{Checkpoints, Directory, Row, append_line};
use crate::config::{ConfigFile, Plan, Purpose};
use crate::problem::problem;

/// One training's folder, held by this process.
#[derive(Debug)]
pub struct Run {
    directory: Directory,
    record: RunRecord,
    checkpoints: Checkpoints,
    done: u64,
    /// Whether what lies behind the last checkpoint is still there.
    uncut: bool,
    /// The step whose evaluation is still to come.
    unfinished: Option<Row>,
    _lock: Lock,
}

impl Run {
    /// Makes the folder `root` and writes down what is about to be run.
    ///
    /// # Errors
    /// When `root` holds anything already, but for a run that never did a step: nothing is deleted to make room.
    pub fn create(root: &Path, verb: &str, plan: &Plan, hashes: Hashes) -> Result<Self> {
        let directory = Directory::at(root);
        if is_used(root) {
            return Err(problem(format!("the folder {} is not empty", root.display()))
                .hint(format!(
                    "name another with `--run FOLDER`, or go on with `--resume {}`",
                    root.display()
                ))
                .into());
        }
        let failed = || format!("the run folder {} cannot be made", root.display());
        for folder in [directory.all_trajectories(), directory.checkpoints(), directory.evals()] {
            std::fs::create_dir_all(folder).with_context(failed)?;
        }
        let lock = Lock::take(&directory)?;
        // Those of a first step that was never done, perhaps under another plan.
        clear(&directory.replies()).with_context(failed)?;
        replace(&directory.config(), plan.to_toml()?.as_bytes()).with_context(failed)?;
        let checkpoints = Checkpoints::open(&directory, plan.run.keep)?;
        let record = first_record(verb, plan.run.seed, hashes);
        let run =
            Self { directory, record, checkpoints, done: 0, uncut: false, unfinished: None, _lock: lock };
        run.write_record()?;
        Ok(run)
    }

    /// Opens the run in `root` where its last checkpoint stands. Nothing in it changes before [`Run::take_up`].
    ///
    /// # Errors
    /// When `plan` differs in a key that the run's numbers depend on, a file that it was made from has changed,
    /// or another process is writing it.
    pub fn resume(root: &Path, verb: &str, plan: &Plan, hashes: &Hashes) -> Result<Self> {
        let directory = Directory::at(root);
        if !directory.record().is_file() {
            return Err(problem(format!("there is no run in {}", root.display()))
                .hint("`--resume FOLDER` takes a folder with a config.toml and a run.json")
                .into());
        }
        let mut record: RunRecord = read_json(&directory.record())?;
        let recorded = Self::plan_of(root)?;
        refuse_other_run(root, verb, &record, hashes)?;
        refuse_other_plan(root, &recorded, plan)?;
        let lock = Lock::take(&directory)?;
        let checkpoints = Checkpoints::open(&directory, plan.run.keep)?;
        let done = checkpoints.last().map_or(0, |line| line.step);
        if record.program != env!("CARGO_PKG_VERSION") {
            tracing::warn!(
                "the run was begun with version {}, this is {}",
                record.program,
                env!("CARGO_PKG_VERSION")
            );
        }
        record.resumed += 1;
        record.state = State::Running;
        record.reason = None;
        Ok(Self { directory, record, checkpoints, done, uncut: true, unfinished: None, _lock: lock })
    }

    /// Begins to write a resumed run: whatever was written after its last checkpoint is cut off. Called when everything
    /// is opened and checked, so that a refused resume leaves the folder as it was. A new run has nothing to cut.
    pub fn take_up(&mut self) -> Result<()> {
        if !self.uncut {
            return Ok(());
        }
        cut_back(&self.directory, &mut self.checkpoints, self.done)?;
        self.unfinished = self.find_unfinished()?;
        self.uncut = false;
        self.write_record()
    }

    /// The plan that the run in `root` was started with.
    pub fn plan_of(root: &Path) -> Result<Plan> {
        let path = Directory::at(root).config();
        let file = ConfigFile::read(&path, &[])?;
        file.resolve(Purpose::Use).with_context(|| format!("{} cannot be used", path.display()))
    }

    /// The folder of the run that `model` is a checkpoint of, where it is one.
    pub fn of_checkpoint(model: &str) -> Option<PathBuf> {
        let root = Path::new(model).parent()?.parent()?;
        let directory = Directory::at(root);
        (directory.config().is_file() && directory.record().is_file()).then(|| root.to_owned())
    }

    /// Where the run's files are.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// What it was made from.
    pub fn hashes(&self) -> &Hashes {
        &self.record.hashes
    }

    /// Steps that are done.
    pub fn done(&self) -> u64 {
        self.done
    }

    /// The run's checkpoints.
    pub fn checkpoints(&self) -> &Checkpoints {
        &self.checkpoints
    }

    /// Brings `learner` to where the run stands and notes its numeric path.
    ///
    /// # Errors
    /// When the run was begun on another numeric path: its numbers could not be the same.
    pub async fn bring_up(&mut self, learner: &dyn Learner) -> Result<()> {
        let path = learner.capabilities().numeric_path;
        if self.record.numeric_path.is_empty() {
            self.record.numeric_path = path;
            self.write_record()?;
        } else if self.record.numeric_path != path {
            return Err(problem(format!(
                "the run was begun on the numeric path {}, this machine would go on with {path}",
                self.record.numeric_path
            ))
            .hint("resume it on a machine of the same kind and with the same build, or begin a new run from its checkpoint")
            .into());
        }
        if let Some(line) = self.checkpoints.last() {
            let folder = self.checkpoints.folder(line);
            learner
                .load(&folder)
                .await
                .with_context(|| format!("the checkpoint {} cannot be used", folder.display()))?;
        }
        Ok(())
    }

    /// Writes down that a step is done.
    pub fn record(&mut self, row: &Row) -> Result<()> {
        let path = self.directory.metrics();
        append_line(&path, row).with_context(|| format!("{} cannot be written", path.display()))?;
        self.done = row.step();
        if self.unfinished.take().is_some() {
            let path = self.directory.unfinished();
            std::fs::remove_file(&path).with_context(|| format!("{} cannot be deleted", path.display()))?;
        }
        Ok(())
    }

    /// Saves a step that is done but for its evaluation, to which `row` is to be added. The step is recorded when the
    /// run is resumed and the evaluation made ([`Run::unfinished`]).
    pub async fn put_off(&mut self, learner: &dyn Learner, row: &Row) -> Result<()> {
        let path = self.directory.unfinished();
        replace(&path, &serde_json::to_vec(row)?)
            .with_context(|| format!("{} cannot be written", path.display()))?;
        self.done = row.step();
        self.save(learner, None).await
    }

    /// What is known of the last step, where its evaluation is still to be made and the step to be recorded.
    pub fn unfinished(&self) -> Option<&Row> {
        self.unfinished.as_ref()
    }

    /// The row that was put off, unless the step was not saved after that, or was recorded.
    fn find_unfinished(&self) -> Result<Option<Row>> {
        let path = self.directory.unfinished();
        if !path.is_file() {
            return Ok(None);
        }
        let row: Row = read_json(&path)?;
        let recorded = numbers(&self.directory.metrics(), "step")?.last().map_or(0, |(step, _)| *step);
        if row.step() == self.done && recorded < self.done {
            return Ok(Some(row));
        }
        std::fs::remove_file(&path).with_context(|| format!("{} cannot be deleted", path.display()))?;
        Ok(None)
    }

    /// Writes one line for each of `rows` to the file at `path`, whole or not at all.
    pub fn write_rows<T: Serialize>(&self, path: &Path, rows: impl Iterator<Item = T>) -> Result<()> {
        let mut bytes = Vec::new();
        for row in rows {
            bytes.extend(json_line(&row)?);
        }
        replace(path, &bytes).with_context(|| format!("{} cannot be written", path.display()))
    }

    /// Saves the learner as it is after the steps that are done. `score` is what an evaluation found at this step.
    pub async fn save(&mut self, learner: &dyn Learner, score: Option<f64>) -> Result<()> {
        self.checkpoints.save(learner, self.done, score).await
    }

    /// Notes how the simulator that the run tunes is asked.
    pub fn note_manner(&mut self, manner: serde_json::Value) -> Result<()> {
        self.record.manner = Some(manner);
        self.write_record()
    }

    /// Notes the questions that are not asked. They are written with the record's next change.
    pub fn leave_out(&mut self, left_out: LeftOut) {
        self.record.left_out = left_out;
    }

    /// Notes in the record that the run failed, where `outcome` is a failure, and hands it on.
    pub fn noted<T>(&mut self, outcome: Result<T>) -> Result<T> {
        outcome.map_err(|error| match self.stand(State::Failed, Some(format!("{error:#}"))) {
            Ok(()) => error,
            Err(also) => error.context(format!("the run failed, and run.json could not say so ({also:#})")),
        })
    }

    /// Writes down how the run stands. A resume that was refused leaves the record as it was.
    pub fn stand(&mut self, state: State, reason: Option<String>) -> Result<()> {
        if self.uncut {
            return Ok(());
        }
        self.record.state = state;
        self.record.reason = reason;
        self.write_record()
    }

    fn write_record(&self) -> Result<()> {
        let path = self.directory.record();
        let text = serde_json::to_vec_pretty(&self.record)?;
        replace(&path, &text).with_context(|| format!("{} cannot be written", path.display()))
    }
}

/// `wanted`, or the first of `wanted-2`, `wanted-3`, ... that is still empty.
pub fn unused_folder(wanted: &Path) -> PathBuf {
    let name = wanted.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let numbered = |number: u32| wanted.with_file_name(format!("{name}-{number}"));
    std::iter::once(wanted.to_owned())
        .chain((2..).map(numbered))
        .find(|folder| !is_used(folder))
        .unwrap_or_else(|| wanted.to_owned())
}

/// Whether `folder` holds anything to keep. A run that failed or was killed before it did a step is nothing, and neither is
/// one that ended while its folder was made.
fn is_used(folder: &Path) -> bool {
    let directory = Directory::at(folder);
    let did_nothing = directory.record().is_file() && !directory.metrics().exists();
    let was_ended_early = directory.lock().exists() && !holds_more(folder, is_of_a_beginning);
    !did_nothing && !was_ended_early && holds_more(folder, |_| false)
}

/// Whether [`Run::create`] leaves `path` before it writes the record, which comes last.
fn is_of_a_beginning(path: &Path) -> bool {
    let is_empty = || std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
    is_leftover(path) || path.ends_with("config.toml") || (path.is_dir() && is_empty())
}

fn first_record(verb: &str, seed: u64, hashes: Hashes) -> RunRecord {
    RunRecord {
        version: VERSION,
        verb: verb.to_owned(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
        commit: option_env!("ZEROSEARCH_COMMIT").map(str::to_owned),
        host: host(),
        started_unix_s: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        resumed: 0,
        state: State::Running,
        reason: None,
        seed,
        numeric_path: String::new(),
        left_out: LeftOut::default(),
        manner: None,
        hashes,
    }
}

/// The machine's name, as far as it can be had without asking the network.
fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "unknown".into(), |name| name.trim().to_owned())
}

fn refuse_other_run(root: &Path, verb: &str, record: &RunRecord, hashes: &Hashes) -> Result<()> {
    let place = root.display();
    if record.version != VERSION {
        let theirs = record.version;
        return Err(problem(format!(
            "the run in {place} is of form {theirs}, this program writes form {VERSION}"
        ))
        .hint("resume it with the version that began it; run.json names it")
        .into());
    }
    if record.verb != verb {
        return Err(problem(format!("the run in {place} was made by `zerosearch {}`", record.verb))
            .hint(format!("resume it with `zerosearch {} --resume {place}`", record.verb))
            .into());
    }
    let models = |hashes: &Hashes| hashes.models.values().cloned().collect::<Vec<_>>();
    let same = record.hashes.files == hashes.files
        && record.hashes.templates == hashes.templates
        && models(&record.hashes) == models(hashes);
    if same {
        return Ok(());
    }
    let changed = first_changed(&record.hashes, hashes);
    Err(problem(format!("the run in {place} was begun with another {changed}: its content has changed"))
        .hint("put the old content back, or begin a new run")
        .into())
}

fn first_changed(recorded: &Hashes, now: &Hashes) -> String {
    let pairs = [(&recorded.files, &now.files), (&recorded.templates, &now.templates)];
    pairs
        .iter()
        .flat_map(|(before, after)| before.iter().filter(|(name, hash)| after.get(*name) != Some(hash)))
        .map(|(name, _)| name.clone())
        .next()
        .unwrap_or_else(|| "model".into())
}

fn refuse_other_plan(root: &Path, recorded: &Plan, asked: &Plan) -> Result<()> {
    let differences = changes(recorded, asked)?;
    let Some(first) = differences.first() else { return Ok(()) };
    Err(problem(format!(
        "the run in {} has {} = {}, but {} is asked for",
        root.display(),
        first.key,
        first.recorded,
        first.asked
    ))
    .hint("resume it as it is with `--resume FOLDER` and no other changes, or begin a new run from its checkpoint")
    .into())
}
