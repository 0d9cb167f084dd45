//! From what was written to what it means: the only place where defaults are written.

use std::path::PathBuf;

use engines::{agree_on_engines, bm25, cache, curriculum, dense, retrieve, servers, simulator, web};
use learning::{adapter, agree_on_algorithm, optimizer, rl, sft};
use tinker::{agree_on_tinker, tinker, with_alpha};

use super::check::{at_least, between, named, one_of, positive, some};
use super::cost::{Cost, cost};
use super::file::{EvalFile, ModelFile, QuestionsFile, RolloutFile, RunFile, ServerFile};
use super::plan::{
    AlgorithmName, ApiName, Arithmetic, Baseline, DocumentStyle, EngineName, Eval, KlPlace, KlType,
    LearnerName, Model, Plan, Questions, Rollout, Run, Server,
};
use super::{Complaint, ConfigFile};

mod engines;
mod learning;
mod tinker;

type Resolved<T> = Result<T, Complaint>;

/// What the plan is for: which keys must be given, and which defaults suit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Reinforcement learning.
    Train,
    /// Supervised fine-tuning.
    Sft,
    /// Making pairs to tune a simulator on: no model needs to be named.
    Judge,
    /// Measuring engines, simulated or real: no policy needs to be named.
    Simulate,
    /// Asking a finished policy.
    Use,
    /// Playing questions to learn from: several conversations about each, sampled.
    Collect,
}

impl ConfigFile {
    /// What this file means for `purpose`.
    ///
    /// # Errors
    /// The first key that is missing, out of range, or contradicts another.
    pub fn resolve(self, purpose: Purpose) -> Resolved<Plan> {
        self.with_cost(purpose).map(|(plan, _)| plan)
    }

    /// What this file means for `purpose`, and what an estimate of its cost assumes, which is no part of a plan.
    ///
    /// # Errors
    /// As for [`ConfigFile::resolve`].
    pub fn with_cost(self, purpose: Purpose) -> Resolved<(Plan, Cost)> {
        let rollout = rollout(self.rollout)?;
        let rl = rl(self.rl)?;
        let (model, tinker) = (model(self.model, purpose)?, tinker(self.tinker)?);
        let plan = Plan {
            adapter: adapter(with_alpha(self.adapter, model.learner, &tinker), purpose)?,
            model,
            tinker,
            server: server(self.server)?,
            questions: questions(self.questions, purpose)?,
            simulator: simulator(self.simulator, purpose)?,
            bm25: bm25(self.bm25)?,
            dense: dense(self.dense)?,
            retrieve: retrieve(self.retrieve)?,
            web: web(self.web)?,
            cache: cache(self.cache)?,
            curriculum: curriculum(self.curriculum)?,
            optimizer: optimizer(self.optimizer, purpose, rl.steps)?,
            sft: sft(self.sft, purpose)?,
            eval: eval(self.eval, purpose, rollout.engine)?,
            run: run(self.run)?,
            rollout,
            rl,
        };
        agree(&plan)?;
        let cost = cost(&self.cost, &plan)?;
        Ok((plan, cost))
    }
}

fn model(file: ModelFile, purpose: Purpose) -> Resolved<Model> {
    let path = match file.path {
        Some(path) => named("model.path", path)?,
        None if matches!(purpose, Purpose::Judge | Purpose::Simulate) => String::new(),
        None => {
            return Err(Complaint::without_value("model.path", "no model is named")
                .hint("give `--model` a Hugging Face directory, a .gguf file or a hub id"));
        }
    };
    let (width, heads) = (file.width.unwrap_or(64), file.heads.unwrap_or(4));
    if some("model.heads", heads)? * 2 > width || !width.is_multiple_of(heads * 2) {
        return Err(Complaint::new(
            "model.width",
            width,
            format!("must be a multiple of {}, twice model.heads", heads * 2),
        ));
    }
    Ok(Model {
        path,
        learner: name("model.learner", file.learner, LearnerName::Local, LearnerName::NAMES)?,
        arithmetic: name("model.arithmetic", file.arithmetic, Arithmetic::Bf16, Arithmetic::NAMES)?,
        threads: between("model.threads", file.threads.unwrap_or(0), 0, 1024)?,
        activation_gib: positive("model.activation_gib", file.activation_gib.unwrap_or(2.0))?,
        cache_gib: positive("model.cache_gib", file.cache_gib.unwrap_or(4.0))?,
        micro_batch_tokens: some("model.micro_batch_tokens", file.micro_batch_tokens.unwrap_or(2048))?,
        tokenizer: file.tokenizer.map(PathBuf::from),
        layers: some("model.layers", file.layers.unwrap_or(2))?,
        width,
        heads,
        context: between("model.context", file.context.unwrap_or(1024), 16, 1 << 20)?,
    })
}

fn server(file: ServerFile) -> Resolved<Server> {
    Ok(Server {
        urls: servers("server.urls", file.urls)?,
        api: name("server.api", file.api, ApiName::Completions, ApiName::NAMES)?,
        name: file.name.unwrap_or_default(),
        tokenizer: file.tokenizer.unwrap_or_default(),
        context: between("server.context", file.context.unwrap_or(8192), 32, 1 << 20)?,
        key_env: file.key_env.unwrap_or_default(),
        timeout_s: positive("server.timeout_s", file.timeout_s.unwrap_or(120.0))?,
        retries: between("server.retries", file.retries.unwrap_or(4), 0, 20)?,
        concurrency: some("server.concurrency", file.concurrency.unwrap_or(64))?,
    })
}

fn questions(file: QuestionsFile, purpose: Purpose) -> Resolved<Questions> {
    let train = file.train.unwrap_or_default();
    if purpose == Purpose::Train && train.is_empty() {
        return Err(Complaint::without_value("questions.train", "no training questions are named").hint(
            "give it a list of JSONL or Parquet files with the columns `question` and `golden_answers`",
        ));
    }
    Ok(Questions {
        train,
        exclude: file.exclude.unwrap_or_default(),
        limit: file.limit.unwrap_or(0),
        skip_unusable: file.skip_unusable.unwrap_or(false),
    })
}

fn rollout(file: RolloutFile) -> Resolved<Rollout> {
    Ok(Rollout {
        engine: name("rollout.engine", file.engine, EngineName::Simulated, EngineName::NAMES)?,
        max_turns: between("rollout.max_turns", file.max_turns.unwrap_or(4), 0, 64)?,
        k: between("rollout.k", file.k.unwrap_or(5), 1, 20)?,
        max_response_tokens: some("rollout.max_response_tokens", file.max_response_tokens.unwrap_or(500))?,
        max_document_tokens: between(
            "rollout.max_document_tokens",
            file.max_document_tokens.unwrap_or(500),
            16,
            1 << 20,
        )?,
        max_context_tokens: between(
            "rollout.max_context_tokens",
            file.max_context_tokens.unwrap_or(4096),
            32,
            1 << 20,
        )?,
        temperature: positive("rollout.temperature", file.temperature.unwrap_or(1.0))?,
        prompt: file.prompt.map(|prompt| named("rollout.prompt", prompt)).transpose()?,
        row_prompts: file.row_prompts.unwrap_or(true),
        hint: file.hint.map(PathBuf::from),
        distill: file.distill.map(|template| named("rollout.distill", template)).transpose()?,
        document_style: name(
            "rollout.document_style",
            file.document_style,
            DocumentStyle::ZeroSearch,
            DocumentStyle::NAMES,
        )?,
        concurrency: some("rollout.concurrency", file.concurrency.unwrap_or(256))?,
    })
}

fn eval(file: EvalFile, purpose: Purpose, training_engine: EngineName) -> Resolved<Eval> {
    let questions = file.questions.unwrap_or_default();
    let every = file.every.unwrap_or(0);
    if every > 0 && questions.is_empty() {
        return Err(Complaint::new("eval.every", every, "there are no eval.questions to ask"));
    }
    let (samples, temperature) = match purpose {
        Purpose::Collect => (4, 1.0),
        Purpose::Train | Purpose::Sft | Purpose::Judge | Purpose::Simulate | Purpose::Use => (1, 0.0),
    };
    let samples = some("eval.samples", file.samples.unwrap_or(samples))?;
    let temperature = at_least("eval.temperature", file.temperature.unwrap_or(temperature), 0.0)?;
    if samples > 1 && temperature == 0.0 {
        let same = "greedy conversations about one question are all the same";
        return Err(
            Complaint::new("eval.samples", samples, same).hint("give eval.temperature, for example 1.0")
        );
    }
    Ok(Eval {
        every,
        questions,
        engine: name("eval.engine", file.engine, training_engine, EngineName::NAMES)?,
        count: file.count.unwrap_or(0),
        noise: between("eval.noise", file.noise.unwrap_or(0.0), 0.0, 1.0)?,
        samples,
        temperature,
    })
}

/// `run.folder` is not part of a plan: the folder is where the plan lies.
fn run(file: RunFile) -> Resolved<Run> {
    let seed = file.seed.unwrap_or(1);
    if i64::try_from(seed).is_err() {
        return Err(Complaint::new("run.seed", seed, format!("must be from 0 to {}", i64::MAX)));
    }
    Ok(Run {
        seed,
        save_every: some("run.save_every", file.save_every.unwrap_or(20))?,
        keep: some("run.keep", file.keep.unwrap_or(2))?,
    })
}

/// What several keys say together.
fn agree(plan: &Plan) -> Resolved<()> {
    let rl = &plan.rl;
    agree_on_algorithm(rl)?;
    agree_on_engines(plan)?;
    agree_on_tinker(plan)?;
    if rl.kl_coef > 0.0 && rl.kl_type == KlType::K1 && rl.kl_in == KlPlace::Loss {
        return Err(Complaint::new(
            "rl.kl_type",
            "\"k1\"",
            "has no gradient on policy when it is in the loss: its expected gradient is zero",
        )
        .hint("use rl.kl_type = \"k2\" or \"k3\", or rl.kl_in = \"reward\""));
    }
    if rl.kl_coef > 0.0 && rl.kl_type != KlType::K1 && rl.kl_in == KlPlace::Reward {
        return Err(Complaint::new(
            "rl.kl_type",
            format!("\"{}\"", rl.kl_type.name()),
            "the reward is charged with the plain estimate",
        )
        .hint("use rl.kl_type = \"k1\", or rl.kl_in = \"loss\""));
    }
    let compares = rl.algorithm == AlgorithmName::Grpo || rl.baseline == Baseline::LeaveOneOut;
    if compares && rl.group_size == 1 {
        return Err(Complaint::new(
            "rl.group_size",
            1,
            "a conversation that is alone in its group has nothing to be compared with",
        )
        .hint(
            "use at least 2, or rl.algorithm = \"reinforce\" with rl.baseline = \"none\" or \"batch_mean\"",
        ));
    }
    if rl.updates_per_step > rl.questions_per_step {
        return Err(Complaint::new(
            "rl.updates_per_step",
            rl.updates_per_step,
            format!("must be from 1 to rl.questions_per_step, {}", rl.questions_per_step),
        ));
    }
    if plan.optimizer.warmup_steps > rl.steps && plan.sft.files.is_empty() {
        return Err(Complaint::new(
            "optimizer.warmup_steps",
            plan.optimizer.warmup_steps,
            format!("must be from 0 to rl.steps, {}", rl.steps),
        ));
    }
    let turn = plan.rollout.max_response_tokens;
    if turn >= plan.rollout.max_context_tokens {
        return Err(Complaint::new(
            "rollout.max_response_tokens",
            turn,
            format!("must be below rollout.max_context_tokens, {}", plan.rollout.max_context_tokens),
        ));
    }
    Ok(())
}

fn name<T: Copy>(key: &str, written: Option<String>, usual: T, names: &[(&str, T)]) -> Resolved<T> {
    written.map_or(Ok(usual), |written| one_of(key, &written, names))
}

#[cfg(test)]
mod tests;
