//! An exam: an evaluation in a folder of its own, which can be left and taken up again.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use zerosearch_learner::seed::Seed;

use super::{Summary, evaluate, summarize};
use crate::config::{ConfigFile, EngineName, Plan, Purpose};
use crate::engines::Engines;
use crate::learners::{Pool, Voice, simulator_hashes};
use crate::problem::problem;
use crate::progress::Progress;
use crate::qa::Question;
use crate::rollout::{Ending, Group, Rollout, Trajectory};
use crate::run::{Hashes, TrajectoryLine, append_line, lines, read_json, replace};
use crate::train::{Stage, exam_hashes, questions_of, refuse_trained};

/// An evaluation that keeps every answer as it comes.
pub struct Exam {
    rollout: Rollout,
    stage: Stage,
    questions: Vec<Arc<Question>>,
    /// What was answered, by the question's id. Broken conversations are not in it: they are tried again.
    answered: HashMap<String, Trajectory>,
    broken: Vec<Trajectory>,
    folder: PathBuf,
    seed: Seed,
    max_broken_share: f64,
    unusable: usize,
}

impl Exam {
    /// Opens what `plan` names ([`with_player`](super::with_player) has named the simulator) and takes up what `folder` holds from an earlier time.
    ///
    /// # Errors
    /// When `folder` holds the answers of another plan, model or question file.
    pub async fn open(plan: Plan, voice: Voice, pool: &Pool, folder: &Path) -> Result<Self> {
        if plan.eval.questions.is_empty() {
            return Err(problem("no questions are named").hint("give `--questions FILE`").into());
        }
        let seed = Seed::run(plan.run.seed);
        let mut questions = questions_of(&plan.eval.questions, plan.questions.skip_unusable)?;
        if plan.eval.count > 0 {
            questions = questions.sample(plan.eval.count, seed.purpose("eval questions"));
        }
        refuse_trained(&plan.model.path, questions.questions())?;
        let Voice { policy, text, hashes: mut models, .. } = voice;
        if plan.eval.engine == EngineName::Simulated {
            models.extend(simulator_hashes(&plan).await?);
        }
        let desk = Engines::new(&plan, pool, None, None).open(plan.eval.engine).await?;
        let stage = Stage::for_evaluation(&plan, text, desk)?;
        let rollout = stage.rollout(policy, 1, seed.purpose("eval"));
        rollout.check(questions.questions().iter().map(|question| &**question))?;
        claim(folder, &plan, &exam_hashes(&plan, models)?)?;
        let mut exam = Self {
            rollout,
            stage,
            questions: questions.questions().to_vec(),
            answered: HashMap::new(),
            broken: Vec::new(),
            folder: folder.to_owned(),
            seed,
            max_broken_share: plan.rl.max_broken_share,
            unusable: questions.skipped(),
        };
        exam.take_up()?;
        Ok(exam)
    }

    /// Asks every question that is not answered yet. Each answer is kept at once; when this is abandoned, none is lost.
    pub async fn sit(&mut self) -> Result<()> {
        let open: Vec<Arc<Question>> = self
            .questions
            .iter()
            .filter(|question| !self.answered.contains_key(&question.id))
            .cloned()
            .collect();
        let (all, path) = (self.questions.len(), self.rows());
        let progress = Progress::new(all as u64, self.answered.len() as u64);
        let done = AtomicUsize::new(self.answered.len());
        let failure: Mutex<Option<std::io::Error>> = Mutex::new(None);
        let watch = |trajectory: &Trajectory| {
            if let Err(error) = append_line(&path, &self.stage.line(trajectory, 0)) {
                *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            }
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            progress.counted("questions", done as u64, all as u64);
        };
        let groups = evaluate(&self.rollout, &open, self.stage.crowd.concurrency, &watch).await;
        if let Some(error) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(error).with_context(|| format!("{} cannot be written", path.display()));
        }
        self.keep(groups.into_iter().flat_map(|group| group.trajectories));
        Ok(())
    }

    /// Writes the rows in the order of the questions, and what they show.
    pub fn finish(&self) -> Result<Summary> {
        let broken: HashMap<&str, &Trajectory> =
            self.broken.iter().map(|row| (row.question.id.as_str(), row)).collect();
        let row = |question: &Arc<Question>| {
            let trajectory =
                self.answered.get(&question.id).or_else(|| broken.get(question.id.as_str()).copied())?;
            Some(Group { question: Arc::clone(question), trajectories: vec![trajectory.clone()] })
        };
        let groups: Vec<Group> = self.questions.iter().filter_map(row).collect();
        let mut bytes = Vec::new();
        for line in self.stage.lines(&groups, 0) {
            serde_json::to_writer(&mut bytes, &line)?;
            bytes.push(b'\n');
        }
        let summary =
            Summary { unusable: self.unusable, ..summarize(&groups, self.seed.purpose("bootstrap")) };
        replace(&self.rows(), &bytes)
            .and_then(|()| replace(&self.folder.join("summary.json"), &serde_json::to_vec_pretty(&summary)?))
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
            summary.broken, summary.questions
        ))
        .because(reason.unwrap_or_default())
        .hint("mend the cause and give the same command again: it asks the broken ones again")
        .into())
    }

    fn take_up(&mut self) -> Result<()> {
        let kept: Vec<TrajectoryLine> = lines(&self.rows())?;
        let mut bytes = Vec::new();
        for line in &kept {
            serde_json::to_writer(&mut bytes, line)?;
            bytes.push(b'\n');
        }
        // A torn last line would otherwise run into the next one.
        replace(&self.rows(), &bytes)?;
        self.keep(kept.into_iter().map(|line| line.trajectory).collect::<Vec<_>>());
        self.broken.clear();
        Ok(())
    }

    fn keep(&mut self, trajectories: impl IntoIterator<Item = Trajectory>) {
        for trajectory in trajectories {
            match trajectory.ending {
                Ending::Broken(_) => self.broken.push(trajectory),
                _ => drop(self.answered.insert(trajectory.question.id.clone(), trajectory)),
            }
        }
    }

    fn rows(&self) -> PathBuf {
        self.folder.join("rows.jsonl")
    }
}

/// Makes `folder`, or finds in it that the same plan was begun there.
fn claim(folder: &Path, plan: &Plan, hashes: &Hashes) -> Result<()> {
    let (config, made_from) = (folder.join("config.toml"), folder.join("hashes.json"));
    let failed = || format!("the folder {} cannot be used", folder.display());
    if !config.exists() {
        if std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
            let what = format!("the folder {} holds something else", folder.display());
            return Err(problem(what).hint("name an empty one with `--out FOLDER`").into());
        }
        std::fs::create_dir_all(folder).with_context(failed)?;
        replace(&made_from, &serde_json::to_vec_pretty(hashes)?).with_context(failed)?;
        return replace(&config, plan.to_toml()?.as_bytes()).with_context(failed);
    }
    let before = ConfigFile::read(&config, &[])?.resolve(Purpose::Use)?;
    let differs = crate::run::changes(&before, plan)?;
    let same_files = read_json::<Hashes>(&made_from)? == *hashes;
    let what = match differs.first() {
        None if same_files => return Ok(()),
        None => "another model, question file or template".to_owned(),
        Some(first) => format!("{} = {}, not {}", first.key, first.recorded, first.asked),
    };
    Err(problem(format!("the answers in {} were given with {what}", folder.display()))
        .hint("name another folder with `--out FOLDER`")
        .into())
}
