//! The files of a bigram model: a header, its numbers in little-endian f32, and the tokenizer.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::bigram::Table;
use super::learner::State;
use crate::text::Text;
use crate::{LearnerError, Result};

const HEADER: &str = "bigram.json";
const WEIGHTS: &str = "bigram.weights";
const OPTIMIZER: &str = "bigram.optimizer";
const STEP: &str = "bigram.step.json";

#[derive(Serialize, Deserialize)]
struct Header {
    vocabulary: usize,
}

#[derive(Serialize, Deserialize)]
struct Step {
    step: u64,
}

pub(super) fn write_model(directory: &Path, table: &Table, text: &Text) -> Result<()> {
    write_json(directory, HEADER, &Header { vocabulary: table.vocabulary })?;
    write(directory, WEIGHTS, &bytes(&table.logits))?;
    text.files().iter().try_for_each(|file| write(directory, &file.name, &file.bytes))
}

pub(super) fn write_optimizer(directory: &Path, state: &State) -> Result<()> {
    write_json(directory, STEP, &Step { step: state.step })?;
    let moments = [bytes(&state.first_moment), bytes(&state.second_moment)].concat();
    write(directory, OPTIMIZER, &moments)
}

/// What `write_model` and `write_optimizer` wrote; a model without an optimizer's files has a new one. Refused when it is for another
/// vocabulary or torn.
pub(super) fn read(directory: &Path, vocabulary: usize) -> Result<State> {
    let header: Header = read_json(directory, HEADER)?;
    if header.vocabulary != vocabulary {
        let problem = format!("it is for {} tokens, the tokenizer has {vocabulary}", header.vocabulary);
        return Err(LearnerError::bad_model(directory.join(HEADER), problem));
    }
    let count = vocabulary * vocabulary;
    let logits = read_numbers(directory, WEIGHTS, count)?;
    if !directory.join(STEP).exists() && !directory.join(OPTIMIZER).exists() {
        return Ok(State::fresh(Arc::new(Table { vocabulary, logits })));
    }
    let mut first_moment = read_numbers(directory, OPTIMIZER, 2 * count)?;
    let second_moment = first_moment.split_off(count);
    let Step { step } = read_json(directory, STEP)?;
    Ok(State {
        table: Arc::new(Table { vocabulary, logits }),
        first_moment,
        second_moment,
        step,
        gradients: None,
    })
}

fn bytes(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn read_numbers(directory: &Path, name: &str, count: usize) -> Result<Vec<f32>> {
    let path = directory.join(name);
    let bytes = fs::read(&path).map_err(|source| LearnerError::io(&path, source))?;
    if bytes.len() != 4 * count {
        let problem = format!("it has {} bytes instead of {}; is it torn?", bytes.len(), 4 * count);
        return Err(LearnerError::bad_model(path, problem));
    }
    let number = |four: &[u8]| f32::from_le_bytes([four[0], four[1], four[2], four[3]]);
    let numbers: Vec<f32> = bytes.chunks_exact(4).map(number).collect();
    match numbers.iter().position(|number| !number.is_finite()) {
        Some(at) => Err(LearnerError::bad_model(path, format!("number {at} is {}", numbers[at]))),
        None => Ok(numbers),
    }
}

fn write(directory: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let path = directory.join(name);
    fs::write(&path, bytes).map_err(|source| LearnerError::io(path, source))
}

fn write_json(directory: &Path, name: &str, value: &impl Serialize) -> Result<()> {
    let json = serde_json::to_vec(value)
        .map_err(|why| LearnerError::bad_model(directory.join(name), why.to_string()))?;
    write(directory, name, &json)
}

fn read_json<T: for<'de> Deserialize<'de>>(directory: &Path, name: &str) -> Result<T> {
    let path = directory.join(name);
    let bytes = fs::read(&path).map_err(|source| LearnerError::io(&path, source))?;
    serde_json::from_slice(&bytes).map_err(|why| LearnerError::bad_model(path, why.to_string()))
}
