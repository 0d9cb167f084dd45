//! The section about a training server, and what a plan may ask of one.

use super::{Resolved, name};
use crate::config::Complaint;
use crate::config::check::{at_least, between, positive, some};
use crate::config::file::{AdapterFile, TinkerFile};
use crate::config::plan::{Adapter, LearnerName, Plan, PresetName, ReductionName, Tinker, WireName};

pub(super) fn tinker(file: TinkerFile) -> Resolved<Tinker> {
    let usual = Tinker::default();
    if file.url.as_ref().is_some_and(|url| url.contains(['?', '#', '@'])) {
        // Not shown: what stands there may be a key, and a plan is kept.
        return Err(Complaint::without_value(
            "tinker.url",
            "an address has no key, password or parameters in it",
        )
        .hint("name the environment variable with the key in tinker.key_env"));
    }
    let optional =
        |key: &str, number: Option<f64>| number.map(|number| at_least(key, number, 0.0)).transpose();
    Ok(Tinker {
        url: file.url.unwrap_or_default(),
        preset: chosen("tinker.preset", file.preset, PresetName::NAMES)?,
        base_model: file.base_model.unwrap_or_default(),
        key_env: file.key_env.unwrap_or_default(),
        timeout_s: positive("tinker.timeout_s", file.timeout_s.unwrap_or(usual.timeout_s))?,
        wait_s: positive("tinker.wait_s", file.wait_s.unwrap_or(usual.wait_s))?,
        retries: between("tinker.retries", file.retries.unwrap_or(usual.retries), 0, 20)?,
        concurrency: some("tinker.concurrency", file.concurrency.unwrap_or(usual.concurrency))?,
        wire: chosen("tinker.wire", file.wire, WireName::NAMES)?,
        reduction: chosen("tinker.reduction", file.reduction, ReductionName::NAMES)?,
        adam_per_step: file.adam_per_step,
        weight_decay: optional("tinker.weight_decay", file.weight_decay)?,
        max_grad_norm: optional("tinker.max_grad_norm", file.max_grad_norm)?,
        alpha: file.alpha.map(|alpha| positive("tinker.alpha", alpha)).transpose()?,
        full_training: file.full_training,
        stop_strings: file.stop_strings,
        stops_at_end: file.stops_at_end,
        lasting_samplers: file.lasting_samplers,
        base_sampling: file.base_sampling,
        repeatable: file.repeatable,
    })
}

fn chosen<T: Copy>(key: &str, written: Option<String>, names: &[(&str, T)]) -> Resolved<Option<T>> {
    written.map(|written| name(key, Some(written), names[0].1, names)).transpose()
}

/// The adapter's section, with the alpha that the server will take where none is written.
pub(super) fn with_alpha(file: AdapterFile, learner: LearnerName, tinker: &Tinker) -> AdapterFile {
    let (rank, quirks) = (file.rank.unwrap_or(0), tinker.quirks());
    match quirks {
        Some(quirks) if learner == LearnerName::Tinker && rank > 0 && file.alpha.is_none() => {
            AdapterFile { alpha: Some(quirks.alpha.at(rank)), ..file }
        }
        _ => file,
    }
}

/// A server that is not named, and an adapter that it would make otherwise.
pub(super) fn agree_on_tinker(plan: &Plan) -> Resolved<()> {
    if plan.model.learner != LearnerName::Tinker {
        return Ok(());
    }
    if plan.tinker.url.is_empty() {
        return Err(Complaint::without_value("tinker.url", "model.learner = \"tinker\" names no server")
            .hint("give it an address, such as `--set tinker.url=http://localhost:8000`"));
    }
    let Some(quirks) = plan.tinker.quirks() else {
        let known: Vec<&str> = PresetName::NAMES.iter().map(|(name, _)| *name).collect();
        return Err(Complaint::without_value(
            "tinker.preset",
            "servers of one protocol differ in what they compute",
        )
        .hint(format!("say which kind it is: {}", known.join(", "))));
    };
    let Adapter { path, rank, alpha, rslora, targets } = &plan.adapter;
    if !path.is_empty() {
        return Err(Complaint::new(
            "adapter.path",
            format!("\"{path}\""),
            "no server takes up an adapter of this machine",
        )
        .hint("give adapter.rank to train a new one; resume a run with `--resume` to go on with its own"));
    }
    let usual = Adapter::default().targets;
    let same = targets.len() == usual.len() && usual.iter().all(|target| targets.contains(target));
    if *rank > 0 && !same {
        return Err(Complaint::without_value(
            "adapter.targets",
            "servers train the seven modules of a layer, and only those",
        )
        .hint("leave it out"));
    }
    if *rank > 0 && *rslora {
        return Err(
            Complaint::new("adapter.rslora", true, "the server scales by alpha / rank").hint("leave it out")
        );
    }
    let always = quirks.alpha.at(*rank);
    if *rank > 0 && *alpha != always {
        return Err(Complaint::new(
            "adapter.alpha",
            alpha,
            format!("the server gives every adapter of that rank {always}"),
        )
        .hint(format!("set it to {always}, or tell tinker.alpha what your server does")));
    }
    Ok(())
}
