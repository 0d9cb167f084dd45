//! The learning's sections: how conversations, or written rows, become new weights.

use super::{Purpose, Resolved, name};
use crate::config::Complaint;
use crate::config::check::{at_least, between, one_of, positive, some};
use crate::config::file::{AdapterFile, OptimizerFile, RlFile, SftFile};
use crate::config::plan::{
    Adapter, AdapterTarget, AlgorithmName, Baseline, KlPlace, KlType, Optimizer, Reward, Rl, Schedule, Sft,
    Spread,
};

pub(super) fn adapter(file: AdapterFile, purpose: Purpose) -> Resolved<Adapter> {
    let usual = Adapter::default();
    let rank = file.rank.unwrap_or(usual.rank);
    let path = file.path.unwrap_or_default();
    if !path.is_empty() && rank > 0 && matches!(purpose, Purpose::Train | Purpose::Sft) {
        let what =
            format!("the adapter in {path} has a rank of its own, and it is that one that would be trained");
        return Err(Complaint::new("adapter.rank", rank, what)
            .hint("leave adapter.rank out to train it on, or adapter.path out to train a new one"));
    }
    let alpha = at_least("adapter.alpha", file.alpha.unwrap_or(2.0 * rank as f64), 0.0)?;
    let targets = match file.targets {
        Some(names) => names
            .iter()
            .map(|name| one_of("adapter.targets", name, AdapterTarget::NAMES))
            .collect::<Resolved<_>>()?,
        None => usual.targets,
    };
    if rank > 0 && targets.is_empty() {
        return Err(Complaint::new(
            "adapter.targets",
            "[]",
            "names no module that a new adapter could change",
        ));
    }
    Ok(Adapter {
        alpha: if rank > 0 { positive("adapter.alpha", alpha)? } else { alpha },
        rslora: file.rslora.unwrap_or(usual.rslora),
        path,
        rank,
        targets,
    })
}

pub(super) fn rl(file: RlFile) -> Resolved<Rl> {
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

pub(super) fn optimizer(file: OptimizerFile, purpose: Purpose, steps: usize) -> Resolved<Optimizer> {
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

pub(super) fn sft(file: SftFile, purpose: Purpose) -> Resolved<Sft> {
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

/// What an algorithm does not use is refused where it was chosen: it would do nothing.
pub(super) fn agree_on_algorithm(rl: &Rl) -> Resolved<()> {
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
