//! Adapters: from a plan's `[adapter]` to low-rank factors over its model.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use zerosearch_local::{AdapterShape, Checkpoint};

use super::{BIGRAM, SCRIPTED, SERVER};
use crate::config::{Adapter, AdapterTarget, Model, Plan};
use crate::problem::problem;
use crate::train::sha256_of;

/// What stands before the names of an adapter's files among the hashes of its model's.
pub(super) const PREFIX: &str = "adapter/";
/// The files that decide what an adapter does.
const FILES: [&str; 2] = ["adapter_config.json", "adapter_model.safetensors"];

/// Refuses an adapter for what has no weights in this process.
pub(super) fn refuse_without_weights(model: &Model, adapter: &Adapter) -> Result<()> {
    let is_asked = adapter.rank > 0 || !adapter.path.is_empty();
    let has_none = [BIGRAM, SCRIPTED, SERVER].contains(&model.path.as_str())
        || Path::new(&model.path).join("bigram.json").is_file();
    if is_asked && has_none {
        return Err(problem(format!("model.path = \"{}\" takes no adapter", model.path))
            .hint("leave `[adapter]` out, or name the local model that the adapter is for")
            .into());
    }
    Ok(())
}

/// The adapter that training `plan` changes, if it does not change the model itself: the one that it names, or a new one that
/// is drawn from `seed`.
pub(super) fn to_train(
    plan: &Plan,
    seed: u64,
    checkpoint: &Checkpoint,
) -> Result<Option<zerosearch_local::Adapter>> {
    if let Some(adapter) = read(&plan.model, &plan.adapter, checkpoint)? {
        return Ok(Some(adapter));
    }
    let Some(shape) = shape(&plan.adapter) else { return Ok(None) };
    let adapter = zerosearch_local::Adapter::new(checkpoint, &plan.model.path, shape, seed);
    Ok(Some(adapter.context("no such adapter can be trained")?))
}

/// The adapter that `adapter` names, for `model`.
pub(super) fn read(
    model: &Model,
    adapter: &Adapter,
    checkpoint: &Checkpoint,
) -> Result<Option<zerosearch_local::Adapter>> {
    if adapter.path.is_empty() {
        return Ok(None);
    }
    let read = zerosearch_local::Adapter::read(Path::new(&adapter.path), checkpoint, &model.path);
    Ok(Some(read.with_context(|| format!("the adapter {} cannot be opened", adapter.path))?))
}

/// The shape of a new adapter, if one is wanted.
pub(crate) fn shape(adapter: &Adapter) -> Option<AdapterShape> {
    let Adapter { rank, alpha, rslora, .. } = *adapter;
    let targets = adapter.targets.iter().map(|target| local(*target)).collect();
    (rank > 0).then_some(AdapterShape { rank, alpha, rslora, targets })
}

/// SHA-256 of the files of the adapter that `adapter` names.
pub(super) fn hashes(adapter: &Adapter) -> Result<BTreeMap<String, String>> {
    if adapter.path.is_empty() {
        return Ok(BTreeMap::new());
    }
    let files = FILES.map(|name| (name, Path::new(&adapter.path).join(name)));
    let there = files.into_iter().filter(|(_, path)| path.is_file());
    there.map(|(name, path)| Ok((format!("{PREFIX}{name}"), sha256_of(&path)?))).collect()
}

fn local(target: AdapterTarget) -> zerosearch_local::AdapterTarget {
    match target {
        AdapterTarget::Query => zerosearch_local::AdapterTarget::Query,
        AdapterTarget::Key => zerosearch_local::AdapterTarget::Key,
        AdapterTarget::Value => zerosearch_local::AdapterTarget::Value,
        AdapterTarget::Output => zerosearch_local::AdapterTarget::Output,
        AdapterTarget::Gate => zerosearch_local::AdapterTarget::Gate,
        AdapterTarget::Up => zerosearch_local::AdapterTarget::Up,
        AdapterTarget::Down => zerosearch_local::AdapterTarget::Down,
        AdapterTarget::Head => zerosearch_local::AdapterTarget::Head,
    }
}
