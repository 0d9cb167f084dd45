//! From what was written to what it means: the only place where defaults are written.

use std::path::PathBuf;

use super::check::{at_least, between, named, one_of, positive, some};
use super::file::{
    Bm25File, CurriculumFile, EvalFile, ModelFile, OptimizerFile, QuestionsFile, RetrieveFile, RlFile,
    RolloutFile, RunFile, ServerFile, SftFile, SimulatorFile,
};
use super::plan::{
    AlgorithmName, ApiName, Arithmetic, Baseline, Bm25, Curriculum, DialectName, DocumentStyle, EngineName,
    Eval, KlPlace, KlType, Model, Optimizer, Plan, Questions, Retrieve, Reward, Rl, Rollout, Run, Schedule,
    Server, Sft, Simulator, SimulatorMode, Spread, Structure,
};
use super::{Complaint, ConfigFile};

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
    /// Measuring simulators: no policy needs to be named.
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
        let rollout = rollout(self.rollout)?;
        let rl = rl(self.rl)?;
        let plan = Plan {
            model: model(self.model, purpose)?,
            server: server(self.server)?,
            questions: questions(self.questions, purpose)?,
            simulator: simulator(self.simulator, purpose)?,
            bm25: bm25(self.bm25),
            retrieve: retrieve(self.retrieve)?,
            curriculum: curriculum(self.curriculum)?,
            optimizer: optimizer(self.optimizer, purpose, rl.steps)?,
            sft: sft(self.sft, purpose)?,
            eval: eval(self.eval, purpose, rollout.engine)?,
            run: run(self.run)?,
            rollout,
            rl,
        };
        agree(&plan)?;
        Ok(plan)
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
        urls: file.urls.unwrap_or_default(),
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
        max_turns: between("rollout.max_turns", file.max_turns.unwrap_or(4), 1, 64)?,
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
        prompt: file.prompt.map(PathBuf::from),
        hint: file.hint.map(PathBuf::from),
        document_style: name(
            "rollout.document_style",
            file.document_style,
            DocumentStyle::ZeroSearch,
            DocumentStyle::NAMES,
        )?,
        concurrency: some("rollout.concurrency", file.concurrency.unwrap_or(256))?,
    })
}

fn simulator(file: SimulatorFile, purpose: Purpose) -> Resolved<Simulator> {
    let urls = file.urls.unwrap_or_default();
    let model = file.model.unwrap_or_default();
    if !urls.is_empty() && !model.is_empty() {
        return Err(Complaint::new(
            "simulator.model",
            format!("\"{model}\""),
            "cannot be given together with simulator.urls",
        )
        .hint("name a local model, or servers and their simulator.model_name"));
    }
    let usual = match purpose {
        Purpose::Sft | Purpose::Judge => SimulatorMode::Tuned,
        Purpose::Train | Purpose::Simulate | Purpose::Use | Purpose::Collect => SimulatorMode::Instruct,
    };
    let mode = name("simulator.mode", file.mode, usual, SimulatorMode::NAMES)?;
    if (mode == SimulatorMode::Template) != file.template.is_some() {
        return Err(Complaint::without_value(
            "simulator.template",
            "goes together with simulator.mode = \"template\"",
        )
        .hint("give both or neither"));
    }
    let api = name("simulator.api", file.api, ApiName::Chat, ApiName::NAMES)?;
    let chat_server = !urls.is_empty() && api == ApiName::Chat;
    let usual = if chat_server || mode == SimulatorMode::Tuned { Structure::Free } else { Structure::Forced };
    let structure = name("simulator.structure", file.structure, usual, Structure::NAMES)?;
    if structure == Structure::Forced && chat_server {
        return Err(Complaint::new(
            "simulator.structure",
            "\"forced\"",
            "a chat server cannot go on with a reply that was begun",
        )
        .hint("use simulator.api = \"completions\" or simulator.structure = \"free\""));
    }
    let words = between("simulator.words", file.words.unwrap_or(30), 5, 1000)?;
    Ok(Simulator {
        mode,
        template: file.template.map(PathBuf::from),
        structure,
        words,
        max_words: between("simulator.max_words", file.max_words.unwrap_or(2 * words), words, 2000)?,
        max_tokens: some("simulator.max_tokens", file.max_tokens.unwrap_or(100))?,
        rewrites: between("simulator.rewrites", file.rewrites.unwrap_or(2), 0, 100)?,
        temperature: at_least("simulator.temperature", file.temperature.unwrap_or(0.8), 0.0)?,
        top_p: between("simulator.top_p", file.top_p.unwrap_or(1.0), f64::MIN_POSITIVE, 1.0)?,
        model,
        urls,
        api,
        model_name: file.model_name.unwrap_or_default(),
        key_env: file.key_env.unwrap_or_default(),
        timeout_s: positive("simulator.timeout_s", file.timeout_s.unwrap_or(60.0))?,
        retries: between("simulator.retries", file.retries.unwrap_or(4), 0, 20)?,
        concurrency: some("simulator.concurrency", file.concurrency.unwrap_or(64))?,
    })
}

fn bm25(file: Bm25File) -> Bm25 {
    Bm25 {
        corpus: file.corpus.unwrap_or_default(),
        stemming: file.stemming.unwrap_or(true),
        stop_words: file.stop_words.unwrap_or(true),
    }
}

fn retrieve(file: RetrieveFile) -> Resolved<Retrieve> {
    Ok(Retrieve {
        urls: file.urls.unwrap_or_default(),
        dialect: name("retrieve.dialect", file.dialect, DialectName::SearchR1, DialectName::NAMES)?,
        timeout_s: positive("retrieve.timeout_s", file.timeout_s.unwrap_or(30.0))?,
        retries: between("retrieve.retries", file.retries.unwrap_or(4), 0, 20)?,
        concurrency: some("retrieve.concurrency", file.concurrency.unwrap_or(64))?,
    })
}

fn curriculum(file: CurriculumFile) -> Resolved<Curriculum> {
    Ok(Curriculum {
        noise_start: between("curriculum.noise_start", file.noise_start.unwrap_or(0.0), 0.0, 1.0)?,
        noise_end: between("curriculum.noise_end", file.noise_end.unwrap_or(0.5), 0.0, 1.0)?,
        base: positive("curriculum.base", file.base.unwrap_or(4.0))?,
        per_document: file.per_document.unwrap_or(false),
    })
}

fn rl(file: RlFile) -> Resolved<Rl> {
    Ok(Rl {
        algorithm: algorithm(file.algorithm)?,
        baseline: name("rl.baseline", file.baseline, Baseline::None, Baseline::NAMES)?,
        std: name("rl.std", file.std, Spread::Sample, Spread::NAMES)?,
        reward: name("rl.reward", file.reward, Reward::F1, Reward::NAMES)?,
        steps: some("rl.steps", file.steps.unwrap_or(200))?,
        questions_per_step: some("rl.questions_per_step", file.questions_per_step.unwrap_or(64))?,
        group_size: some("rl.group_size", file.group_size.unwrap_or(5))?,
        updates_per_step: some("rl.updates_per_step", file.updates_per_step.unwrap_or(1))?,
        clip_low: between("rl.clip_low", file.clip_low.unwrap_or(0.2), 0.0, 1.0)?,
        clip_high: at_least("rl.clip_high", file.clip_high.unwrap_or(0.2), 0.0)?,
        kl_coef: at_least("rl.kl_coef", file.kl_coef.unwrap_or(0.0), 0.0)?,
        kl_type: name("rl.kl_type", file.kl_type, KlType::K3, KlType::NAMES)?,
        kl_in: name("rl.kl_in", file.kl_in, KlPlace::Loss, KlPlace::NAMES)?,
        entropy_bonus: at_least("rl.entropy_bonus", file.entropy_bonus.unwrap_or(0.0), 0.0)?,
        mask_documents: file.mask_documents.unwrap_or(true),
        max_broken_share: between("rl.max_broken_share", file.max_broken_share.unwrap_or(0.2), 0.0, 1.0)?,
    })
}

/// Algorithms of the field that this version does not have are refused by name.
fn algorithm(written: Option<String>) -> Resolved<AlgorithmName> {
    if let Some((absent, refusal)) = written.as_ref().and_then(|name| Some((name, crate::rl::refuse(name)?)))
    {
        return Err(Complaint::new("rl.algorithm", format!("\"{absent}\""), refusal));
    }
    name("rl.algorithm", written, AlgorithmName::Grpo, AlgorithmName::NAMES)
}

fn optimizer(file: OptimizerFile, purpose: Purpose, steps: usize) -> Resolved<Optimizer> {
    let (usual_rate, usual_schedule) = match purpose {
        Purpose::Sft => (2e-5, Schedule::Cosine),
        Purpose::Train | Purpose::Judge | Purpose::Simulate | Purpose::Use | Purpose::Collect => {
            (1e-6, Schedule::Constant)
        }
    };
    Ok(Optimizer {
        learning_rate: positive("optimizer.learning_rate", file.learning_rate.unwrap_or(usual_rate))?,
        warmup_steps: file.warmup_steps.unwrap_or(5.min(steps)),
        schedule: name("optimizer.schedule", file.schedule, usual_schedule, Schedule::NAMES)?,
        min_share: between("optimizer.min_share", file.min_share.unwrap_or(0.1), 0.0, 1.0)?,
        weight_decay: at_least("optimizer.weight_decay", file.weight_decay.unwrap_or(0.01), 0.0)?,
        decay_all: file.decay_all.unwrap_or(false),
        beta1: between("optimizer.beta1", file.beta1.unwrap_or(0.9), 0.0, 0.999_999)?,
        beta2: between("optimizer.beta2", file.beta2.unwrap_or(0.999), 0.0, 0.999_999)?,
        epsilon: positive("optimizer.epsilon", file.epsilon.unwrap_or(1e-8))?,
        max_grad_norm: at_least("optimizer.max_grad_norm", file.max_grad_norm.unwrap_or(1.0), 0.0)?,
    })
}

fn sft(file: SftFile, purpose: Purpose) -> Resolved<Sft> {
    let files = file.files.unwrap_or_default();
    let steps = file.steps.unwrap_or(0);
    let epochs = file.epochs.unwrap_or(usize::from(steps == 0));
    if (steps == 0) == (epochs == 0) {
        return Err(Complaint::new("sft.steps", steps, format!("does not go with sft.epochs = {epochs}"))
            .hint("give one of them and leave the other out (0)"));
    }
    if purpose == Purpose::Sft && files.is_empty() {
        return Err(Complaint::without_value("sft.files", "no rows to learn from are named")
            .hint("give it a list of JSONL files; `zerosearch convert --help` says how to make some"));
    }
    Ok(Sft {
        files,
        epochs,
        steps,
        limit: file.limit.unwrap_or(0),
        rows_per_step: file.rows_per_step.unwrap_or(0),
        tokens_per_step: some("sft.tokens_per_step", file.tokens_per_step.unwrap_or(8192))?,
        max_row_tokens: between("sft.max_row_tokens", file.max_row_tokens.unwrap_or(4096), 2, 1 << 20)?,
        skip_long: file.skip_long.unwrap_or(false),
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

/// What an algorithm does not use is refused where it was chosen: it would do nothing.
fn agree_on_algorithm(rl: &Rl) -> Resolved<()> {
    if rl.algorithm == AlgorithmName::Grpo && rl.baseline != Baseline::None {
        return Err(Complaint::new(
            "rl.baseline",
            format!("\"{}\"", rl.baseline.name()),
            "is of rl.algorithm = \"reinforce\"; grpo always compares with the mean of the group",
        )
        .hint("leave rl.baseline out, or use rl.algorithm = \"reinforce\""));
    }
    if rl.algorithm == AlgorithmName::Reinforce && rl.std != Spread::Sample {
        return Err(Complaint::new(
            "rl.std",
            format!("\"{}\"", rl.std.name()),
            "is of rl.algorithm = \"grpo\"; reinforce never divides by a deviation",
        )
        .hint("leave rl.std out, or use rl.algorithm = \"grpo\""));
    }
    Ok(())
}

/// An engine that has nothing to search, and a policy on a server that cannot be spoken to.
fn agree_on_engines(plan: &Plan) -> Resolved<()> {
    let asked = |engine| [plan.rollout.engine, plan.eval.engine].contains(&engine);
    if asked(EngineName::Bm25) && plan.bm25.corpus.is_empty() {
        return Err(Complaint::without_value("bm25.corpus", "the engine bm25 has no corpus to search")
            .hint("give it a JSONL file with `id`, `title` and `text`, or `id` and `contents`"));
    }
    if asked(EngineName::Retrieve) && plan.retrieve.urls.is_empty() {
        return Err(Complaint::without_value("retrieve.urls", "the engine retrieve has no server to ask")
            .hint("give it a list of addresses, such as [\"http://localhost:8000/retrieve\"]"));
    }
    let tokenized = plan.server.api == ApiName::Chat || !plan.server.tokenizer.is_empty();
    if plan.model.path == "server" && !tokenized {
        let what = "servers are asked in tokens over /v1/completions, and no tokenizer is named";
        return Err(Complaint::without_value("server.tokenizer", what)
            .hint("name a Hugging Face directory with the model's tokenizer, or use server.api = \"chat\""));
    }
    Ok(())
}

/// What several keys say together.
fn agree(plan: &Plan) -> Resolved<()> {
    let rl = &plan.rl;
    agree_on_algorithm(rl)?;
    agree_on_engines(plan)?;
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
mod tests {
    use super::*;

    const LEAST: &str = "[model]\npath = \"m\"\n[questions]\ntrain = [\"q.jsonl\"]\n";

    fn plan(more: &str) -> Resolved<Plan> {
        ConfigFile::parse(&format!("{LEAST}{more}"), &[])?.resolve(Purpose::Train)
    }

    #[test]
    fn a_plan_is_a_config_file_that_resolves_to_itself() {
        for more in
            ["", "[rl]\nalgorithm = \"reinforce\"\nkl_coef = 0.001\n[rollout]\nprompt = \"p.jinja\"\n"]
        {
            let plan = plan(more).unwrap();
            let text = plan.to_toml().unwrap();
            let again = ConfigFile::parse(&text, &[]).unwrap().resolve(Purpose::Use).unwrap();
            assert_eq!(plan, again, "{text}");
        }
    }

    #[test]
    fn every_key_but_the_folder_is_part_of_the_plan() {
        let chosen =
            "[rollout]\nprompt = \"p\"\nhint = \"h\"\n[simulator]\nmode = \"template\"\ntemplate = \"t\"\n";
        let file =
            ConfigFile::parse(&format!("{LEAST}{chosen}"), &["model.tokenizer=t".parse().unwrap()]).unwrap();
        let text = file.resolve(Purpose::Train).unwrap().to_toml().unwrap();
        let table: toml::Table = toml::from_str(&text).unwrap();
        for (name, _) in super::super::known_keys() {
            let (section, key) = name.split_once('.').unwrap();
            assert_eq!(table[section].get(key).is_some(), name != "run.folder", "{name}");
        }
    }

    #[test]
    fn what_is_missing_or_impossible_is_named_with_its_range() {
        let told = |more: &str| plan(more).unwrap_err().to_string();
        assert_eq!(told("[curriculum]\nnoise_end = 1.5"), "curriculum.noise_end = 1.5: must be from 0 to 1");
        assert_eq!(told("[rl]\ngroup_size = 0"), "rl.group_size = 0: must be at least 1");
        assert_eq!(
            told("[optimizer]\nepsilon = 1e-60"),
            "optimizer.epsilon = 1e-60: is beyond what 32 bits hold: from 1.4e-45 to 3.4e38 in size"
        );
        assert_eq!(
            told("[rl]\nalgorithm = \"grop\""),
            "rl.algorithm = \"grop\": must be one of reinforce, grpo"
        );
        assert!(told("[rl]\nalgorithm = \"ppo\"").contains("`ppo` is not in this version"));
        assert!(told("[rl]\nkl_coef = 0.1\nkl_type = \"k1\"").contains("expected gradient is zero"));
        assert!(told("[rl]\nbaseline = \"batch_mean\"").contains("grpo always compares with the mean"));
        assert!(told("[rl]\nalgorithm = \"reinforce\"\nstd = \"none\"").contains("never divides"));
        assert!(told("[eval]\nevery = 5").contains("eval.questions"));
        assert!(told("[eval]\nsamples = 2").contains("eval.samples = 2: greedy conversations"));
        assert!(told("[rollout]\nengine = \"bm25\"").contains("bm25.corpus: the engine bm25"));
        assert!(told("[eval]\nengine = \"retrieve\"").contains("retrieve.urls: the engine retrieve"));
        assert!(told("[rl]\ngroup_size = 1").contains("nothing to be compared with"));
        let nothing = ConfigFile::default().resolve(Purpose::Train).unwrap_err();
        assert!(
            nothing.to_string().contains("no model is named") && nothing.hint.unwrap().contains("--model")
        );
    }

    #[test]
    fn defaults_suit_the_purpose() {
        let file = |text: &str| ConfigFile::parse(text, &[]).unwrap();
        let sft = file("[model]\npath=\"m\"\n[sft]\nfiles=[\"a\"]").resolve(Purpose::Sft).unwrap();
        assert_eq!((sft.optimizer.learning_rate, sft.optimizer.schedule), (2e-5, Schedule::Cosine));
        assert_eq!(plan("").unwrap().optimizer.learning_rate, 1e-6);
        let played = |purpose| file("[model]\npath=\"m\"").resolve(purpose).unwrap().eval;
        let (collected, measured) = (played(Purpose::Collect), played(Purpose::Use));
        assert_eq!((collected.samples, collected.temperature), (4, 1.0));
        assert_eq!((measured.samples, measured.temperature), (1, 0.0));
    }
}
