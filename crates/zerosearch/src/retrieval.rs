//! A retrieval: what an engine finds for questions as they are asked, without a policy, how often a golden answer is in it,
//! and how long it takes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use zerosearch_learner::seed::Seed;
use zerosearch_search::{Document, Golds, Query, SearchEngine};

use crate::config::Plan;
use crate::engines::Engines;
use crate::eval::{Interval, bootstrap};
use crate::learners::Pool;
use crate::problem::problem;
use crate::progress::Progress;
use crate::qa::{DataSet, Question};
use crate::run::{VERSION, lines, replace};
use crate::train::questions_of;

/// The first so many documents in which golden answers are counted.
const DEPTHS: [usize; 5] = [1, 3, 5, 10, 20];

/// An engine and the questions that it is asked.
pub struct Retrieval {
    engine: Arc<dyn SearchEngine>,
    k: usize,
    seed: Seed,
}

/// What was found for one question.
#[derive(Debug, Serialize, Deserialize)]
pub struct Finding {
    /// The version of this form.
    pub version: u32,
    /// The question.
    pub question: Question,
    /// What the engine gave, best first.
    pub documents: Vec<Document>,
    /// The place, from 1, of the first document with a golden answer; null without one.
    pub gold_at: Option<usize>,
    /// How long it took.
    pub seconds: f64,
}

/// What an earlier search found for the same questions.
#[derive(Debug)]
pub struct Earlier(Vec<Finding>);

/// What all findings show.
#[derive(Clone, Debug, PartialEq)]
pub struct Findings {
    /// Questions asked.
    pub questions: usize,
    /// Questions with an answer that can be looked for: neither yes nor no.
    pub judged: usize,
    /// The share of these with a golden answer in the first so many documents.
    pub hits: BTreeMap<usize, Interval>,
    /// Milliseconds of a search: the median, 99 of 100, and the longest.
    pub milliseconds: [f64; 3],
    /// The share of an earlier search's documents that are found again: against an exact search, the recall.
    pub recall: Option<Interval>,
}

impl Retrieval {
    /// The engine that `plan` evaluates with.
    ///
    /// # Errors
    /// When it is none or a simulated one, or cannot be opened.
    pub async fn open(plan: &Plan) -> Result<Self> {
        let name = plan.eval.engine;
        if name.writes_to_order() {
            let what = format!("the engine {} makes its documents up for a label", name.name());
            return Err(problem(what)
                .hint("name a real one, for example `--engine bm25 --index FOLDER`; `zerosearch sim eval` measures simulators")
                .into());
        }
        let desk = Engines::new(plan, &Pool::new(&plan.model), None, None).open(name).await?;
        let engine = desk.for_all().ok_or_else(|| {
            problem("no engine is named that searches without a policy")
                .hint("give `--engine`, for example `--engine bm25 --index FOLDER`")
        })?;
        Ok(Self { engine, k: plan.rollout.k, seed: Seed::run(plan.run.seed) })
    }

    /// What the engine finds for `text`.
    pub async fn find(&self, text: &str) -> Result<Vec<Document>> {
        let query = Query { text: text.trim().to_owned(), k: self.k, labels: None, seed: 0, context: None };
        self.engine.search(&query).await.with_context(|| format!("the search for `{text}` failed"))
    }

    /// Asks `questions`, each once, `concurrency` at a time.
    ///
    /// # Errors
    /// At the first search that fails.
    pub async fn ask(&self, questions: &[Arc<Question>], concurrency: usize) -> Result<Vec<Finding>> {
        let total = questions.len() as u64;
        let progress = Progress::new(total, 0);
        let asked: Vec<_> = questions.iter().map(|question| self.finding(question).boxed()).collect();
        let counted = stream::iter(asked).buffered(concurrency).enumerate().map(|(at, finding)| {
            progress.counted("questions", at as u64 + 1, total);
            finding
        });
        counted.try_collect().await
    }

    async fn finding(&self, question: &Question) -> Result<Finding> {
        let started = Instant::now();
        let documents = self.find(&question.text).await?;
        let seconds = started.elapsed().as_secs_f64();
        let golds = golds(question);
        let gold_at = documents.iter().position(|document| golds.in_document(document)).map(|at| at + 1);
        Ok(Finding { version: VERSION, question: question.clone(), documents, gold_at, seconds })
    }

    /// What `findings` show; their recall where there are `earlier` ones of the same questions to compare with.
    pub fn summarize(&self, findings: &[Finding], earlier: Option<&Earlier>) -> Findings {
        let judged: Vec<&Finding> = findings.iter().filter(|it| !golds(&it.question).is_empty()).collect();
        let mut depths: Vec<usize> = DEPTHS.into_iter().filter(|depth| *depth < self.k).collect();
        depths.push(self.k);
        let share = |depth: usize| {
            let hit = |it: &&Finding| f64::from(u8::from(it.gold_at.is_some_and(|at| at <= depth)));
            bootstrap(&judged.iter().map(hit).collect::<Vec<_>>(), self.seed.purpose("hits"))
        };
        let mut times: Vec<f64> = findings.iter().map(|it| it.seconds * 1e3).collect();
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times.get((times.len().saturating_sub(1) as f64 * share) as usize);
        Findings {
            questions: findings.len(),
            judged: judged.len(),
            hits: depths.into_iter().map(|depth| (depth, share(depth))).collect(),
            milliseconds: [0.5, 0.99, 1.0].map(|share| at(share).copied().unwrap_or_default()),
            recall: earlier.map(|earlier| self.recall(findings, earlier)),
        }
    }

    /// Questions for which the earlier search found nothing say nothing.
    fn recall(&self, findings: &[Finding], earlier: &Earlier) -> Interval {
        let shares = findings.iter().zip(&earlier.0).filter(|(_, earlier)| !earlier.documents.is_empty());
        let shares: Vec<f64> = shares.map(|(found, earlier)| found_again(found, earlier)).collect();
        bootstrap(&shares, self.seed.purpose("recall"))
    }
}

impl Earlier {
    /// The search in the file at `path`, which [`write()`] wrote.
    ///
    /// # Errors
    /// When there is none, or it asked other questions than `questions`: before anybody searches for nothing.
    pub fn read(path: &Path, questions: &[Arc<Question>]) -> Result<Self> {
        let opened = std::fs::metadata(path);
        opened.with_context(|| format!("the earlier search {} cannot be read", path.display()))?;
        Self::of(lines(path)?, questions)
            .with_context(|| format!("{} is no search to compare with", path.display()))
    }

    fn of(findings: Vec<Finding>, questions: &[Arc<Question>]) -> Result<Self> {
        let same = |(finding, question): (&Finding, &Arc<Question>)| finding.question.text == question.text;
        if findings.len() == questions.len() && findings.iter().zip(questions).all(same) {
            return Ok(Self(findings));
        }
        let what = format!("it asked {} questions, and these are {} others", findings.len(), questions.len());
        Err(problem(what).hint("ask both the same: `--questions`, `--count` and the seed").into())
    }
}

/// The questions that `plan` evaluates with.
///
/// # Errors
/// Files that cannot be read, or hold something else.
pub fn questions(plan: &Plan) -> Result<DataSet> {
    let questions = questions_of(&plan.eval.questions, plan.questions.skip_unusable)?;
    Ok(match plan.eval.count {
        0 => questions,
        count => questions.sample(count, Seed::run(plan.run.seed).purpose("eval questions")),
    })
}

/// The share of the documents of `earlier` that are in `found`.
fn found_again(found: &Finding, earlier: &Finding) -> f64 {
    let name = |document: &Document| match &document.provenance.id {
        Some(id) => id.clone(),
        None => format!("{}\n{}", document.title, document.text),
    };
    let found: BTreeSet<String> = found.documents.iter().map(name).collect();
    let again = earlier.documents.iter().filter(|document| found.contains(&name(document))).count();
    again as f64 / earlier.documents.len() as f64
}

/// Writes `findings`, one on each line: the whole file or none.
pub fn write(findings: &[Finding], path: &Path) -> Result<()> {
    let mut lines = Vec::new();
    for finding in findings {
        serde_json::to_writer(&mut lines, finding)?;
        lines.write_all(b"\n")?;
    }
    replace(path, &lines).with_context(|| format!("{} cannot be written", path.display()))
}

fn golds(question: &Question) -> Golds {
    Golds::new(question.golden_answers.iter().map(String::as_str))
}

impl Findings {
    /// For the screen.
    pub fn table(&self) -> String {
        let mut table = format!(
            "{} questions, {} with an answer that can be looked for\ngolden answer in the first\n",
            self.questions, self.judged
        );
        for (depth, share) in &self.hits {
            table.push_str(&format!("{depth:>5}   {}\n", share.words()));
        }
        let [median, p99, longest] = self.milliseconds;
        table.push_str(&format!(
            "milliseconds of a search: median {median:.2}, 99 % {p99:.2}, longest {longest:.2}\n"
        ));
        if let Some(recall) = &self.recall {
            table.push_str(&format!("of the earlier search's documents: {}\n", recall.words()));
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use zerosearch_search::Provenance;

    use super::*;

    fn finding(gold_at: Option<usize>, answer: &str, seconds: f64) -> Finding {
        let question = Question {
            id: "1".into(),
            source: "test".into(),
            text: "who?".into(),
            golden_answers: vec![answer.into()],
            prompt: None,
        };
        Finding { version: VERSION, question, documents: Vec::new(), gold_at, seconds }
    }

    /// Of four questions one can only be answered yes; of the others one has its answer first and one third.
    #[test]
    fn hits_are_counted_by_depth_and_yes_is_no_answer_to_look_for() {
        let engine = Arc::new(zerosearch_search::ScriptedEngine::new(Arc::default()));
        let retrieval = Retrieval { engine, k: 4, seed: Seed::run(1) };
        let findings = [
            finding(Some(1), "Emma", 0.001),
            finding(Some(3), "Emma", 0.002),
            finding(None, "Emma", 0.003),
            finding(Some(1), "yes", 0.004),
        ];
        let shown = retrieval.summarize(&findings, None);
        assert_eq!((shown.questions, shown.judged), (4, 3));
        let means: Vec<(usize, f64)> = shown.hits.iter().map(|(depth, it)| (*depth, it.mean)).collect();
        assert_eq!(means, [(1, 1.0 / 3.0), (3, 2.0 / 3.0), (4, 2.0 / 3.0)]);
        assert_eq!(shown.milliseconds, [2.0, 3.0, 4.0]);
    }

    /// The first finds one of two documents again, the second both; of the third nothing was to be found.
    #[test]
    fn recall_is_the_share_of_documents_that_are_found_again() {
        let engine = Arc::new(zerosearch_search::ScriptedEngine::new(Arc::default()));
        let retrieval = Retrieval { engine, k: 2, seed: Seed::run(1) };
        let with = |ids: &[&str]| {
            let document = |id: &&str| {
                let provenance = Provenance { id: Some((*id).into()), ..Provenance::default() };
                Document { title: String::new(), text: String::new(), provenance }
            };
            Finding { documents: ids.iter().map(document).collect(), ..finding(None, "Emma", 0.001) }
        };
        let earlier = || vec![with(&["a", "b"]), with(&["c", "d"]), with(&[])];
        let findings = [with(&["b", "x"]), with(&["d", "c"]), with(&["y"])];
        let questions: Vec<Arc<Question>> = findings.iter().map(|it| Arc::new(it.question.clone())).collect();
        let same = Earlier::of(earlier(), &questions).unwrap();
        assert_eq!(retrieval.summarize(&findings, Some(&same)).recall.unwrap().mean, 0.75);
        let told = Earlier::of(earlier(), &questions[..2]).unwrap_err().to_string();
        assert!(told.contains("it asked 3 questions, and these are 2 others"), "{told}");
    }
}
