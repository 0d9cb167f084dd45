//! A data set: questions from any number of files, and the order in which they are asked.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use rand::seq::SliceRandom;
use zerosearch_learner::seed::Seed;

use super::read::{Read, read};
use super::{Question, QuestionError, QuestionFile, Unusable, normalize};

/// Questions with unique ids, in the order of their files.
#[derive(Clone, Debug, Default)]
pub struct DataSet {
    questions: Vec<Arc<Question>>,
    skipped: usize,
    files: Vec<QuestionFile>,
}

impl DataSet {
    /// Reads files one after another. Refuses a file with a row that cannot be read, a row without question or golden
    /// answer (unless those are to be skipped), files that hold no usable row at all, a file that is named twice, and
    /// two places whose files go by one name.
    pub fn read(files: &[QuestionFile], unusable: Unusable) -> Result<Self, QuestionError> {
        refuse_twice(files)?;
        let (mut all, mut named) = (Read::default(), HashMap::new());
        for file in files {
            let found = read(file, unusable)?;
            refuse_namesake(file, &found.questions, &mut named)?;
            all.questions.extend(found.questions);
            all.skipped += found.skipped;
            all.other_splits += found.other_splits;
        }
        if all.questions.is_empty() {
            let names: Vec<String> = files.iter().map(|file| file.path.display().to_string()).collect();
            return Err(QuestionError::NoneUsable(format!(
                "there is no usable question in {} ({} rows without question or golden answer, {} of other splits)",
                if names.is_empty() { "no file".into() } else { names.join(", ") },
                all.skipped,
                all.other_splits,
            )));
        }
        Ok(Self { skipped: all.skipped, files: files.to_vec(), ..Self::new(all.questions) })
    }

    /// A data set of these questions. An id that is taken already becomes `<source>/<id>`, and if that is taken too,
    /// `<source>/<id>#2`, `#3` and so on.
    pub fn new(questions: Vec<Question>) -> Self {
        let mut taken = HashSet::new();
        let unique = |mut question: Question| {
            if !taken.insert(question.id.clone()) {
                let longer = format!("{}/{}", question.source, question.id);
                let numbered = (2_u64..).map(|number| format!("{longer}#{number}"));
                let free =
                    std::iter::once(longer.clone()).chain(numbered).find(|id| taken.insert(id.clone()));
                question.id = free.unwrap_or(longer);
            }
            Arc::new(question)
        };
        Self { questions: questions.into_iter().map(unique).collect(), ..Self::default() }
    }

    /// The questions.
    pub fn questions(&self) -> &[Arc<Question>] {
        &self.questions
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.questions.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.questions.is_empty()
    }

    /// How many rows were left out when the files were read because they had no question or no golden answer.
    pub fn skipped(&self) -> usize {
        self.skipped
    }

    /// The files that were read.
    pub fn files(&self) -> &[QuestionFile] {
        &self.files
    }

    /// Leaves out the first `skip` questions and all after the next `limit`.
    #[must_use]
    pub fn slice(mut self, skip: usize, limit: Option<usize>) -> Self {
        self.questions = self.questions.into_iter().skip(skip).take(limit.unwrap_or(usize::MAX)).collect();
        self
    }

    /// At most `count` questions of each data set, drawn without replacement by `seed` and left in their order.
    #[must_use]
    pub fn sample(mut self, count: usize, seed: Seed) -> Self {
        let mut by_source: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (at, question) in self.questions.iter().enumerate() {
            by_source.entry(&question.source).or_default().push(at);
        }
        let draw = |places: Vec<usize>| {
            let order = order(places.len(), seed.purpose("sample"), 0);
            order.into_iter().take(count).map(move |nth| places[nth])
        };
        let mut drawn: Vec<usize> = by_source.into_values().flat_map(draw).collect();
        drawn.sort_unstable();
        self.questions = drawn.into_iter().map(|at| Arc::clone(&self.questions[at])).collect();
        self
    }

    /// Leaves out every question that `other` asks too (by its normalised words); the number tells how many.
    #[must_use]
    pub fn without(mut self, other: &Self) -> (Self, usize) {
        let theirs: HashSet<String> = other.questions.iter().map(|question| words(question)).collect();
        let before = self.len();
        self.questions.retain(|question| !theirs.contains(&words(question)));
        let removed = before - self.len();
        (self, removed)
    }

    /// Batches of `size` different questions without end. Refused when there are not so many.
    pub fn stream(&self, size: usize, seed: Seed) -> Result<QuestionStream, QuestionError> {
        if size == 0 || size > self.len() {
            return Err(QuestionError::TooFew { wanted: size, usable: self.len() });
        }
        Ok(QuestionStream { questions: self.questions.clone(), size, seed: seed.purpose("questions") })
    }
}

/// An endless row of batches. Each epoch asks the questions in a new order; what does not fill a last batch is left
/// for another epoch, so that no batch holds a question twice.
#[derive(Clone, Debug)]
pub struct QuestionStream {
    questions: Vec<Arc<Question>>,
    size: usize,
    seed: Seed,
}

impl QuestionStream {
    /// The batch of `step`, which counts from 1: a pure function of the step, the seed and the questions.
    pub fn batch(&self, step: u64) -> Vec<Arc<Question>> {
        let index = step.saturating_sub(1);
        let batches = self.batches_per_epoch();
        let order = order(self.questions.len(), self.seed, index / batches);
        let first = (index % batches) as usize * self.size;
        order[first..first + self.size].iter().map(|&at| Arc::clone(&self.questions[at])).collect()
    }

    /// How many batches one pass over the questions gives.
    pub fn batches_per_epoch(&self) -> u64 {
        (self.questions.len() / self.size) as u64
    }
}

/// The order of `count` questions in an epoch (from 0): a shuffle that depends on the seed and the epoch alone.
pub fn order(count: usize, seed: Seed, epoch: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.shuffle(&mut seed.purpose("order").index(epoch).generator());
    order
}

/// A question that is both trained on and evaluated with.
#[derive(Clone, Debug, PartialEq)]
pub struct Overlap {
    /// As it stands in the training questions.
    pub train: Arc<Question>,
    /// As it stands in the evaluation questions.
    pub evaluation: Arc<Question>,
}

/// Every evaluation question that has the same words, after normalisation, as a training question.
pub fn overlap(train: &[Arc<Question>], evaluation: &[Arc<Question>]) -> Vec<Overlap> {
    let asked: HashMap<String, &Arc<Question>> =
        train.iter().rev().map(|question| (words(question), question)).collect();
    let both = |question: &Arc<Question>| {
        let train = asked.get(&words(question))?;
        Some(Overlap { train: Arc::clone(train), evaluation: Arc::clone(question) })
    };
    evaluation.iter().filter_map(both).collect()
}

/// What two spellings of one question share. A question of which normalisation leaves nothing is its own text.
fn words(question: &Question) -> String {
    let words = normalize(&question.text);
    if words.is_empty() { question.text.clone() } else { words }
}

/// Refuses a file that is named twice: its questions would count twice.
fn refuse_twice(files: &[QuestionFile]) -> Result<(), QuestionError> {
    let mut seen = HashSet::new();
    match files.iter().find(|file| !seen.insert((&file.path, &file.split))) {
        None => Ok(()),
        Some(twice) => Err(QuestionError::Place(format!(
            "{} is named twice, and its questions would count twice: name it once",
            twice.name
        ))),
    }
}

/// Refuses `file` where its questions go by the name of another's file in `named`: both would be taken for one data set.
fn refuse_namesake<'a>(
    file: &'a QuestionFile,
    questions: &[Question],
    named: &mut HashMap<String, &'a QuestionFile>,
) -> Result<(), QuestionError> {
    // Shards of a repository are one data set.
    let is_fetched = file.origin.is_some();
    let own = file.own_name();
    if is_fetched || file.source.is_some() || !questions.iter().any(|question| question.source == own) {
        return Ok(());
    }
    match named.insert(own.clone(), file) {
        Some(other) if other.name != file.name && other.path != file.path => {
            let (other, name) = (&other.name, &file.name);
            Err(QuestionError::Place(format!(
                "the questions of {other} and of {name} would be taken for one data set, `{own}`: give them names, \
                 A={other} and B={name}"
            )))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
