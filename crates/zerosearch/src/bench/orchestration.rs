//! Orchestration: many conversations against a server that is as fast as can be known beforehand.
//!
//! ```text
//! ideal = max(ceil(conversations x searches / slots), searches) x latency
//! ```
//!
//! A policy that answers at once plays conversations with the simulated engine over HTTP. Whatever it takes longer than the
//! ideal is the program's own: prompts, connections, reading of replies, cleaning, tokenising, and slots of the server
//! that were left empty.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;
use zerosearch_learner::scripted::ScriptedPolicy;
use zerosearch_learner::seed::Seed;
use zerosearch_learner::text::{Text, tiny_text};
use zerosearch_search::QualityReport;

use super::stub::{Answering, Stub};
use super::times::{Rounds, timed};
use crate::config::{ConfigFile, Plan, Purpose, Setting};
use crate::engines::Engines;
use crate::learners::Pool;
use crate::qa::Question;
use crate::rollout::{Ending, INFORMATION_CLOSER, Trajectory, play_all};
use crate::train::Stage;

/// What is played, and against which server.
#[derive(Clone, Debug)]
pub struct Orchestration {
    /// Conversations.
    pub rollouts: usize,
    /// Searches of each, one after another.
    pub searches: usize,
    /// How the server answers.
    pub answering: Answering,
    /// How often it is measured.
    pub repeats: usize,
    /// This program, which is started again as the server.
    pub program: PathBuf,
}

/// What orchestration reaches.
#[derive(Debug, Serialize)]
pub struct OrchestrationFigures {
    rollouts: usize,
    searches: usize,
    latency_ms: u128,
    slots: usize,
    /// Conversations, and calls, under way at once: twice the slots, so that none waits for work.
    concurrency: usize,
    repeats: usize,
    /// From the first prompt to the last reward; connections are made anew every time.
    seconds: f64,
    /// All slots full until the calls run out.
    ideal_seconds: f64,
    /// `ideal_seconds` over `seconds`.
    share_of_ideal: f64,
    /// Calls of all rounds, the first included.
    calls: usize,
    /// Those of them that failed.
    errors: usize,
    /// Tries of these calls beyond their first.
    retries: usize,
}

impl Orchestration {
    fn concurrency(&self) -> usize {
        2 * self.answering.slots
    }

    fn ideal(&self) -> Duration {
        let waves = (self.rollouts * self.searches).div_ceil(self.answering.slots).max(self.searches);
        self.answering.latency * u32::try_from(waves).unwrap_or(u32::MAX)
    }

    /// The plan that a user would write for a server at `url`.
    fn plan(&self, url: &str) -> Result<Plan> {
        let number = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let (concurrency, context) = (number(self.concurrency()), number(self.context()));
        let settings = [
            Setting::of("model", "path", "scripted"),
            Setting::of("model", "threads", 1),
            Setting::of("eval", "engine", "simulated"),
            Setting::of("eval", "noise", 0.5),
            Setting::of("rollout", "max_turns", number(self.searches)),
            Setting::of("rollout", "max_context_tokens", context),
            Setting::of("rollout", "concurrency", concurrency),
            Setting::of("simulator", "urls", vec![url.to_owned()]),
            Setting::of("simulator", "model_name", "stub"),
            Setting::of("simulator", "concurrency", concurrency),
        ];
        Ok(ConfigFile::parse("", &settings)?.resolve(Purpose::Use)?)
    }

    /// Room for the prompt, and for every search with all that it may bring.
    fn context(&self) -> usize {
        2_048 + 1_024 * self.searches
    }

    fn questions(&self) -> Vec<Arc<Question>> {
        let question = |n| Question {
            id: format!("made up:{n}"),
            source: "made up".into(),
            text: format!("Which bridge of town {n} was built first?"),
            golden_answers: vec![format!("bridge {n}")],
            prompt: None,
        };
        (0..self.rollouts).map(|n| Arc::new(question(n))).collect()
    }

    /// Searches as often as it should, then answers.
    fn policy(&self, text: &Arc<Text>) -> ScriptedPolicy {
        let searches = self.searches;
        let script = move |prompt: &str, seed: u64| {
            let found = prompt.matches(INFORMATION_CLOSER).count();
            match found < searches {
                true => format!("<think>What is known?</think>\n<search>bridges, {seed:x}</search>"),
                false => "<think>That will do.</think>\n<answer>the old bridge</answer>".into(),
            }
        };
        ScriptedPolicy::new(Arc::clone(text), move |request, prompt| script(prompt, request.seed))
            .with_context_length(self.context())
    }
}

/// Measures `orchestration`.
pub async fn orchestration(orchestration: &Orchestration) -> Result<OrchestrationFigures> {
    let stub = Stub::start(&orchestration.program, orchestration.answering).await?;
    let plan = orchestration.plan(stub.url())?;
    let mut rounds = Rounds::<1>::default();
    let (mut calls, mut errors, mut retries) = (0, 0, 0);
    for round in Rounds::<1>::numbers(orchestration.repeats) {
        let (report, seconds) = play(orchestration, &plan, round).await?;
        calls += report.calls;
        errors += report.failures;
        retries += report.tally.retries;
        rounds.push([seconds]);
    }
    let [seconds] = rounds.medians();
    let ideal_seconds = orchestration.ideal().as_secs_f64();
    Ok(OrchestrationFigures {
        rollouts: orchestration.rollouts,
        searches: orchestration.searches,
        latency_ms: orchestration.answering.latency.as_millis(),
        slots: orchestration.answering.slots,
        concurrency: orchestration.concurrency(),
        repeats: orchestration.repeats,
        seconds,
        ideal_seconds,
        share_of_ideal: ideal_seconds / seconds,
        calls,
        errors,
        retries,
    })
}

/// One round, over new connections.
async fn play(orchestration: &Orchestration, plan: &Plan, round: u64) -> Result<(QualityReport, f64)> {
    let text = Arc::new(tiny_text());
    let desk = Engines::new(plan, &Pool::new(&plan.model), None, None).open(plan.eval.engine).await?;
    let quality = desk.quality.clone().context("a simulated engine has a quality")?;
    let stage = Stage::for_evaluation(plan, Arc::clone(&text), desk)?;
    let rollout = stage.rollout(Arc::new(orchestration.policy(&text)), 1, Seed::run(round))?;
    let questions = orchestration.questions();
    rollout.check(questions.iter().map(Arc::as_ref))?;
    let (groups, seconds) = timed(play_all(&rollout, &questions, stage.crowd, &|_| {})).await;
    if let Some(why) = groups.iter().flat_map(|group| &group.trajectories).find_map(broken) {
        tracing::warn!("conversations broke, so the figures say little; the first because: {why}");
    }
    Ok((quality.drain(), seconds))
}

fn broken(trajectory: &Trajectory) -> Option<&str> {
    match &trajectory.ending {
        Ending::Broken(why) => Some(why),
        _ => None,
    }
}
