//! One whole step of GRPO: conversations, gradients, AdamW, packing.

use std::sync::Arc;

use anyhow::Result;
use futures::future::try_join_all;
use serde::Serialize;
use zerosearch_learner::seed::Seed;
use zerosearch_learner::{Adam, Learner, Objective, Policy};
use zerosearch_local::{LocalLearner, LocalPolicy};

use super::rows::tokens;
use super::sample::request;
use super::subject::{About, Subject};
use super::times::{Rounds, timed};
use crate::qa::Question;
use crate::rl::{Algorithm, Grpo, Kl, Recipe, Scored};
use crate::rollout::{Author, Ending, Group, Scores, Trajectory, Transcript};

/// What a step consists of.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Play {
    /// Questions.
    pub questions: usize,
    /// Conversations about each.
    pub group: usize,
    /// Tokens of each question's prompt.
    pub prompt: usize,
    /// Turns of each conversation.
    pub turns: usize,
    /// Tokens that the policy writes in each turn.
    pub tokens: usize,
    /// Tokens of documents between two turns.
    pub documents: usize,
}

/// What a step takes.
#[derive(Debug, Serialize)]
pub struct GrpoFigures {
    #[serde(flatten)]
    about: About,
    #[serde(flatten)]
    play: Play,
    repeats: usize,
    /// The whole step, from one version of the weights that can be sampled from to the next.
    seconds: f64,
    seconds_per_trajectory: f64,
    /// The same over that of the first play, where there is another; the median of the ratios of each round.
    #[serde(skip_serializing_if = "Option::is_none")]
    times_first: Option<f64>,
    sampling_seconds: f64,
    gradient_seconds: f64,
    optimizer_seconds: f64,
    packing_seconds: f64,
}

impl Play {
    /// Tokens of a whole conversation.
    pub fn length(&self) -> usize {
        self.prompt + self.turns * self.tokens + (self.turns - 1) * self.documents
    }

    fn trajectories(&self) -> f64 {
        (self.questions * self.group) as f64
    }
}

/// Measures steps of each of `plays`, one after the other in every round. All conversations run at once, each at its own
/// pace; the engine answers at once.
pub async fn grpo(
    subject: &Subject<LocalLearner>,
    plays: &[Play],
    repeats: usize,
) -> Result<Vec<GrpoFigures>> {
    subject.model.pack().await?;
    let mut rounds: Vec<Rounds<6>> = plays.iter().map(|_| Rounds::default()).collect();
    for round in Rounds::<6>::numbers(repeats) {
        let mut first = None;
        for (&play, rounds) in plays.iter().zip(&mut rounds) {
            let [sampling, gradients, optimizer, packing] = step(subject, play, round).await?;
            let seconds = sampling + gradients + optimizer + packing;
            let each = seconds / play.trajectories();
            rounds.push([
                sampling,
                gradients,
                optimizer,
                packing,
                seconds,
                each / *first.get_or_insert(each),
            ]);
        }
    }
    let mut figures: Vec<GrpoFigures> =
        plays.iter().zip(&rounds).map(|(&play, rounds)| figures(subject, play, repeats, rounds)).collect();
    if let Some(first) = figures.first_mut() {
        first.times_first = None;
    }
    Ok(figures)
}

fn figures(subject: &Subject<LocalLearner>, play: Play, repeats: usize, rounds: &Rounds<6>) -> GrpoFigures {
    let [sampling_seconds, gradient_seconds, optimizer_seconds, packing_seconds, seconds, times_first] =
        rounds.medians();
    GrpoFigures {
        about: subject.about.clone(),
        play,
        repeats,
        seconds,
        seconds_per_trajectory: seconds / play.trajectories(),
        times_first: Some(times_first),
        sampling_seconds,
        gradient_seconds,
        optimizer_seconds,
        packing_seconds,
    }
}

/// The seconds of one step: sampling, gradients, AdamW, packing.
async fn step(subject: &Subject<LocalLearner>, play: Play, round: u64) -> Result<[f64; 4]> {
    let learner = &subject.model;
    let stage = Stage { policy: learner.policy(), play, vocabulary: subject.config.vocabulary };
    let (groups, sampling) = timed(stage.groups(Seed::run(round).index(play.turns as u64))).await;
    let batch = recipe().batch(&groups?, Scored::default())?;
    let (mut gradients, mut optimizer) = (0.0, 0.0);
    for update in &batch.updates {
        let (report, seconds) = timed(learner.accumulate(&update.examples, &update.loss)).await;
        report?;
        gradients += seconds;
        let (report, seconds) = timed(learner.step(&Adam::default())).await;
        report?;
        optimizer += seconds;
    }
    let (packed, packing) = timed(learner.pack()).await;
    packed?;
    Ok([sampling, gradients, optimizer, packing])
}

/// GRPO as it is published, one update for each step.
fn recipe() -> Recipe {
    Recipe {
        algorithm: Algorithm::Grpo(Grpo::default()),
        objective: Objective::ClippedSurrogate { low: 0.2, high: 0.2 },
        kl: Kl::Off,
        entropy_bonus: 0.0,
        temperature: 1.0,
        updates_per_step: 1,
        mask_documents: true,
    }
}

struct Stage {
    policy: LocalPolicy,
    play: Play,
    vocabulary: usize,
}

impl Stage {
    async fn groups(&self, seed: Seed) -> Result<Vec<Group>> {
        let groups = (0..self.play.questions as u64).map(|question| self.group(seed.index(question)));
        try_join_all(groups).await
    }

    async fn group(&self, seed: Seed) -> Result<Group> {
        let question = Arc::new(Question {
            id: seed.number().to_string(),
            source: "random".into(),
            text: String::new(),
            golden_answers: Vec::new(),
            prompt: None,
        });
        let members = (0..self.play.group).map(|member| self.conversation(&question, seed, member));
        Ok(Group { trajectories: try_join_all(members).await?, question: Arc::clone(&question) })
    }

    /// Rewards are 1 and 0 by turns.
    async fn conversation(&self, question: &Arc<Question>, group: Seed, member: usize) -> Result<Trajectory> {
        let mut transcript = Transcript::default();
        let random = |seed: Seed, length| tokens(seed, length, self.vocabulary);
        transcript.show(Author::Prompt, random(group.purpose("prompt"), self.play.prompt));
        let seed = group.index(member as u64);
        for turn in 0..self.play.turns {
            let seed = seed.index(turn as u64);
            if turn > 0 {
                transcript.show(Author::Search, random(seed.purpose("documents"), self.play.documents));
            }
            let request = request(&transcript.tokens(), self.play.tokens, seed.number());
            let sample = self.policy.sample(request).await?;
            transcript.say(sample.tokens, sample.logprobs);
        }
        Ok(Trajectory {
            question: Arc::clone(question),
            member,
            transcript,
            opening: None,
            turns: Vec::new(),
            ending: Ending::OutOfTurns,
            scores: Scores::default(),
            reward: (member % 2) as f32,
        })
    }
}
