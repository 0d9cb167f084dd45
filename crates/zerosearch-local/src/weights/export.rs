//! A model directory as `transformers`, vLLM and llama.cpp open it, written whole or not at all.

use std::borrow::Cow;
use std::fs;
use std::io::Write;
use std::path::Path;

use half::bf16;
use serde_json::{Map, Value, json};
use zerosearch_learner::{LearnerError, Result};

use super::checkpoint::Origin;
use super::directory::{CONFIG, GENERATION_CONFIG};
use super::draft::{Draft, Failure};
use super::safetensors::{INDEX, SINGLE};

/// A weight file is closed before it passes this many bytes, as `save_pretrained` does.
const LARGEST_FILE: usize = 5_000_000_000;

/// How numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// 16 bits, rounded to the nearest (ties to even).
    Bf16,
    /// 32 bits, nothing lost.
    F32,
}

impl Dtype {
    fn bytes(self) -> usize {
        match self {
            Self::Bf16 => 2,
            Self::F32 => 4,
        }
    }

    /// The name that `transformers` uses.
    fn name(self) -> &'static str {
        match self {
            Self::Bf16 => "bfloat16",
            Self::F32 => "float32",
        }
    }

    /// The name that safetensors files use.
    fn tag(self) -> &'static str {
        match self {
            Self::Bf16 => "BF16",
            Self::F32 => "F32",
        }
    }
}

/// Gives the numbers of a parameter by its name in [`ModelConfig::tensors`](crate::ModelConfig::tensors).
pub type Tensors<'a> = &'a dyn Fn(&str) -> Result<Cow<'a, [f32]>>;

/// Writes the model `origin` with the numbers that `tensors` gives into `directory`, which is made if need be:
/// weights, `config.json`, `generation_config.json`, tokenizer and chat template.
///
/// All files are written aside, synced, and only then renamed; older weight files in `directory` are removed last.
/// A number that is not finite, or would not be as `dtype`, is refused and nothing is changed.
pub fn export(directory: &Path, origin: &Origin, dtype: Dtype, tensors: Tensors<'_>) -> Result<()> {
    export_in_files_of(LARGEST_FILE, directory, origin, dtype, tensors)
}

fn export_in_files_of(
    largest: usize,
    directory: &Path,
    origin: &Origin,
    dtype: Dtype,
    tensors: Tensors<'_>,
) -> Result<()> {
    let mut draft = Draft::new(directory)?;
    let shards = shards_of(origin.config.tensors(), dtype, largest);
    let names: Vec<String> = (1..=shards.len()).map(|number| file_name(number, shards.len())).collect();
    for (name, shard) in names.iter().zip(&shards) {
        draft.write(name, |file| write_shard(file, shard, dtype, tensors))?;
    }
    if names.len() > 1 {
        draft.write_json(INDEX, &index(&names, &shards, dtype))?;
    }
    for file in origin.text.files() {
        draft.write(&file.name, |to| Ok(to.write_all(&file.bytes)?))?;
    }
    if let Some(bytes) = generation_config(origin) {
        draft.write(GENERATION_CONFIG, |to| Ok(to.write_all(&bytes)?))?;
    }
    draft.write_json(CONFIG, &Value::Object(config(origin, dtype)))?;
    draft.publish(stale_weights)
}

/// A tensor by its name and shape.
pub(super) type Shape = (String, Vec<usize>);

fn size_of_tensor((_, shape): &Shape, dtype: Dtype) -> usize {
    shape.iter().product::<usize>() * dtype.bytes()
}

/// Cuts the list of parameters where the next one would make a file too large.
fn shards_of(tensors: Vec<Shape>, dtype: Dtype, largest: usize) -> Vec<Vec<Shape>> {
    let mut shards: Vec<Vec<Shape>> = Vec::new();
    let mut size = 0;
    for tensor in tensors {
        let bytes = size_of_tensor(&tensor, dtype);
        match shards.last_mut() {
            Some(shard) if size + bytes <= largest => {
                size += bytes;
                shard.push(tensor);
            }
            _ => {
                size = bytes;
                shards.push(vec![tensor]);
            }
        }
    }
    shards
}

fn file_name(number: usize, count: usize) -> String {
    match count {
        1 => SINGLE.to_owned(),
        _ => format!("model-{number:05}-of-{count:05}.safetensors"),
    }
}

/// Writes one safetensors file: the header's length (8 bytes), the header as JSON, padded to 8 bytes, the numbers.
pub(super) fn write_shard(
    file: &mut dyn Write,
    shard: &[Shape],
    dtype: Dtype,
    tensors: Tensors<'_>,
) -> Result<(), Failure> {
    let mut header = Map::new();
    header.insert("__metadata__".into(), json!({ "format": "pt" }));
    let mut start = 0;
    for tensor in shard {
        let end = start + size_of_tensor(tensor, dtype);
        let (name, shape) = tensor;
        header.insert(
            name.clone(),
            json!({ "dtype": dtype.tag(), "shape": shape, "data_offsets": [start, end] }),
        );
        start = end;
    }
    let mut header = Value::Object(header).to_string();
    let padded = header.len().next_multiple_of(8);
    header.extend(std::iter::repeat_n(' ', padded - header.len()));
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(header.as_bytes())?;
    for tensor in shard {
        write_tensor(file, tensor, dtype, tensors)?;
    }
    Ok(())
}

fn write_tensor(
    file: &mut dyn Write,
    (name, shape): &Shape,
    dtype: Dtype,
    tensors: Tensors<'_>,
) -> Result<(), Failure> {
    let numbers = tensors(name)?;
    let expected: usize = shape.iter().product();
    if numbers.len() != expected {
        let problem = format!("tensor `{name}` has {} numbers, its shape asks for {expected}", numbers.len());
        return Err(LearnerError::BadRequest(problem).into());
    }
    for (chunk, numbers) in numbers.chunks(CHUNK).enumerate() {
        let stays_finite = |number: &f32| match dtype {
            Dtype::Bf16 => bf16::from_f32(*number).is_finite(),
            Dtype::F32 => number.is_finite(),
        };
        if let Some(index) = numbers.iter().position(|number| !stays_finite(number)) {
            let problem = format!(
                "tensor `{name}` holds {} at index {}, which cannot be stored as {}; the model was not written",
                numbers[index],
                chunk * CHUNK + index,
                dtype.name()
            );
            return Err(LearnerError::NotFinite(problem).into());
        }
        let bytes: Vec<u8> = match dtype {
            Dtype::Bf16 => numbers.iter().flat_map(|&number| bf16::from_f32(number).to_le_bytes()).collect(),
            Dtype::F32 => numbers.iter().flat_map(|number| number.to_le_bytes()).collect(),
        };
        file.write_all(&bytes)?;
    }
    Ok(())
}

/// How many numbers are turned into bytes at once.
const CHUNK: usize = 1 << 16;

fn index(names: &[String], shards: &[Vec<Shape>], dtype: Dtype) -> Value {
    let total: usize = shards.iter().flatten().map(|tensor| size_of_tensor(tensor, dtype)).sum();
    let place = |(name, shard): (&String, &Vec<Shape>)| -> Vec<(String, Value)> {
        shard.iter().map(|(tensor, _)| (tensor.clone(), name.as_str().into())).collect()
    };
    let map: Map<String, Value> = names.iter().zip(shards).flat_map(place).collect();
    json!({ "metadata": { "total_size": total }, "weight_map": map })
}

/// The model's own `config.json` with the new type, or one made up for it.
fn config(origin: &Origin, dtype: Dtype) -> Map<String, Value> {
    let mut config = origin.files.config.clone().unwrap_or_else(|| {
        let mut config = origin.config.to_json();
        config.extend(special_ids(origin));
        config
    });
    // Transformers 4 says `torch_dtype`, 5 says `dtype`.
    let spellings = ["dtype", "torch_dtype"];
    let present: Vec<&str> = spellings.into_iter().filter(|key| config.contains_key(*key)).collect();
    for key in if present.is_empty() { spellings.to_vec() } else { present } {
        config.insert(key.into(), dtype.name().into());
    }
    config
}

/// The model's own `generation_config.json`, or one made up if it did not come from a model directory.
fn generation_config(origin: &Origin) -> Option<Vec<u8>> {
    if let Some(bytes) = &origin.files.generation_config {
        return Some(bytes.clone());
    }
    if origin.files.config.is_some() {
        return None;
    }
    let mut config: Map<String, Value> = special_ids(origin).collect();
    config.insert("eos_token_id".into(), json!(origin.text.stop_tokens()));
    Some(format!("{:#}\n", Value::Object(config)).into_bytes())
}

fn special_ids(origin: &Origin) -> impl Iterator<Item = (String, Value)> {
    ["bos_token", "eos_token", "pad_token"].into_iter().filter_map(|role| {
        let id = origin.text.named_token(role)?;
        Some((format!("{role}_id"), id.into()))
    })
}

/// Weight files of an earlier export that this one did not replace; left there, they would be read instead of it or
/// beside it.
fn stale_weights(directory: &Path, written: &[String]) -> Result<Vec<String>> {
    let entries = fs::read_dir(directory).map_err(|error| LearnerError::io(directory, error))?;
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let is_weights = |name: &String| {
        name == SINGLE || name == INDEX || (name.starts_with("model-") && name.ends_with(".safetensors"))
    };
    Ok(names.filter(is_weights).filter(|name| !written.contains(name)).collect())
}

#[cfg(test)]
#[path = "export_tests.rs"]
mod tests;
