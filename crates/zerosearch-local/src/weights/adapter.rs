//! An adapter: the numbers of low-rank factors, as `peft` keeps them in a folder, and how they are merged into a model.

use std::borrow::Cow;
use std::io::Write;
use std::path::Path;

use rand::Rng;
use serde_json::Value;
use zerosearch_learner::seed::Seed;
use zerosearch_learner::{LearnerError, Result};

use super::adapter_config;
use super::checkpoint::Checkpoint;
use super::directory::read_json;
use super::draft::Draft;
use super::export::{Dtype, Shape, export, write_shard};
use super::safetensors::{Safetensors, Wanted};
use crate::model::adapter::AdapterTarget;
use crate::model::{AdapterShape, Layout};

pub(super) const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";

/// Low-rank factors that change some projections of a model.
#[derive(Clone)]
pub struct Adapter {
    shape: AdapterShape,
    /// The model that it was made for, as its maker named it.
    base: String,
    pub(crate) layout: Layout,
    pub(crate) weights: Vec<f32>,
}

impl Adapter {
    /// A new adapter of `shape` for the model `checkpoint`, which is named `base`. It changes nothing yet: every `A` is
    /// drawn uniformly within `1 / sqrt(inputs)`, as `peft` draws it, the same for the same `seed`; every `B` is zero.
    pub fn new(checkpoint: &Checkpoint, base: &str, shape: AdapterShape, seed: u64) -> Result<Self> {
        shape.check(&checkpoint.config).map_err(LearnerError::Unsupported)?;
        let layout = Layout::of_adapter(&checkpoint.config, &shape);
        let mut weights = vec![0.0; layout.total()];
        let seed = Seed::run(seed).purpose("adapter");
        for tensor in layout.tensors.iter().filter(|tensor| tensor.name.ends_with("lora_A.weight")) {
            let bound = 1.0 / (tensor.shape[1] as f64).sqrt();
            let mut generator = seed.purpose(&tensor.name).generator();
            for weight in &mut weights[tensor.place.clone()] {
                // 53 bits, as many as an f64 holds exactly: from -1 to 1 without 1.
                let share = (generator.next_u64() >> 11) as f64 / (1u64 << 52) as f64 - 1.0;
                *weight = (bound * share) as f32;
            }
        }
        Ok(Self { shape, base: base.to_owned(), layout, weights })
    }

    /// Reads the folder of an adapter for the model `checkpoint`, which is named `base`. Refused when it was made for
    /// a model of another name or of other dimensions, or does what this program cannot compute.
    pub fn read(directory: &Path, checkpoint: &Checkpoint, base: &str) -> Result<Self> {
        let (shape, made_for) = read_config(directory)?;
        let path = directory.join(CONFIG);
        if !may_be_the_same(&made_for, base) {
            let problem = format!(
                "this adapter was made for the model {made_for}, not for {base}; if that is the same model under another \
                 name, write it behind `base_model_name_or_path` there"
            );
            return Err(LearnerError::bad_model(path, problem));
        }
        shape.check(&checkpoint.config).map_err(|problem| LearnerError::bad_model(&path, problem))?;
        let layout = Layout::of_adapter(&checkpoint.config, &shape);
        let file = directory.join(WEIGHTS);
        if !file.exists() {
            return Err(LearnerError::bad_model(
                directory,
                format!("there is no `{WEIGHTS}` beside `{CONFIG}`"),
            ));
        }
        let wanted = Wanted {
            tensors: shapes(&layout),
            asked_by: &format!("`{CONFIG}` over the model {} asks", checkpoint.path().display()),
            whole: &format!("what `{CONFIG}` describes"),
            is_harmless: &|_| false,
        };
        let tensors = Safetensors::of_files(directory, vec![file.clone()], wanted)?;
        let mut weights = Vec::with_capacity(layout.total());
        for tensor in &layout.tensors {
            let numbers = tensors.tensor(&tensor.name)?;
            if let Some(at) = numbers.iter().position(|number| !number.is_finite()) {
                let problem = format!("tensor `{}` holds {} at index {at}", tensor.name, numbers[at]);
                return Err(LearnerError::bad_model(file, problem));
            }
            weights.extend(numbers);
        }
        Ok(Self { shape, base: made_for, layout, weights })
    }

    /// The model that the adapter in `directory` was made for, as its maker named it.
    pub fn base_of(directory: &Path) -> Result<String> {
        Ok(read_config(directory)?.1)
    }

    /// What it is like.
    pub fn shape(&self) -> &AdapterShape {
        &self.shape
    }

    /// Such an adapter with other numbers.
    pub(crate) fn with_weights(&self, weights: &[f32]) -> Self {
        let Self { shape, base, layout, .. } = self;
        Self { shape: shape.clone(), base: base.clone(), layout: layout.clone(), weights: weights.to_vec() }
    }

    /// Writes the folder that `peft` and vLLM load: `adapter_config.json` and the numbers in f32. Both are written aside,
    /// synced, and only then renamed.
    pub fn write(&self, directory: &Path) -> Result<()> {
        let mut draft = Draft::new(directory)?;
        let numbers = |name: &str| match self.layout.tensors.iter().find(|tensor| tensor.name == name) {
            Some(tensor) => Ok(Cow::Borrowed(&self.weights[tensor.place.clone()])),
            None => Err(LearnerError::Unsupported(format!("no parameter `{name}`"))),
        };
        draft.write(WEIGHTS, |file: &mut dyn Write| {
            write_shard(file, &shapes(&self.layout), Dtype::F32, &numbers)
        })?;
        draft.write_json(CONFIG, &adapter_config::write(&self.shape, &self.base))?;
        draft.publish(|_, _| Ok(Vec::new()))
    }

    /// `W += scale * B A`, where `W` are the `numbers` of the model's parameter `name`.
    fn merge(&self, name: &str, numbers: &mut [f32]) {
        let Some(module) = name.strip_suffix(".weight") else { return };
        let find = |factor: &str| {
            let name = format!("base_model.model.{module}.lora_{factor}.weight");
            self.layout.tensors.iter().find(|tensor| tensor.name == name)
        };
        let (Some(a), Some(b)) = (find("A"), find("B")) else { return };
        let (rank, inputs, scale) = (a.shape[0], a.shape[1], self.shape.scale());
        let (a, b) = (&self.weights[a.place.clone()], &self.weights[b.place.clone()]);
        let mut change = vec![0.0; inputs];
        for (row, b) in numbers.chunks_exact_mut(inputs).zip(b.chunks_exact(rank)) {
            change.fill(0.0);
            for (b, a) in b.iter().zip(a.chunks_exact(inputs)) {
                change.iter_mut().zip(a).for_each(|(change, a)| *change += b * a);
            }
            row.iter_mut().zip(&change).for_each(|(number, change)| *number += scale * change);
        }
    }

    /// Writes the model `checkpoint` with this adapter merged into it, as [`export`](super::export()) does. A changed head that
    /// is the embedding too is refused.
    pub fn export_merged(&self, checkpoint: &Checkpoint, directory: &Path, dtype: Dtype) -> Result<()> {
        if self.shape.has(AdapterTarget::Head) && checkpoint.config.tied_head {
            return Err(LearnerError::Unsupported(format!(
                "the adapter changes the head of {}, which is its embedding too: merged, it would change both; keep it \
                 beside the model",
                checkpoint.path().display()
            )));
        }
        let tensor = |name: &str| {
            let mut numbers = checkpoint.tensor(name)?;
            self.merge(name, &mut numbers);
            Ok(Cow::Owned(numbers))
        };
        export(directory, &checkpoint.origin(), dtype, &tensor)
    }
}

fn read_config(directory: &Path) -> Result<(AdapterShape, String)> {
    let path = directory.join(CONFIG);
    if !path.exists() {
        let problem =
            format!("there is no `{CONFIG}` in this folder, so it is not an adapter as `peft` keeps it");
        return Err(LearnerError::bad_model(directory, problem));
    }
    let Value::Object(json) = read_json(&path)? else {
        return Err(LearnerError::bad_model(path, "this is not a JSON object"));
    };
    adapter_config::read(&json).map_err(|problem| LearnerError::bad_model(path, problem))
}

fn shapes(layout: &Layout) -> Vec<Shape> {
    layout.tensors.iter().map(|tensor| (tensor.name.clone(), tensor.shape.clone())).collect()
}

/// Whether two names may mean the same model: wherever it lies, and in whatever form.
fn may_be_the_same(one: &str, other: &str) -> bool {
    let name = |written: &str| {
        let last = written.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let last = last.split('@').next().unwrap_or_default();
        last.strip_suffix(".gguf").unwrap_or(last).to_lowercase()
    };
    let (one, other) = (name(one), name(other));
    one.is_empty() || other.is_empty() || one == other
}

#[cfg(test)]
#[path = "adapter_tests.rs"]
mod tests;
