//! The tensors of a model directory: one safetensors file, or several with an index, mapped into memory.

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use zerosearch_learner::{LearnerError, Result};

use super::directory::read_json;
use super::map::Map;
use crate::model::config::ModelConfig;

pub(super) const SINGLE: &str = "model.safetensors";
pub(super) const INDEX: &str = "model.safetensors.index.json";

/// The tensors of a model or an adapter, in open files.
pub(super) struct Safetensors {
    shards: Vec<Shard>,
    places: HashMap<String, Place>,
}

/// What files should hold.
pub(super) struct Wanted<'a> {
    pub(super) tensors: Vec<(String, Vec<usize>)>,
    /// Who says so, in words.
    pub(super) asked_by: &'a str,
    /// What the tensors make together, in words.
    pub(super) whole: &'a str,
    /// Whether a tensor of this name may be there too.
    pub(super) is_harmless: &'a dyn Fn(&str) -> bool,
}

struct Shard {
    path: PathBuf,
    map: Map,
}

/// Where a tensor lies, and as what.
#[derive(Clone)]
struct Place {
    shard: usize,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Range<usize>,
}

impl Safetensors {
    /// Opens the weight files of `directory`. Afterwards every parameter of `config` is there, in its shape and in a
    /// type that can be read; a tensor that the model does not know is refused.
    pub(super) fn open(directory: &Path, config: &ModelConfig) -> Result<Self> {
        let wanted = Wanted {
            tensors: config.tensors(),
            asked_by: "`config.json` asks",
            whole: &format!("a {} model", config.family.name()),
            is_harmless: &|name| is_harmless(name, config),
        };
        Self::of_files(directory, weight_files(directory)?, wanted)
    }

    /// Opens `files` of `directory`, which hold what is wanted and nothing else.
    pub(super) fn of_files(directory: &Path, files: Vec<PathBuf>, wanted: Wanted<'_>) -> Result<Self> {
        let mut shards = Vec::new();
        let mut stored = HashMap::new();
        for path in files {
            let map = Map::open(&path)?;
            for (name, place) in read_header(&path, &map, shards.len())? {
                if stored.insert(name.clone(), place).is_some() {
                    return Err(LearnerError::bad_model(path, format!("tensor `{name}` is in two files")));
                }
            }
            shards.push(Shard { path, map });
        }
        let mut this = Self { shards, places: HashMap::new() };
        for (name, shape) in wanted.tensors {
            let place = stored.remove(&name).ok_or_else(|| {
                LearnerError::bad_model(directory, format!("tensor `{name}` is missing from the weights"))
            })?;
            this.refuse_unreadable(&name, &place, (&shape, wanted.asked_by))?;
            this.places.insert(name, place);
        }
        let mut extra: Vec<String> = stored.into_keys().filter(|name| !(wanted.is_harmless)(name)).collect();
        extra.sort_unstable();
        match extra.first() {
            None => Ok(this),
            Some(name) => Err(LearnerError::bad_model(
                directory,
                format!(
                    "tensor `{name}` ({} such in all) is not part of {} as this program knows it",
                    extra.len(),
                    wanted.whole
                ),
            )),
        }
    }

    /// The numbers of the tensor `name`, row by row.
    pub(super) fn tensor(&self, name: &str) -> Result<Vec<f32>> {
        let place = self.places.get(name).ok_or_else(|| {
            let path = self.shards.first().map_or(Path::new(SINGLE), |shard| &shard.path);
            LearnerError::bad_model(path, format!("tensor `{name}` is not part of this model"))
        })?;
        let shard = &self.shards[place.shard];
        let read = |bytes: &[u8]| match place.dtype {
            Dtype::BF16 => numbers(bytes, |bytes| bf16::from_le_bytes(bytes).to_f32()),
            Dtype::F16 => numbers(bytes, |bytes| f16::from_le_bytes(bytes).to_f32()),
            _ => numbers(bytes, f32::from_le_bytes),
        };
        shard.map.read(place.bytes.clone(), read).ok_or_else(|| torn(&shard.path, "it is too short"))
    }

    fn refuse_unreadable(
        &self,
        name: &str,
        place: &Place,
        (shape, asked_by): (&[usize], &str),
    ) -> Result<()> {
        let path = &self.shards[place.shard].path;
        if place.shape != shape {
            let problem =
                format!("tensor `{name}` is {}, {asked_by} for {}", spell(&place.shape), spell(shape));
            return Err(LearnerError::bad_model(path, problem));
        }
        if !matches!(place.dtype, Dtype::F32 | Dtype::BF16 | Dtype::F16) {
            let problem = format!(
                "tensor `{name}` is stored as {}; known are F32, BF16 and F16 (for quantised models use GGUF)",
                place.dtype
            );
            return Err(LearnerError::bad_model(path, problem));
        }
        Ok(())
    }
}

/// The one file, or those that the index names.
fn weight_files(directory: &Path) -> Result<Vec<PathBuf>> {
    let single = directory.join(SINGLE);
    if single.exists() {
        return Ok(vec![single]);
    }
    let index = directory.join(INDEX);
    if !index.exists() {
        return Err(LearnerError::bad_model(
            directory,
            format!(
                "there is neither `{SINGLE}` nor `{INDEX}`; pickled weights (`*.bin`, `*.pth`) are not read"
            ),
        ));
    }
    let names = shard_names(&index, &read_json(&index)?)?;
    names
        .into_iter()
        .map(|name| match directory.join(&name) {
            path if path.exists() => Ok(path),
            path => {
                Err(LearnerError::bad_model(path, format!("`{INDEX}` names this file, but it is missing")))
            }
        })
        .collect()
}

/// The files that an index names, sorted, each once. A name that leads out of the folder is refused.
pub(super) fn shard_names(index: &Path, content: &Value) -> Result<Vec<String>> {
    let refuse = |problem: String| LearnerError::bad_model(index, problem);
    let map = content["weight_map"].as_object().ok_or_else(|| refuse("it has no `weight_map`".into()))?;
    let mut names = Vec::new();
    for (tensor, file) in map {
        let name = file.as_str().unwrap_or_default();
        let plain =
            name.ends_with(".safetensors") && !name.contains(['/', '\\', ':']) && !name.starts_with('.');
        if !plain {
            return Err(refuse(format!(
                "it says that tensor `{tensor}` is in {file}, which is no file of this folder"
            )));
        }
        names.push(name.to_owned());
    }
    names.sort_unstable();
    names.dedup();
    match names.is_empty() {
        true => Err(refuse("its `weight_map` is empty".into())),
        false => Ok(names),
    }
}

fn read_header(path: &Path, map: &Map, shard: usize) -> Result<Vec<(String, Place)>> {
    let (header, metadata) =
        SafeTensors::read_metadata(map).map_err(|error| torn(path, &error.to_string()))?;
    let start = size_of::<u64>() + header;
    let place = |(name, info): (String, &safetensors::tensor::TensorInfo)| {
        let (from, to) = info.data_offsets;
        (name, Place { shard, dtype: info.dtype, shape: info.shape.clone(), bytes: start + from..start + to })
    };
    Ok(metadata.tensors().into_iter().map(place).collect())
}

fn torn(path: &Path, problem: &str) -> LearnerError {
    LearnerError::bad_model(
        path,
        format!(
            "this is not a whole safetensors file ({problem}); it may be half downloaded: delete it, fetch it again"
        ),
    )
}

/// Tensors that checkpoints carry and that say nothing new: old rotary tables, and a head that is the embedding anyway.
fn is_harmless(name: &str, config: &ModelConfig) -> bool {
    name.ends_with("rotary_emb.inv_freq") || (config.tied_head && name == "lm_head.weight")
}

fn numbers<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|&bytes| number(bytes)).collect()
}

/// A shape as people write it: `576 x 1536`.
fn spell(shape: &[usize]) -> String {
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" x ")
}
