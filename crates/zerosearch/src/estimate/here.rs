//! Here: what a training takes of this machine, where the local learner trains, samples and plays the simulator.

use anyhow::Result;

use super::measured::{Found, Measured};
use super::pace::{Machines, Model, Rows};
use super::sheet::{Sheet, amount};
use super::workload::Workload;
use super::{Step, finish_step, model_of, sampling, training};
use crate::config::{self, Arithmetic, Cost, EngineName, Plan};
use crate::doctor::{memory_of, speed};
use crate::learners::shape;

/// Seconds of a step on this machine, after its memory.
pub(super) async fn seconds(
    (plan, cost): (&Plan, &Cost),
    work: &Workload,
    measured: &Measured,
    sheet: &mut Sheet,
) -> Result<(Step, usize)> {
    sheet.begin("MEMORY, this machine");
    for (what, gib) in memory_of(plan).await? {
        sheet.given(&what, (gib, "GiB"), "as `zerosearch doctor` counts it");
    }
    sheet.begin("TIME OF A STEP, this machine");
    let machine = machine(cost, measured, sheet).await?;
    let policy = model(plan, &plan.model, sheet).await?;
    let rows = Rows { count: rows(plan, work), behind: work.sequence / 2.0 };
    let sampled = match (&measured.decoded_per_s, &measured.read_per_s) {
        (Some(decoded), Some(read)) => {
            let (decoded, read) =
                (known("policy: decoding", decoded, sheet), known("policy: reading", read, sheet));
            let from = format!(
                "{} tokens / {} a second + {} tokens / {} a second",
                amount(work.read),
                amount(read),
                amount(work.written),
                amount(decoded)
            );
            sheet.computed("policy: time", (work.read / read + work.written / decoded, "s"), from)
        }
        _ => sampling("policy", (&machine, &policy), rows, (work.read, work.written), sheet),
    };
    let played = playing((plan, &machine, &policy), work, sheet).await?;
    let from = format!("{} + {}, one after the other on the same cores", amount(sampled), amount(played));
    let gathering = sheet.computed("conversations: time", (sampled + played, "s"), from);
    let trained = match &measured.trained_per_s {
        Some(rate) => {
            let rate = known("training", rate, sheet);
            let from = format!("{} tokens / {} a second", amount(work.trained), amount(rate));
            sheet.computed("training: time", (work.trained / rate, "s"), from)
        }
        None => {
            let adapted = plan.adapter.rank > 0 || !plan.adapter.path.is_empty();
            training((plan, &machine), work, (&policy, adapted, false), sheet)
        }
    };
    Ok((finish_step((gathering, trained), work, sheet), 1))
}

fn known(name: &str, found: &Found, sheet: &mut Sheet) -> f64 {
    sheet.measured(name, (found.value, "tokens/s"), &found.source)
}

fn rows(plan: &Plan, work: &Workload) -> f64 {
    work.conversations.min(plan.rollout.concurrency as f64)
}

/// What this machine reaches: as measured before, or now.
async fn machine(cost: &Cost, measured: &Measured, sheet: &mut Sheet) -> Result<Machines> {
    let (gflops, gb_per_s) = match (&measured.gflops, &measured.gb_per_s) {
        (Some(gflops), Some(gb_per_s)) => (gflops.clone(), gb_per_s.clone()),
        _ => {
            let (gflops, gb_per_s) = speed().await?;
            let now = |value| Found { value, source: "just now, as `zerosearch doctor` does".into() };
            (now(gflops), now(gb_per_s))
        }
    };
    let gflops = sheet.measured("peak", (gflops.value, "GFLOP/s"), &gflops.source);
    let gb_per_s = sheet.measured("reading from memory", (gb_per_s.value, "GB/s"), &gb_per_s.source);
    let compute = sheet.assumed("share of the GFLOP/s", cost.compute_share, "");
    let read = sheet.assumed("share of the GB/s when decoding", cost.read_share, "");
    Ok(Machines { flops: gflops * 1e9 * compute, bytes: gb_per_s * 1e9 * read, copies: 1.0 })
}

async fn model(plan: &Plan, named: &config::Model, sheet: &mut Sheet) -> Result<Model> {
    let shape = shape(named, plan.run.seed).await?;
    let bytes = match plan.model.arithmetic {
        Arithmetic::Bf16 => 2.0,
        Arithmetic::F32 => 4.0,
    };
    let model = model_of(&shape, bytes);
    sheet.given(&format!("parameters of {}", named.path), (model.parameters, ""), "its config.json");
    Ok(model)
}

/// How long the simulator plays, where it plays in this process.
async fn playing(
    (plan, machine, policy): (&Plan, &Machines, &Model),
    work: &Workload,
    sheet: &mut Sheet,
) -> Result<f64> {
    let simulator = &plan.simulator;
    if plan.rollout.engine != EngineName::Simulated || work.calls == 0.0 {
        return Ok(0.0);
    }
    if !simulator.urls.is_empty() {
        sheet.given("simulator: time", (0.0, "s"), "it is on servers (simulator.urls), NOT counted here");
        return Ok(0.0);
    }
    let model = match plan.simulator_model() {
        None => *policy,
        Some((named, _)) if named == plan.model => *policy,
        Some((named, _)) => model(plan, &named, sheet).await?,
    };
    let rows = Rows { count: rows(plan, work), behind: work.call_read + work.call_written / 2.0 };
    let tokens = (work.calls * work.call_read, work.calls * work.call_written);
    Ok(sampling("simulator", (machine, &model), rows, tokens, sheet))
}
