//! An estimate: GPUs, memory, tokens, hours and money of a training, with the arithmetic of each, before it is begun.

use anyhow::Result;
use zerosearch_local::ModelConfig;

use crate::config::{Cost, EngineName, Gpu, LearnerName, Plan};
use crate::learners::adapter_shape;
use crate::problem::problem;

mod here;
mod measured;
mod memory;
mod pace;
mod shape;
mod sheet;
#[cfg(test)]
mod tests;
mod workload;

pub use measured::Measured;
use memory::{Played, Trained};
use pace::{Machines, Model, Rows, Told};
use shape::{BF16, shape, token_bytes};
use sheet::amount;
pub use sheet::{Basis, Figure, Sheet};
use workload::{Workload, workload};

/// What a training of `plan` takes, on this machine or on the GPUs of `cost`.
///
/// # Errors
/// When a model's shape cannot be known, it does not fit, nobody is there to play a simulator, or the policy trains on a server
/// of which no GPUs are named.
pub async fn estimate(plan: &Plan, cost: &Cost, measured: &Measured) -> Result<Sheet> {
    let mut sheet = Sheet::default();
    let work = workload(plan, cost, measured, &mut sheet);
    let (step, machines) = match &cost.gpu {
        Some(gpu) => on_gpus((plan, cost, gpu), &work, &mut sheet)?,
        None if plan.model.learner == LearnerName::Tinker => {
            return Err(problem(
                "the policy trains on a server (model.learner = \"tinker\"), and no GPUs are named",
            )
            .hint("name those of the server: cost.gpu = \"a100\"; the others are in docs/configuration.md")
            .into());
        }
        None => here::seconds((plan, cost), &work, measured, &mut sheet).await?,
    };
    whole((plan, cost), &step, machines, &mut sheet);
    Ok(sheet)
}

/// Seconds of a step.
pub(super) struct Step {
    /// Of its conversations.
    gathering: f64,
    /// Of the whole.
    all: f64,
    conversations: f64,
}

/// What the policy's and the simulator's GPUs hold and take, and how many they are.
fn on_gpus(
    (plan, cost, gpu): (&Plan, &Cost, &Gpu),
    work: &Workload,
    sheet: &mut Sheet,
) -> Result<(Step, usize)> {
    if plan.rollout.engine == EngineName::Simulated && plan.simulator.urls.is_empty() {
        return Err(problem("cost.gpu names GPUs, and the simulator would play in this process")
            .hint("name its servers in simulator.urls and its model in cost.simulator")
            .into());
    }
    if !plan.adapter.path.is_empty() && plan.adapter.rank == 0 {
        return Err(problem(format!("the rank of the adapter {} is not known", plan.adapter.path))
            .hint("plan with a new one of the same rank: leave adapter.path out and give adapter.rank")
            .into());
    }
    sheet.begin(format!("MEMORY, {} ({} GiB)", gpu.name, amount(gpu.gib)));
    let policy = shape("model.path", &plan.model.path)?;
    let rows = work.conversations.min(plan.rollout.concurrency as f64);
    let trained = Trained {
        shape: &policy,
        adapter: adapter_shape(&plan.adapter).map(|adapter| adapter.parameters(&policy)),
        reference: plan.rl.kl_coef > 0.0,
        rows,
        sequence: work.sequence,
        micro_batch: plan.model.micro_batch_tokens as f64,
    };
    let gpus = trained.place(cost, gpu, sheet)?;
    let simulator = simulator((plan, cost, gpu), work, sheet)?;
    let simulator_gpus = simulator.as_ref().map_or(0, |it| it.each * it.copies);
    sheet.begin("GPUS");
    let source = |key| if key == 0 { "as few as hold it" } else { "as written" };
    sheet.given("policy: GPUs", (gpus as f64, gpu.name), source(cost.gpus));
    if simulator.is_some() {
        sheet.given("simulator: GPUs", (simulator_gpus as f64, gpu.name), source(cost.simulator_gpus));
    }
    let step = gpu_seconds((plan, cost, gpu), (&trained, gpus), simulator.as_ref(), work, sheet);
    Ok((step, gpus + simulator_gpus))
}

/// A simulator's model on GPUs.
struct OnGpus {
    shape: ModelConfig,
    /// GPUs of one copy.
    each: usize,
    copies: usize,
    rows: f64,
}

fn simulator(
    (plan, cost, gpu): (&Plan, &Cost, &Gpu),
    work: &Workload,
    sheet: &mut Sheet,
) -> Result<Option<OnGpus>> {
    if work.calls == 0.0 || cost.simulator.is_empty() {
        return Ok(None);
    }
    let shape = shape("cost.simulator", &cost.simulator)?;
    let rows = (plan.simulator.concurrency as f64).min(work.calls);
    let played = Played { shape: &shape, rows, sequence: work.call_read + work.call_written };
    let (each, copies) = played.place(cost, gpu, sheet)?;
    Ok(Some(OnGpus { each, copies, rows, shape }))
}

/// What a step takes: the conversations, in which policy and simulator work at the same time, and the training.
fn gpu_seconds(
    (plan, cost, gpu): (&Plan, &Cost, &Gpu),
    (trained, gpus): (&Trained<'_>, usize),
    simulator: Option<&OnGpus>,
    work: &Workload,
    sheet: &mut Sheet,
) -> Step {
    sheet.begin(format!(
        "TIME OF A STEP, {} TFLOP/s and {} GB/s a GPU",
        amount(gpu.tflops),
        amount(gpu.gb_per_s)
    ));
    let compute = sheet.assumed("share of the TFLOP/s", cost.compute_share, "");
    let read = sheet.assumed("share of the GB/s when decoding", cost.read_share, "");
    let machines = |each: usize, copies: usize| Machines {
        flops: gpu.tflops * 1e12 * compute * each as f64,
        bytes: gpu.gb_per_s * 1e9 * read * each as f64,
        copies: copies as f64,
    };
    let policy = model_of(trained.shape, BF16);
    let here = machines(1, gpus);
    let rows = Rows { count: trained.rows, behind: work.sequence / 2.0 };
    let sampling = sampling("policy", (&here, &policy), rows, (work.read, work.written), sheet);
    let playing = simulator.map_or(0.0, |it| {
        let rows = Rows { count: it.rows, behind: work.call_read + work.call_written / 2.0 };
        let (machines, model) = (machines(it.each, it.copies), model_of(&it.shape, BF16));
        let tokens = (work.calls * work.call_read, work.calls * work.call_written);
        self::sampling("simulator", (&machines, &model), rows, tokens, sheet)
    });
    let from = format!("max({}, {}), both at the same time", amount(sampling), amount(playing));
    let gathering = sheet.computed("conversations: time", (sampling.max(playing), "s"), from);
    let training = training((plan, &here), work, (&policy, trained.adapter.is_some(), true), sheet);
    finish_step((gathering, training), work, sheet)
}

/// Puts a step's seconds.
fn finish_step((gathering, training): (f64, f64), work: &Workload, sheet: &mut Sheet) -> Step {
    let from = format!("{} of conversations + {} of training", amount(gathering), amount(training));
    let all = sheet.computed("a step", (gathering + training, "s"), from);
    Step { gathering, all, conversations: work.conversations }
}

fn model_of(shape: &ModelConfig, bytes_per_number: f64) -> Model {
    let parameters = shape.parameters() as f64;
    let token_bytes = token_bytes(shape) / BF16 * bytes_per_number;
    Model { parameters, bytes: parameters * bytes_per_number, token_bytes }
}

/// Puts how long a model reads and decodes `(read, written)` tokens.
fn sampling(
    who: &str,
    (machines, model): (&Machines, &Model),
    rows: Rows,
    (read, written): (f64, f64),
    sheet: &mut Sheet,
) -> f64 {
    let (seconds, from) = machines.compute(read, 2.0, model);
    let reading = sheet.computed(&format!("{who}: reading"), (seconds, "s"), from);
    let (rate, from) = machines.decoding(model, rows);
    let rate = sheet.computed(&format!("{who}: decoding"), (rate, "tokens/s"), from);
    let from = format!("{} + {} tokens / {} a second", amount(reading), amount(written), amount(rate));
    sheet.computed(&format!("{who}: time"), (reading + written / rate, "s"), from)
}

/// Puts how long the training of a step takes: 2 operations for each parameter forwards and 4 backwards, 2 of them for an
/// adapter; 2 more where activations are computed `again`, and 2 for a reference.
fn training(
    (plan, machines): (&Plan, &Machines),
    work: &Workload,
    (model, adapter, again): (&Model, bool, bool),
    sheet: &mut Sheet,
) -> f64 {
    let mut parts = vec![(2.0, "forwards"), (if adapter { 2.0 } else { 4.0 }, "backwards")];
    parts.extend(again.then_some((2.0, "computed again")));
    parts.extend((plan.rl.kl_coef > 0.0).then_some((2.0, "reference")));
    let words: Vec<String> = parts.iter().map(|(operations, what)| format!("{operations} {what}")).collect();
    let operations = sheet.computed(
        "operations of a trained token",
        (parts.iter().map(|(operations, _)| operations).sum(), "a parameter"),
        words.join(" + "),
    );
    let (seconds, from): Told = machines.compute(work.trained, operations, model);
    sheet.computed("training: time", (seconds, "s"), from)
}

/// Puts what the whole run takes.
fn whole((plan, cost): (&Plan, &Cost), step: &Step, machines: usize, sheet: &mut Sheet) {
    sheet.begin("THE RUN");
    let steps = plan.rl.steps as f64;
    sheet.given("steps", (steps, ""), "rl.steps");
    let evaluating = evaluations(plan, step, sheet);
    let from = format!("({steps} x {} s + {} s of evaluations) / 3600", amount(step.all), amount(evaluating));
    let hours = sheet.computed("time", ((steps * step.all + evaluating) / 3600.0, "hours"), from);
    let gpu_hours = match cost.gpu {
        Some(gpu) => {
            let from = format!("{} hours x {machines} {}", amount(hours), gpu.name);
            sheet.computed("GPU-hours", (hours * machines as f64, "hours"), from)
        }
        None => hours,
    };
    let Some(hour) = cost.hour else { return };
    let price = sheet.assumed("price of an hour", hour, "");
    let from = format!("{} hours x {price} {}", amount(gpu_hours), cost.currency);
    sheet.computed(&format!("money, {}", cost.currency), (gpu_hours * price, ""), from);
}

/// Puts what the evaluations take, where their size is known.
fn evaluations(plan: &Plan, step: &Step, sheet: &mut Sheet) -> f64 {
    let eval = &plan.eval;
    if eval.every == 0 {
        return 0.0;
    }
    let times = plan.rl.steps.div_ceil(eval.every) as f64;
    let (sets, samples) = (eval.questions.len() as f64, eval.samples as f64);
    if eval.count == 0 {
        sheet.given("evaluations, NOT in the time", (times, ""), "eval.count is 0: their size is not known");
        return 0.0;
    }
    let each = eval.count as f64 * sets * samples;
    let seconds = times * each / step.conversations * step.gathering;
    let from = format!(
        "{times} evaluations x {each} conversations, as long as those of a step: {} s for {}",
        amount(step.gathering),
        step.conversations
    );
    sheet.computed("evaluations", (seconds, "s"), from)
}
