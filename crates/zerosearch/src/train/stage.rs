//! A stage: what all conversations share whoever speaks, for training and for evaluation.

use std::sync::Arc;

use anyhow::Result;
use zerosearch_learner::Policy;
use zerosearch_learner::seed::Seed;
use zerosearch_learner::text::Text;

use super::synthetic::Reward;
use crate::config::{EngineName, Plan};
use crate::curriculum::Curriculum;
use crate::engines::Desk;
use crate::rollout::{
    Crowd, DistillationTemplate, Group, PromptTemplate, Rollout, Rules, Sampling, Trajectory, default_hint,
};
use crate::run::{TrajectoryLine, VERSION};

/// Everything of a conversation but who speaks.
#[derive(Clone)]
pub struct Stage {
    /// The policy's words and tokens.
    pub text: Arc<Text>,
    /// Who answers searches.
    pub desk: Desk,
    /// How a question is put.
    pub prompt: Arc<PromptTemplate>,
    /// The rules.
    pub rules: Arc<Rules>,
    /// How likely noise is.
    pub curriculum: Arc<Curriculum>,
    /// How many conversations at once, and how many about one question.
    pub crowd: Crowd,
}

impl Stage {
    /// The stage of training.
    pub fn for_training(plan: &Plan, text: Arc<Text>, desk: Desk) -> Result<Self> {
        let written = &plan.curriculum;
        let curriculum = Curriculum::new(written.noise_start, written.noise_end, plan.rl.steps as u64)?
            .with_base(written.base)?
            .per_document(written.per_document);
        let sampling = Sampling { temperature: plan.rollout.temperature as f32, ..Sampling::WHOLE };
        let crowd = Crowd { group_size: plan.rl.group_size, concurrency: plan.rollout.concurrency };
        Ok(Self {
            prompt: Arc::new(prompt(plan, plan.rollout.engine)?),
            rules: Arc::new(rules(plan, sampling)?),
            curriculum: Arc::new(curriculum),
            text,
            desk,
            crowd,
        })
    }

    /// The stage of evaluation: the same noise for all; greedy and one conversation for each question, unless the
    /// plan says otherwise.
    pub fn for_evaluation(plan: &Plan, text: Arc<Text>, desk: Desk) -> Result<Self> {
        let sampling = Sampling { temperature: plan.eval.temperature as f32, ..Sampling::WHOLE };
        Ok(Self {
            prompt: Arc::new(prompt(plan, plan.eval.engine)?),
            rules: Arc::new(rules(plan, sampling)?),
            curriculum: Arc::new(Curriculum::constant(plan.eval.noise)?),
            crowd: Crowd { group_size: plan.eval.samples, concurrency: plan.rollout.concurrency },
            text,
            desk,
        })
    }

    /// The conversations of one step.
    pub fn rollout(&self, policy: Arc<dyn Policy>, step: u64, seed: Seed) -> Result<Rollout> {
        Ok(Rollout {
            engine: self.desk.engine(&policy, &self.text, step)?,
            policy,
            text: Arc::clone(&self.text),
            prompt: Arc::clone(&self.prompt),
            rules: Arc::clone(&self.rules),
            curriculum: Arc::clone(&self.curriculum),
            step,
            seed,
        })
    }

    /// Every trajectory of `groups` as a run folder keeps it.
    pub fn lines<'a>(&'a self, groups: &'a [Group], step: u64) -> impl Iterator<Item = TrajectoryLine> + 'a {
        groups.iter().flat_map(|group| &group.trajectories).map(move |trajectory| self.line(trajectory, step))
    }

    /// One trajectory as a run folder keeps it.
    pub fn line(&self, trajectory: &Trajectory, step: u64) -> TrajectoryLine {
        let pieces = &trajectory.transcript.pieces;
        TrajectoryLine {
            version: VERSION,
            step,
            noise: self.curriculum.noise(step),
            texts: pieces.iter().map(|piece| self.text.decode(&piece.tokens)).collect(),
            trajectory: trajectory.clone(),
        }
    }
}

/// The prompt that the plan names, or the built-in one for `engine`.
pub(super) fn prompt(plan: &Plan, engine: EngineName) -> Result<PromptTemplate> {
    let rollout = &plan.rollout;
    let prompt = match &rollout.prompt {
        Some(name) => PromptTemplate::named(name)?,
        None if engine == EngineName::None || rollout.max_turns == 0 => PromptTemplate::without_search()?,
        None => PromptTemplate::standard()?,
    };
    Ok(if rollout.row_prompts { prompt } else { prompt.for_every_question() })
}

/// How the policy is asked to read documents apart, where the plan wants that.
pub(super) fn distillation(plan: &Plan) -> Result<Option<DistillationTemplate>> {
    Ok(plan.rollout.distill.as_deref().map(DistillationTemplate::named).transpose()?)
}

fn rules(plan: &Plan, sampling: Sampling) -> Result<Rules> {
    let rollout = &plan.rollout;
    Ok(Rules {
        max_turns: rollout.max_turns,
        max_response_tokens: rollout.max_response_tokens,
        max_document_tokens: rollout.max_document_tokens,
        max_context_tokens: rollout.max_context_tokens,
        documents: rollout.k,
        document_style: rollout.document_style.into(),
        distillation: distillation(plan)?,
        hint: hint(plan)?,
        reward: Reward(plan.rl.reward).of_answer(),
        sampling,
    })
}

/// What a turn without an action is told.
pub(super) fn hint(plan: &Plan) -> Result<String> {
    use anyhow::Context;
    match &plan.rollout.hint {
        None => Ok(default_hint().to_owned()),
        Some(path) => std::fs::read_to_string(path)
            .map(|text| text.trim().to_owned())
            .with_context(|| format!("the hint {} cannot be read", path.display())),
    }
}
