//! The doctor: what this machine is, what it reaches, and what a plan would need of it.

use std::sync::Arc;

use anyhow::Result;
use serde::Serialize;
use zerosearch_local::weights::{available_bytes, machine_bytes};
use zerosearch_local::{Arithmetic, Isa, Threads, measure};

use crate::config::{EngineName, LearnerName, Plan};
use crate::learners::{Pool, conversation, needs, shares_base};

/// What was found.
#[derive(Debug, Serialize)]
pub struct Findings {
    /// Cores that this process may use.
    cores: usize,
    /// The instructions that the kernels run with.
    instructions: String,
    /// Why no faster ones are used.
    faster: String,
    /// Billions of operations in a second, multiplying bf16 and adding in f32 in registers: one thread.
    peak_gflops_of_one_thread: f64,
    /// The same with all threads.
    peak_gflops: f64,
    /// Billions of bytes in a second, read from memory by all threads.
    read_gb_per_second: f64,
    memory_gib: Option<f64>,
    available_gib: Option<f64>,
    /// What the plan's models need, each and together.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    needs: Vec<Need>,
}

/// What one model of a plan needs.
#[derive(Debug, Serialize)]
struct Need {
    what: String,
    gib: f64,
}

/// Looks at this machine, for about a second, and at `plan`, if there is one.
pub async fn examine(plan: Option<&Plan>) -> Result<Findings> {
    let needs = match plan {
        Some(plan) => needs_of(plan).await?,
        None => Vec::new(),
    };
    let measured = tokio::task::spawn_blocking(|| {
        let (isa, all) = (Isa::detect(), Arc::new(Threads::new(Threads::available())));
        let peak = |threads: &Threads| measure::peak(threads, isa, Arithmetic::Bf16) / 1e9;
        (peak(&Threads::new(1)), peak(&all), measure::read_bandwidth(&all, isa) / 1e9)
    });
    let (peak_gflops_of_one_thread, peak_gflops, read_gb_per_second) = measured.await?;
    Ok(Findings {
        cores: Threads::available(),
        instructions: Isa::detect().to_string(),
        faster: faster(),
        peak_gflops_of_one_thread,
        peak_gflops,
        read_gb_per_second,
        memory_gib: machine_bytes().map(gib),
        available_gib: available_bytes().map(gib),
        needs,
    })
}

/// Billions of operations in a second with all threads, and billions of bytes read in a second.
pub(crate) async fn speed() -> Result<(f64, f64)> {
    let measured = tokio::task::spawn_blocking(|| {
        let (isa, all) = (Isa::detect(), Arc::new(Threads::new(Threads::available())));
        (measure::peak(&all, isa, Arithmetic::Bf16) / 1e9, measure::read_bandwidth(&all, isa) / 1e9)
    });
    Ok(measured.await?)
}

/// The memory in GiB that each model of `plan` needs, and all together.
pub(crate) async fn memory_of(plan: &Plan) -> Result<Vec<(String, f64)>> {
    Ok(needs_of(plan).await?.into_iter().map(|need| (need.what, need.gib)).collect())
}

/// What keeps this machine from the kernels that are faster than its own.
fn faster() -> String {
    let lacks = |isa: &Isa| format!("{isa} needs {}", isa.missing().join(", "));
    let faster: Vec<String> = Isa::ALL.iter().take_while(|isa| **isa != Isa::detect()).map(lacks).collect();
    if faster.is_empty() { "there are none".into() } else { faster.join("; ") }
}

/// As [`Course`](crate::train::Course) opens them.
async fn needs_of(plan: &Plan) -> Result<Vec<Need>> {
    let pool = Pool::new(&plan.model);
    let mut found = Vec::new();
    let simulated = plan.rollout.engine == EngineName::Simulated && plan.simulator.urls.is_empty();
    let player = plan.simulator_model().filter(|_| simulated);
    // What a server trains takes no memory here.
    if plan.model.learner == LearnerName::Local {
        let policy = needs((&plan.model, &plan.adapter), (conversation(plan), held(plan)), &pool).await?;
        found.push(("the policy that is trained", policy.training));
        if plan.rl.kl_coef > 0.0 || (simulated && player.is_none()) {
            found.push(("the weights that it starts from", policy.start));
        }
    }
    if let Some((model, adapter)) = player {
        let needs = needs((&model, &adapter), (0, usize::MAX), &pool).await?;
        found.push(match shares_base(plan) {
            true => ("the simulator's adapter", needs.adapter),
            false => ("the simulator", needs.sampling),
        });
    }
    found.push(("together", found.iter().map(|(_, bytes)| bytes).sum()));
    Ok(found.into_iter().map(|(what, bytes)| Need { what: what.into(), gib: gib(bytes) }).collect())
}

/// Tokens of the policy's conversations that are in memory together: those of a step, or of an evaluation on the way, each as
/// long as it may be. Where the policy plays the engine too, its cache is taken to be full.
fn held(plan: &Plan) -> usize {
    let searches = plan.rollout.engine == EngineName::Simulated && plan.simulator.urls.is_empty();
    if searches && (plan.simulator_model().is_none() || shares_base(plan)) {
        return usize::MAX;
    }
    let trained = plan.rl.questions_per_step * plan.rl.group_size;
    let evaluated = match &plan.eval {
        eval if eval.every == 0 || eval.questions.is_empty() => 0,
        eval if eval.count == 0 => usize::MAX,
        eval => eval.count,
    };
    trained.max(evaluated).saturating_mul(plan.rollout.max_context_tokens)
}

fn gib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}
