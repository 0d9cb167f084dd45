//! `[cost]`: what an estimate assumes of machines, prices and conversations. No run depends on it.

use super::Complaint;
use super::check::{at_least, between, one_of, positive};
use super::file::CostFile;
use super::plan::{Plan, SimulatorMode};

/// A kind of GPU, by its data sheet: the SXM boards, multiplying dense bf16.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gpu {
    /// Its name in a config.
    pub name: &'static str,
    /// Memory in GiB.
    pub gib: f64,
    /// Billions of operations in a second, times a thousand.
    pub tflops: f64,
    /// Billions of bytes that it reads in a second.
    pub gb_per_s: f64,
    /// What an hour costs, where that was published together with this recipe.
    pub hour: Option<f64>,
}

const GPUS: [Gpu; 4] = [
    // 12 hours of one cost 17.7 dollars in Table 8 of arXiv 2505.04588.
    Gpu { name: "a100", gib: 80.0, tflops: 312.0, gb_per_s: 2039.0, hour: Some(1.475) },
    Gpu { name: "h100", gib: 80.0, tflops: 989.0, gb_per_s: 3350.0, hour: None },
    Gpu { name: "h200", gib: 141e9 / (1u64 << 30) as f64, tflops: 989.0, gb_per_s: 4800.0, hour: None },
    Gpu { name: "h20", gib: 96.0, tflops: 148.0, gb_per_s: 4000.0, hour: None },
];

/// A value, and whether a person wrote it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Assumption {
    /// The key that it has.
    pub key: &'static str,
    /// The value.
    pub value: f64,
    /// Whether it stands in the config; else it is the default.
    pub written: bool,
}

/// What an estimate assumes.
#[derive(Clone, Debug, PartialEq)]
pub struct Cost {
    /// The GPUs that train, sample and play the simulator; nothing where this machine does.
    pub gpu: Option<Gpu>,
    /// GPUs of the policy; 0 for as few as hold it.
    pub gpus: usize,
    /// GPUs of the simulator; 0 for as few as hold it.
    pub simulator_gpus: usize,
    /// The model behind `simulator.urls`; empty where it is not to be counted.
    pub simulator: String,
    /// What an hour of one GPU costs, or of this machine; nothing where nobody said.
    pub hour: Option<Assumption>,
    /// What prices are in.
    pub currency: String,
    /// The share of a GPU's memory that may be used.
    pub memory_share: Assumption,
    /// The share of the peak that products of matrices reach.
    pub compute_share: Assumption,
    /// The share of the memory's bandwidth that decoding reaches.
    pub read_share: Assumption,
    /// Searches of a conversation.
    pub searches: Assumption,
    /// Tokens of a prompt.
    pub prompt_tokens: Assumption,
    /// Tokens that the policy writes in a turn.
    pub turn_tokens: Assumption,
    /// Tokens of a simulator's prompt.
    pub simulator_prompt_tokens: Assumption,
    /// Tokens of a word.
    pub tokens_per_word: Assumption,
}

/// What `file` means for the run of `plan`.
///
/// # Errors
/// The first value that is out of range, or that no conversation of `plan` can reach.
pub(super) fn cost(file: &CostFile, plan: &Plan) -> Result<Cost, Complaint> {
    let gpu = gpu(file)?;
    let (compute, read) = if gpu.is_some() { (0.3, 0.5) } else { (0.5, 0.75) };
    let share = |key, written: Option<f64>, usual| {
        let value = between(key, written.unwrap_or(usual), 0.01, 1.0)?;
        Ok::<_, Complaint>(Assumption { key, value, written: written.is_some() })
    };
    let count = |key, written: Option<f64>, usual: f64, most: f64| {
        let value = between(key, written.unwrap_or(usual.min(most)), 0.0, most)?;
        Ok::<_, Complaint>(Assumption { key, value, written: written.is_some() })
    };
    let rollout = &plan.rollout;
    let context = rollout.max_context_tokens as f64;
    let prompt = match plan.simulator.mode {
        SimulatorMode::Tuned => 150.0,
        SimulatorMode::Instruct | SimulatorMode::Template => 800.0,
    };
    Ok(Cost {
        gpus: between("cost.gpus", file.gpus.unwrap_or(0), 0, 4096)?,
        simulator_gpus: between("cost.simulator_gpus", file.simulator_gpus.unwrap_or(0), 0, 4096)?,
        simulator: file.simulator.clone().unwrap_or_default(),
        hour: hour(file, gpu)?,
        currency: file.currency.clone().unwrap_or_else(|| "USD".into()),
        memory_share: share("cost.memory_share", file.memory_share, 0.9)?,
        compute_share: share("cost.compute_share", file.compute_share, compute)?,
        read_share: share("cost.read_share", file.read_share, read)?,
        searches: count("cost.searches", file.searches, 1.0, rollout.max_turns as f64)?,
        prompt_tokens: count("cost.prompt_tokens", file.prompt_tokens, 150.0, context)?,
        turn_tokens: count("cost.turn_tokens", file.turn_tokens, 150.0, rollout.max_response_tokens as f64)?,
        simulator_prompt_tokens: count(
            "cost.simulator_prompt_tokens",
            file.simulator_prompt_tokens,
            prompt,
            1e6,
        )?,
        tokens_per_word: Assumption {
            key: "cost.tokens_per_word",
            value: between("cost.tokens_per_word", file.tokens_per_word.unwrap_or(1.33), 0.5, 10.0)?,
            written: file.tokens_per_word.is_some(),
        },
        gpu,
    })
}

/// The kind that is named, with what is written of it in place of its data sheet.
fn gpu(file: &CostFile) -> Result<Option<Gpu>, Complaint> {
    let names: Vec<(&str, Option<Gpu>)> =
        [("none", None)].into_iter().chain(GPUS.map(|gpu| (gpu.name, Some(gpu)))).collect();
    let named = one_of("cost.gpu", file.gpu.as_deref().unwrap_or("none"), &names)?;
    let Some(gpu) = named else {
        for (key, written) in [
            ("cost.gpu_gib", file.gpu_gib.is_some()),
            ("cost.gpu_tflops", file.gpu_tflops.is_some()),
            ("cost.gpu_gb_per_s", file.gpu_gb_per_s.is_some()),
            ("cost.gpus", file.gpus.is_some()),
            ("cost.simulator_gpus", file.simulator_gpus.is_some()),
        ] {
            if written {
                return Err(Complaint::without_value(key, "this machine computes: cost.gpu names no GPU")
                    .hint("name its kind, for example cost.gpu = \"h100\""));
            }
        }
        return Ok(None);
    };
    Ok(Some(Gpu {
        gib: positive("cost.gpu_gib", file.gpu_gib.unwrap_or(gpu.gib))?,
        tflops: positive("cost.gpu_tflops", file.gpu_tflops.unwrap_or(gpu.tflops))?,
        gb_per_s: positive("cost.gpu_gb_per_s", file.gpu_gb_per_s.unwrap_or(gpu.gb_per_s))?,
        ..gpu
    }))
}

fn hour(file: &CostFile, gpu: Option<Gpu>) -> Result<Option<Assumption>, Complaint> {
    let key = "cost.hour";
    let usual = gpu.and_then(|gpu| gpu.hour).map(|value| Assumption { key, value, written: false });
    match file.hour {
        None => Ok(usual),
        Some(written) => Ok(Some(Assumption { key, value: at_least(key, written, 0.0)?, written: true })),
    }
}
