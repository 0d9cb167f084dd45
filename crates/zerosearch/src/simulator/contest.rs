//! A contest: simulators asked the same queries, useful and noisy, in a folder that can be left and taken up again.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use futures::stream::{self, StreamExt};
use serde_json::{Map, Value, json};
use zerosearch_learner::seed::Seed;
use zerosearch_search::{Label, Labels, Query};

use super::samples::samples;
use super::trial::Player;
use super::{Candidate, Comparison, Trial};
use crate::judge::{Pair, read_pairs};
use crate::learners::Pool;
use crate::problem::problem;
use crate::progress::Progress;
use crate::qa::order;
use crate::run::{VERSION, append_line, claim, difference, lines, read_json, replace};
use crate::train::sha256_of;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The pairs whose queries are asked: such as no simulator was tuned on.
    pub pairs: PathBuf,
    /// How many of them, drawn by the seed; 0 for all.
    pub count: usize,
    /// Documents for each call.
    pub k: usize,
    /// What every draw follows from.
    pub seed: u64,
    /// No result is made when a larger share of a simulator's calls is broken.
    pub max_broken_share: f64,
}

/// Simulators under measurement.
pub struct Contest {
    terms: Terms,
    pairs: Vec<Pair>,
    candidates: Vec<Candidate>,
    folder: PathBuf,
    /// By simulator, fingerprint and label. Broken ones are not in it when it is taken up.
    done: HashMap<(String, String, Label), Trial>,
}

impl Contest {
    /// Reads the pairs and takes up what `folder` holds from an earlier time. Simulators may be added to a folder.
    ///
    /// # Errors
    /// When `folder` holds calls of other terms, or of another simulator under one of the names.
    pub async fn open(terms: Terms, candidates: Vec<Candidate>, folder: &Path) -> Result<Self> {
        let mut pairs = read_pairs(&terms.pairs)?;
        let mut seen = std::collections::HashSet::new();
        pairs.retain(|pair| seen.insert(pair.fingerprint()));
        if terms.count > 0 && terms.count < pairs.len() {
            let mut drawn = order(pairs.len(), Seed::run(terms.seed).purpose("sim eval pairs"), 0);
            drawn.truncate(terms.count);
            drawn.sort_unstable();
            pairs = drawn.into_iter().map(|at| pairs[at].clone()).collect();
        }
        let basis = json!({
            "version": VERSION,
            "pairs": sha256_of(&terms.pairs)?,
            "count": terms.count,
            "k": terms.k,
            "seed": terms.seed,
        });
        claim(folder, "sim-eval.json", &basis)?;
        let mut contest = Self { terms, pairs, candidates, folder: folder.to_owned(), done: HashMap::new() };
        contest.enter_candidates().await?;
        contest.take_up()?;
        Ok(contest)
    }

    /// Makes every call that is not made yet, one simulator after the other. Each is kept at once: when this is
    /// abandoned, none is lost.
    pub async fn hold(&mut self, pool: &Pool) -> Result<()> {
        let all = self.candidates.len() * self.pairs.len() * 2;
        let progress = Progress::new(all as u64, self.done_now() as u64);
        for candidate in self.candidates.clone() {
            let open = self.open_calls(&candidate);
            if open.is_empty() {
                continue;
            }
            progress.say(&format!("{}: {} calls", candidate.name, open.len()));
            let player = Player::open(&candidate, pool).await?;
            let ask = |(pair, query, label): (String, Query, Label)| {
                let (player, name) = (&player, candidate.name.as_str());
                async move { player.ask(name, pair, label, &query).await }
            };
            let together = candidate.plan.simulator.concurrency.max(1);
            let mut trials = stream::iter(open).map(ask).buffer_unordered(together);
            while let Some(trial) = trials.next().await {
                append_line(&self.rows(), &trial)
                    .with_context(|| format!("{} cannot be written", self.rows().display()))?;
                self.done.insert((trial.simulator.clone(), trial.pair.clone(), trial.label), trial);
                progress.counted("calls", self.done_now() as u64, all as u64);
            }
        }
        Ok(())
    }

    /// Writes what the calls show, and a page of samples to read.
    ///
    /// # Errors
    /// After writing, when too many of a simulator's calls are broken.
    pub fn finish(&self) -> Result<Comparison> {
        let trials = |name: &str| -> Vec<&Trial> {
            self.calls_of(name).filter_map(|key| self.done.get(&key)).collect()
        };
        let by_name: Vec<(&str, Vec<&Trial>)> =
            self.candidates.iter().map(|it| (it.name.as_str(), trials(&it.name))).collect();
        let seed = Seed::run(self.terms.seed).purpose("bootstrap");
        let comparison = Comparison::of(&self.pairs, &by_name, self.terms.k, seed);
        let page = samples(&self.pairs, &by_name, Seed::run(self.terms.seed).purpose("samples"));
        replace(&self.folder.join("summary.json"), &serde_json::to_vec_pretty(&comparison)?)
            .and_then(|()| replace(&self.folder.join("samples.md"), page.as_bytes()))
            .with_context(|| format!("the results in {} cannot be written", self.folder.display()))?;
        Ok(comparison)
    }

    /// Refuses figures of which too many calls are missing.
    pub fn refuse_broken(&self) -> Result<()> {
        for candidate in &self.candidates {
            let trials: Vec<&Trial> =
                self.calls_of(&candidate.name).filter_map(|key| self.done.get(&key)).collect();
            let reasons: Vec<&String> = trials.iter().filter_map(|trial| trial.broken.as_ref()).collect();
            if reasons.len() as f64 > self.terms.max_broken_share * trials.len() as f64 {
                let (broken, all) = (reasons.len(), trials.len());
                let share = self.terms.max_broken_share;
                return Err(problem(format!(
                    "{broken} of {all} calls of {} are broken, more than rl.max_broken_share = {share} allows: this is no \
                     result",
                    candidate.name
                ))
                .because(reasons.first().map(|reason| (*reason).clone()).unwrap_or_default())
                .hint("mend the cause and give the same command again: it asks the broken ones again")
                .into());
            }
        }
        Ok(())
    }

    /// The simulators' names, each with the record of who it is, so that no other comes under the same name.
    async fn enter_candidates(&self) -> Result<()> {
        let path = self.folder.join("simulators.json");
        let mut entered: Map<String, Value> = if path.exists() { read_json(&path)? } else { Map::new() };
        let mut names = std::collections::HashSet::new();
        for candidate in &self.candidates {
            if !names.insert(&candidate.name) {
                return Err(problem(format!("two simulators are called {}", candidate.name))
                    .hint("give each `--simulator NAME=PATH` a name of its own")
                    .into());
            }
            let record = candidate.record().await?;
            if let Some(difference) =
                entered.get(&candidate.name).and_then(|before| difference("", before, &record))
            {
                let (folder, name) = (self.folder.display(), &candidate.name);
                return Err(problem(format!("in {folder}, {name} was measured with {difference}"))
                    .hint("give it another name, or name another folder with `--out FOLDER`")
                    .into());
            }
            entered.insert(candidate.name.clone(), record);
        }
        replace(&path, &serde_json::to_vec_pretty(&entered)?)
            .with_context(|| format!("{} cannot be written", path.display()))
    }

    fn take_up(&mut self) -> Result<()> {
        let kept: Vec<Trial> = lines(&self.rows())?;
        let mut bytes = Vec::new();
        for trial in kept.into_iter().filter(|trial| trial.broken.is_none()) {
            serde_json::to_writer(&mut bytes, &trial)?;
            bytes.push(b'\n');
            self.done.insert((trial.simulator.clone(), trial.pair.clone(), trial.label), trial);
        }
        // A torn last line would otherwise run into the next one.
        replace(&self.rows(), &bytes).with_context(|| format!("{} cannot be written", self.rows().display()))
    }

    /// What `candidate` has not been asked yet. The seed of a call is a function of pair and label: all simulators get
    /// the same.
    fn open_calls(&self, candidate: &Candidate) -> Vec<(String, Query, Label)> {
        let seed = Seed::run(self.terms.seed).purpose("sim eval");
        let pairs: HashMap<String, &Pair> =
            self.pairs.iter().map(|pair| (pair.fingerprint(), pair)).collect();
        self.calls_of(&candidate.name)
            .filter(|key| !self.done.contains_key(key))
            .filter_map(|(_, fingerprint, label)| {
                let query = pairs.get(&fingerprint)?.query();
                let seed = seed.purpose(&fingerprint).purpose(label.word()).number();
                let query = Query { k: self.terms.k, labels: Some(Labels::All(label)), seed, ..query };
                Some((fingerprint, query, label))
            })
            .collect()
    }

    /// The keys of all calls of one simulator, in order.
    fn calls_of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (String, String, Label)> + 'a {
        self.pairs.iter().flat_map(move |pair| {
            let fingerprint = pair.fingerprint();
            [Label::Useful, Label::Noisy].map(move |label| (name.to_owned(), fingerprint.clone(), label))
        })
    }

    /// Calls of this time's simulators that are made.
    fn done_now(&self) -> usize {
        let is_here = |name: &String| self.candidates.iter().any(|candidate| candidate.name == *name);
        self.done.keys().filter(|(name, _, _)| is_here(name)).count()
    }

    fn rows(&self) -> PathBuf {
        self.folder.join("rows.jsonl")
    }
}
