//! Parts: the questions that a plan names, and the hashes of the files that it is made from.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use zerosearch_learner::seed::Seed;

use super::stage::{hint, prompt};
use crate::config::{EngineName, Plan};
use crate::engines::template_hash;
use crate::qa::{DataSet, Question, QuestionFile, Unusable, overlap};
use crate::report::problem;
use crate::run::{Hashes, Run};

/// Reads question files, each a path or `name=path`.
pub fn questions_of(files: &[String], skip_unusable: bool) -> Result<DataSet> {
    let files: Vec<QuestionFile> = files.iter().map(|written| question_file(written)).collect();
    let unusable = if skip_unusable { Unusable::Skip } else { Unusable::Refuse };
    DataSet::read(&files, unusable).context("the questions cannot be used")
}

/// `name=path`, unless a file of that very name exists.
fn question_file(written: &str) -> QuestionFile {
    match written.split_once('=') {
        Some((name, path)) if !Path::new(written).exists() && !name.contains('/') => {
            QuestionFile { source: Some(name.to_owned()), ..QuestionFile::new(path) }
        }
        _ => QuestionFile::new(written),
    }
}

/// The path in `name=path`.
fn path_of(written: &str) -> std::path::PathBuf {
    question_file(written).path
}

/// The questions that `plan` trains on.
pub(super) fn training_questions(plan: &Plan) -> Result<DataSet> {
    let written = &plan.questions;
    let mut train = questions_of(&written.train, written.skip_unusable)?;
    if !written.exclude.is_empty() {
        (train, _) = train.without(&questions_of(&written.exclude, written.skip_unusable)?);
    }
    if written.limit > 0 {
        train = train.sample(written.limit, Seed::run(plan.run.seed).purpose("train questions"));
    }
    Ok(train)
}

/// Refuses to evaluate a checkpoint of a run on questions that the run trained on. Says nothing of models that are no
/// checkpoint, or whose run's question files are gone.
pub fn refuse_trained(model: &str, evaluation: &[Arc<Question>]) -> Result<()> {
    let Some(run) = Path::new(model).parent().and_then(Path::parent) else { return Ok(()) };
    if !run.join("config.toml").is_file() || !run.join("run.json").is_file() {
        return Ok(());
    }
    let plan = Run::plan_of(run)?;
    let mut named = plan.questions.train.iter().chain(&plan.questions.exclude);
    if plan.questions.train.is_empty() || !named.all(|file| path_of(file).is_file()) {
        return Ok(());
    }
    refuse_overlap(training_questions(&plan)?.questions(), evaluation)
        .with_context(|| format!("{model} was trained in {}", run.display()))
}

/// Refuses evaluation questions that are also trained on.
pub(super) fn refuse_overlap(train: &[Arc<Question>], evaluation: &[Arc<Question>]) -> Result<()> {
    let both = overlap(train, evaluation);
    let Some(first) = both.first() else { return Ok(()) };
    Err(problem(format!(
        "{} of {} evaluation questions are also trained on; the first is {}: {}",
        both.len(),
        evaluation.len(),
        first.evaluation.id,
        first.evaluation.text
    ))
    .hint("name the evaluation files in questions.exclude to take their questions out of the training questions")
    .into())
}

/// The hashes of the files and templates that a run of `plan` is made from. Those of the model are the learner's to
/// know.
pub fn hashes(plan: &Plan, models: BTreeMap<String, String>) -> Result<Hashes> {
    let named = [&plan.questions.train, &plan.questions.exclude, &plan.eval.questions, &plan.sft.files];
    let engines = [plan.rollout.engine, plan.eval.engine];
    hashes_of(plan, named.into_iter().flatten(), engines, models)
}

/// The hashes of what `plan` names for an evaluation; what it names for training is not opened.
pub fn exam_hashes(plan: &Plan, models: BTreeMap<String, String>) -> Result<Hashes> {
    hashes_of(plan, plan.eval.questions.iter(), [plan.eval.engine; 2], models)
}

/// `engines`: the one whose prompt is used, and another that may be simulated.
fn hashes_of<'a>(
    plan: &Plan,
    named: impl Iterator<Item = &'a String>,
    engines: [EngineName; 2],
    models: BTreeMap<String, String>,
) -> Result<Hashes> {
    let mut files = BTreeMap::new();
    for written in named {
        files.insert(written.clone(), sha256_of(&path_of(written))?);
    }
    let mut templates = BTreeMap::from([
        ("prompt".to_owned(), prompt(plan, engines[0])?.hash()),
        ("hint".to_owned(), hex(&Sha256::digest(hint(plan)?))),
    ]);
    if engines.contains(&EngineName::Simulated) {
        templates.insert("simulator".to_owned(), template_hash(&plan.simulator)?);
    }
    Ok(Hashes { files, templates, models })
}

/// The SHA-256 of a file, read piece by piece.
pub(crate) fn sha256_of(path: &Path) -> Result<String> {
    let mut file =
        std::fs::File::open(path).with_context(|| format!("{} cannot be opened", path.display()))?;
    let mut hash = Sha256::new();
    let mut piece = vec![0; 1 << 20];
    loop {
        match file.read(&mut piece).with_context(|| format!("{} cannot be read", path.display()))? {
            0 => return Ok(hex(&hash.finalize())),
            length => hash.update(&piece[..length]),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
