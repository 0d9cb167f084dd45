//! A course: everything that a training is made of, opened and checked before the first token.

use std::sync::Arc;

use anyhow::Result;
use zerosearch_learner::seed::Seed;
use zerosearch_learner::{Learner, Objective, Policy};

use super::evaluations::Evaluations;
use super::parts::{questions_of, refuse_overlap, refuse_trained, sha256_of, training_questions};
use super::stage::Stage;
use super::synthetic::Reward;
use super::update::adam;
use crate::config::{self, AlgorithmName, Plan};
use crate::engines::{Engines, Stock, needs_stock};
use crate::eval::RecipeRecord;
use crate::learners::{Opened, Pool};
use crate::problem::problem;
use crate::progress::Progress;
use crate::qa::{DataSet, QuestionFile, QuestionStream};
use crate::rl::{
    Algorithm, Baseline, Decay, Deviation, Grpo, Kl, KlKind, KlPlace, LearningRate, Recipe, Reinforce,
};
use crate::run::{LeftOut, Replies, Run};

/// Everything that a training is made of.
pub struct Course {
    /// What was asked for.
    pub plan: Plan,
    /// Who learns.
    pub learner: Arc<dyn Learner>,
    /// What is asked at each step.
    pub questions: QuestionStream,
    /// How conversations go.
    pub stage: Stage,
    /// Shows how far it is.
    pub progress: Progress,
    pub(super) recipe: Recipe,
    pub(super) rate: LearningRate,
    pub(super) reward: Reward,
    pub(super) reference: Option<Arc<dyn Policy>>,
    pub(super) evaluations: Option<Evaluations>,
    pub(super) replies: Option<Arc<Replies>>,
    pub(super) seed: Seed,
}

impl Course {
    /// Opens everything that `plan` names and brings the learner to where `run` stands.
    ///
    /// # Errors
    /// Whatever can be known wrong before the first token: questions, their prompts, the tokenizer, the simulator,
    /// what the learner cannot honour.
    pub async fn open(plan: Plan, opened: Opened, pool: &Pool, run: &mut Run) -> Result<Self> {
        let Opened { learner, text, identity, .. } = opened;
        let seed = Seed::run(plan.run.seed);
        let (train, evaluation, left_out) = data(&plan, seed)?;
        run.leave_out(left_out);
        let evaluated = evaluation.as_ref().map_or(&[][..], DataSet::files);
        refuse_moved(run, train.files().iter().chain(evaluated))?;
        let recipe = recipe(&plan)?;
        let asked = [plan.rollout.engine, plan.eval.engine];
        let plays = needs_stock(&plan) && asked.contains(&config::EngineName::Simulated);
        honour(&recipe, &plan, &*learner, plays)?;
        // Taken before a checkpoint is loaded: the reference and a simulator without a model are the start weights.
        let start = if plays || recipe.kl.needs_reference() { Some(learner.snapshot().await?) } else { None };
        let stock = start.clone().map(|policy| Stock { policy, text: Arc::clone(&text), identity });
        let reference = start.filter(|_| recipe.kl.needs_reference());
        let remote = [config::EngineName::Retrieve, config::EngineName::Web];
        let asks_servers = !plan.simulator.urls.is_empty() || asked.iter().any(|name| remote.contains(name));
        let replies = asks_servers.then(|| Arc::new(Replies::in_folder(run.directory().replies())));
        run.bring_up(&*learner).await?;

        let mut engines = Engines::new(&plan, pool, stock, replies.clone());
        let stage = Stage::for_training(&plan, Arc::clone(&text), engines.open(plan.rollout.engine).await?)?;
        let evaluations = match evaluation {
            None => None,
            Some(questions) => {
                let stage = Stage::for_evaluation(&plan, text, engines.open(plan.eval.engine).await?)?;
                Some(Evaluations {
                    every: plan.eval.every as u64,
                    questions: questions.questions().to_vec(),
                    recipe: RecipeRecord::of(&plan, &stage, questions.questions()),
                    stage,
                    unusable: questions.skipped(),
                })
            }
        };
        let progress = Progress::new(plan.rl.steps as u64, run.done()).logged(&run.directory().log())?;
        say_left_out(left_out, &progress);
        let course = Self {
            questions: train.stream(plan.rl.questions_per_step, seed)?,
            rate: rate(&plan, plan.rl.steps as u64)?,
            reward: Reward(plan.rl.reward),
            plan,
            learner,
            stage,
            progress,
            recipe,
            reference,
            evaluations,
            replies,
            seed,
        };
        course.check(&train).await?;
        run.take_up()?;
        Ok(course)
    }

    /// Every prompt fits, every tag can be spelled, every rule can be followed.
    async fn check(&self, train: &DataSet) -> Result<()> {
        let policy = self.learner.snapshot().await?;
        let rollout = self.stage.rollout(Arc::clone(&policy), 1, self.seed)?;
        rollout.check(train.questions().iter().map(|question| &**question))?;
        if let Some(evaluations) = &self.evaluations {
            let rollout = evaluations.stage.rollout(policy, 1, self.seed)?;
            rollout.check(evaluations.questions.iter().map(|question| &**question))?;
        }
        Ok(())
    }
}

/// The training questions, and the evaluation questions where any are asked during training.
fn data(plan: &Plan, seed: Seed) -> Result<(DataSet, Option<DataSet>, LeftOut)> {
    let (train, mut left_out) = training_questions(plan)?;
    if plan.eval.questions.is_empty() {
        return Ok((train, None, left_out));
    }
    let mut evaluation = questions_of(&plan.eval.questions, plan.questions.skip_unusable)?;
    left_out.eval_unusable = evaluation.skipped();
    refuse_overlap(train.questions(), evaluation.questions())?;
    refuse_trained(plan, evaluation.questions())?;
    if plan.eval.every == 0 {
        return Ok((train, None, left_out));
    }
    if plan.eval.count > 0 {
        evaluation = evaluation.sample(plan.eval.count, seed.purpose("eval questions"));
    }
    Ok((train, Some(evaluation), left_out))
}

/// Refuses files of the hub that are not those that the run's record names: they were replaced there a moment ago.
fn refuse_moved<'a>(run: &Run, files: impl Iterator<Item = &'a QuestionFile>) -> Result<()> {
    for file in files.filter(|file| file.origin.is_some()) {
        if run.hashes().files.get(&file.name) != Some(&sha256_of(&file.path)?) {
            return Err(problem(format!("{} changed on the hub while the run was being opened", file.name))
                .hint("give the same command again")
                .into());
        }
    }
    Ok(())
}

/// Says what the files hold and is not asked, where there is any.
fn say_left_out(left_out: LeftOut, progress: &Progress) {
    let LeftOut { unusable, excluded, eval_unusable } = left_out;
    if unusable + excluded + eval_unusable > 0 {
        progress.say(&format!(
            "left out: {unusable} training rows and {eval_unusable} evaluation rows without a question or an answer, \
             {excluded} training questions of questions.exclude"
        ));
    }
}

/// The schedule of the learning rate over `steps`; a warm-up longer than that is cut to it.
pub(crate) fn rate(plan: &Plan, steps: u64) -> Result<LearningRate> {
    let optimizer = &plan.optimizer;
    let decay = match optimizer.schedule {
        config::Schedule::Constant => Decay::Constant,
        config::Schedule::Cosine => Decay::Cosine { floor: optimizer.min_share },
    };
    let warmup = (optimizer.warmup_steps as u64).min(steps);
    Ok(LearningRate::new(optimizer.learning_rate, warmup, steps, decay)?)
}

fn recipe(plan: &Plan) -> Result<Recipe> {
    let rl = &plan.rl;
    let algorithm = match rl.algorithm {
        AlgorithmName::Reinforce => Algorithm::Reinforce(Reinforce {
            baseline: match rl.baseline {
                config::Baseline::None => Baseline::None,
                config::Baseline::LeaveOneOut => Baseline::LeaveOneOut,
                config::Baseline::BatchMean => Baseline::BatchMean,
            },
        }),
        AlgorithmName::Grpo => Algorithm::Grpo(Grpo {
            deviation: match rl.std {
                config::Spread::Sample => Deviation::Sample,
                config::Spread::None => Deviation::None,
            },
        }),
    };
    let kind = match rl.kl_type {
        config::KlType::K1 => KlKind::K1,
        config::KlType::K2 => KlKind::K2,
        config::KlType::K3 => KlKind::K3,
    };
    let place = match rl.kl_in {
        config::KlPlace::Loss => KlPlace::Loss,
        config::KlPlace::Reward => KlPlace::Reward,
    };
    Ok(Recipe {
        algorithm,
        objective: Objective::ClippedSurrogate { low: rl.clip_low as f32, high: rl.clip_high as f32 },
        kl: if rl.kl_coef > 0.0 { Kl::new(kind, place, rl.kl_coef as f32)? } else { Kl::Off },
        entropy_bonus: rl.entropy_bonus as f32,
        temperature: plan.rollout.temperature as f32,
        updates_per_step: rl.updates_per_step,
        mask_documents: rl.mask_documents,
    })
}

/// Refuses a plan that asks for more than the learner can do.
fn honour(recipe: &Recipe, plan: &Plan, learner: &dyn Learner, plays: bool) -> Result<()> {
    let can = learner.capabilities();
    let refuse = |what: String, hint: &str| Err(problem(what).hint(hint).into());
    if plan.rollout.max_context_tokens > can.context_length {
        let (asked, most) = (plan.rollout.max_context_tokens, can.context_length);
        let hint = format!("use `--set rollout.max_context_tokens={most}` or less");
        return refuse(
            format!("rollout.max_context_tokens = {asked}: the model reads at most {most}"),
            &hint,
        );
    }
    if recipe.entropy_bonus != 0.0 && !can.entropy_bonus {
        return refuse("rl.entropy_bonus: this learner has none".into(), "set it to 0");
    }
    if recipe.kl.penalty().is_some() && !can.kl_in_loss {
        return refuse(
            "rl.kl_in: this learner has no KL in the loss".into(),
            "set rl.kl_coef to 0 or rl.kl_in to \"reward\"",
        );
    }
    if recipe.kl.needs_reference() && !can.lasting_start {
        return refuse("rl.kl_coef: this learner keeps no reference".into(), "set it to 0");
    }
    if plays && !can.lasting_start {
        let hint = "name a model that plays it in simulator.model, or servers in simulator.urls";
        return refuse(
            "simulator: this learner keeps no start weights that could play the engine".into(),
            hint,
        );
    }
    let rollout = &plan.rollout;
    let sampled = [
        ("rollout.temperature", rollout.temperature, true),
        ("eval.temperature", plan.eval.temperature, plan.eval.every > 0),
        ("simulator.temperature", plan.simulator.temperature, plays),
    ];
    for (key, temperature, _) in sampled.iter().filter(|(_, _, is_used)| *is_used) {
        let is_served = can.temperatures || *temperature == 1.0 || *temperature == 0.0;
        if !is_served {
            let what =
                format!("{key} = {temperature}: this learner's log-probabilities are of temperature 1");
            return refuse(what, "set it to 1");
        }
    }
    learner.check_adam(&adam(&plan.optimizer, plan.optimizer.learning_rate as f32))?;
    Ok(())
}

impl std::fmt::Debug for Course {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Course").field("plan", &self.plan).finish_non_exhaustive()
    }
}
