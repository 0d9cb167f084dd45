//! Parts: the questions that a plan names, and the hashes of the files that it is made from.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use zerosearch_hub::Hub;
use zerosearch_learner::seed::Seed;
use zerosearch_search::Manifest;

use super::stage::{distillation, hint, prompt};
use crate::config::{Bm25, EngineName, Plan};
use crate::engines::{own_settings, template_hash};
use crate::problem::problem;
use crate::qa::{DataSet, Question, QuestionFile, Unusable, check_places, locate, overlap};
use crate::run::{Hashes, LeftOut, Run};

/// Reads the questions that are written `[NAME=]PLACE[@SPLIT]`: a path, an address on the Hugging Face hub, or the name
/// of one of the paper's sets.
pub fn questions_of(written: &[String], skip_unusable: bool) -> Result<DataSet> {
    let files = question_files(written)?;
    let unusable = if skip_unusable { Unusable::Skip } else { Unusable::Refuse };
    DataSet::read(&files, unusable).context("the questions cannot be used")
}

/// The files with these questions, fetched where they lie on the hub.
fn question_files<'a>(written: impl IntoIterator<Item = &'a String>) -> Result<Vec<QuestionFile>> {
    locate(written, &Hub::from_environment()).context("the questions cannot be used")
}

/// Refuses what is written as questions and can be told to be none before anything is opened.
pub fn check_questions<'a>(written: impl IntoIterator<Item = &'a String>) -> Result<()> {
    check_places(written).context("the questions cannot be used")
}

/// The questions that `plan` trains on, and what was left out of them.
pub(super) fn training_questions(plan: &Plan) -> Result<(DataSet, LeftOut)> {
    let written = &plan.questions;
    let mut train = questions_of(&written.train, written.skip_unusable)?;
    let mut left_out = LeftOut { unusable: train.skipped(), ..LeftOut::default() };
    if !written.exclude.is_empty() {
        (train, left_out.excluded) = train.without(&questions_of(&written.exclude, written.skip_unusable)?);
    }
    if written.limit > 0 {
        train = train.sample(written.limit, Seed::run(plan.run.seed).purpose("train questions"));
    }
    Ok((train, left_out))
}

/// Refuses to evaluate a checkpoint of a run, model or adapter, on questions that the run trained on, or the runs that it
/// started from, and so on. Where a file of a run is gone it warns; it says nothing of models that are no checkpoint.
pub fn refuse_trained(plan: &Plan, evaluation: &[Arc<Question>]) -> Result<()> {
    let mut weights = weights_of(plan);
    for _ in 0..MOST_RUNS {
        let Some(checkpoint) = weights.pop() else { return Ok(()) };
        let Some(run) = Run::of_checkpoint(&checkpoint) else { continue };
        let plan = Run::plan_of(&run)?;
        let place = || format!("{checkpoint} was trained in {}", run.display());
        match lost(&plan) {
            Some(lost) => tracing::warn!(
                "{}, whose {lost}: it is NOT known whether evaluation questions were trained on",
                place()
            ),
            None => refuse_overlap(&trained_on(&plan)?, evaluation).with_context(place)?,
        }
        weights.extend(weights_of(&plan));
    }
    Ok(())
}

/// Where the weights of `plan`'s policy come from: its model and its adapter.
fn weights_of(plan: &Plan) -> Vec<String> {
    vec![plan.model.path.clone(), plan.adapter.path.clone()]
}

/// What a run of `plan` learned from and cannot be had any more.
fn lost(plan: &Plan) -> Option<String> {
    let files = match question_files(plan.questions.train.iter().chain(&plan.questions.exclude)) {
        Ok(files) => files,
        Err(error) => return Some(format!("questions cannot be had any more ({error:#})")),
    };
    let mut paths = files.into_iter().map(|file| file.path).chain(plan.sft.files.iter().map(Into::into));
    let gone = paths.find(|path| !path.is_file())?;
    Some(format!("file {} is gone", gone.display()))
}

/// Weights that are followed back from a checkpoint. Runs that name each other in a circle end there.
const MOST_RUNS: usize = 32;

/// The questions that a run of `plan` learned from: those it asked, or those of its rows.
fn trained_on(plan: &Plan) -> Result<Vec<Arc<Question>>> {
    if plan.sft.files.is_empty() && plan.questions.train.is_empty() {
        return Ok(Vec::new());
    }
    if plan.sft.files.is_empty() {
        return Ok(training_questions(plan)?.0.questions().to_vec());
    }
    crate::sft::questions_of_rows(&plan.sft.files)
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
    let named = [&plan.questions.train, &plan.questions.exclude, &plan.eval.questions];
    let mut files = question_files(named.into_iter().flatten())?;
    files.extend(plan.sft.files.iter().map(QuestionFile::new));
    hashes_of(plan, &files, [plan.rollout.engine, plan.eval.engine], models)
}

/// The hashes of what an evaluation of `plan` with questions of these files is made from; what the plan names for
/// training is not opened.
pub fn collection_hashes(
    plan: &Plan,
    questions: &[QuestionFile],
    models: BTreeMap<String, String>,
) -> Result<Hashes> {
    hashes_of(plan, questions, [plan.eval.engine; 2], models)
}

/// `engines`: the one whose prompt is used, and another that may be asked too.
fn hashes_of(
    plan: &Plan,
    named: &[QuestionFile],
    engines: [EngineName; 2],
    models: BTreeMap<String, String>,
) -> Result<Hashes> {
    let (mut files, mut commits) = (BTreeMap::new(), BTreeMap::new());
    for file in named {
        files.insert(file.name.clone(), sha256_of(&file.path)?);
        commits.extend(file.origin.as_ref().map(|origin| (file.name.clone(), origin.commit.clone())));
    }
    let hybrid = engines.contains(&EngineName::Hybrid);
    if hybrid || engines.contains(&EngineName::Dense) {
        let folder = &plan.dense.index;
        files.insert(folder.clone(), Manifest::read(Path::new(folder))?.identity());
    }
    if hybrid || engines.contains(&EngineName::Bm25) {
        let Bm25 { corpus, index, .. } = &plan.bm25;
        match index.as_str() {
            "" => files.insert(corpus.clone(), sha256_of(Path::new(corpus))?),
            folder => files.insert(index.clone(), Manifest::read(Path::new(folder))?.identity()),
        };
    }
    let mut templates = BTreeMap::from([
        ("prompt".to_owned(), prompt(plan, engines[0])?.hash()),
        ("hint".to_owned(), hex(&Sha256::digest(hint(plan)?))),
    ]);
    if let Some(template) = distillation(plan)? {
        templates.insert("distillation".to_owned(), template.hash());
    }
    if engines.contains(&EngineName::Simulated) {
        templates.insert("simulator".to_owned(), template_hash(&plan.simulator)?);
    }
    if engines.contains(&EngineName::SelfSearch) {
        templates.insert("self".to_owned(), own_settings(&plan.simulator)?.template.hash().to_owned());
    }
    Ok(Hashes { files, templates, models, commits })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_is_read_from_its_column() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("both.jsonl");
        let row = |n: usize, split: &str| {
            format!("{{\"question\":\"q{n}\",\"answer\":\"a\",\"extra_info\":{{\"split\":\"{split}\"}}}}\n")
        };
        std::fs::write(&path, [row(1, "train"), row(2, "test"), row(3, "train")].concat()).unwrap();
        let asked = |split: &str| {
            let questions = questions_of(&[format!("{}@{split}", path.display())], false).unwrap();
            questions.questions().iter().map(|question| question.text.clone()).collect::<Vec<_>>()
        };
        assert_eq!(asked("train"), ["q1", "q3"]);
        assert_eq!(asked("test"), ["q2"]);
    }
}
