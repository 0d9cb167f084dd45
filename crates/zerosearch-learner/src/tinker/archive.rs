//! An archive: weights as a server hands them out, unpacked with the suspicion that a stranger's file deserves.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Component, Path};

use flate2::read::MultiGzDecoder;
use serde_json::{Map, Value, json};

use super::http::Server;
use super::trouble::Trouble;
use crate::{LearnerError, Result};

const GZIP: [u8; 2] = [0x1f, 0x8b];
/// The most files of one archive.
const MOST_FILES: usize = 4096;
/// The most bytes that come out for one that went in: a gzip of weights saves little.
const MOST_GROWTH: u64 = 64;
const ADAPTER: &str = "adapter_config.json";
const ADAPTER_WEIGHTS: &str = "adapter_model.safetensors";

/// What was in an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unpacked {
    /// An adapter as `peft` keeps it.
    Adapter,
    /// A whole model in Hugging Face layout.
    Model,
}

/// Fetches the weights at `address` from `server` into `directory`. An adapter's description is completed: it names `base` as its
/// model, and the modules that its tensors are for.
pub(super) async fn fetch(server: &Server, address: &str, directory: &Path, base: &str) -> Result<Unpacked> {
    let route = route_of(address).ok_or_else(|| {
        server.error("archive", &Trouble::Garbled(format!("`{address}` is no address of weights")))
    })?;
    let mut response = server.fetch(&route).await?;
    let mut file = tempfile::tempfile_in(directory).map_err(|source| LearnerError::io(directory, source))?;
    loop {
        let part = response
            .chunk()
            .await
            .map_err(|error| server.error(&route, &Trouble::Silent(error.to_string())))?;
        let Some(part) = part else { break };
        file.write_all(&part).map_err(|source| LearnerError::io(directory, source))?;
    }
    let (directory, base) = (directory.to_owned(), base.to_owned());
    let work = move || unpack(file, &directory).and_then(|()| known(&directory, &base));
    let done =
        tokio::task::spawn_blocking(work).await.map_err(|gone| LearnerError::Stopped(gone.to_string()))?;
    done.map_err(|problem| server.error(&route, &Trouble::Garbled(problem)))
}

/// `tinker://model/sampler_weights/name` as a route. The parts are used in a path: they must be plain names.
fn route_of(address: &str) -> Option<String> {
    let mut parts = address.strip_prefix("tinker://")?.split('/');
    let (model, rest) = (parts.next()?, parts.collect::<Vec<_>>());
    let name = match rest[..] {
        [name] | ["sampler_weights", name] => name,
        _ => return None,
    };
    let is_plain = |part: &str| {
        let fine = |letter: char| letter.is_ascii_alphanumeric() || "_-.:".contains(letter);
        !part.is_empty() && part.chars().all(fine) && !part.chars().all(|letter| letter == '.')
    };
    (is_plain(model) && is_plain(name)).then(|| format!("training_runs/{model}/checkpoints/{name}/archive"))
}

/// Unpacks a tar, gzipped or not, whose files have plain names.
fn unpack(mut file: File, directory: &Path) -> Result<(), String> {
    let words = |error: std::io::Error| error.to_string();
    let size = file.stream_position().map_err(words)?;
    file.seek(SeekFrom::Start(0)).map_err(words)?;
    let mut magic = [0; 2];
    file.read_exact(&mut magic).map_err(|_| "it is empty".to_owned())?;
    file.seek(SeekFrom::Start(0)).map_err(words)?;
    let file = BufReader::new(file);
    let room = size.saturating_mul(MOST_GROWTH).saturating_add(1 << 20);
    if magic == GZIP {
        entries(MultiGzDecoder::new(file), room, directory)
    } else {
        entries(file, room, directory)
    }
}

fn entries(tar: impl Read, room: u64, directory: &Path) -> Result<(), String> {
    let bad = |error: std::io::Error| format!("it is no whole tar archive: {error}");
    let mut archive = tar::Archive::new(tar.take(room));
    for (count, entry) in archive.entries().map_err(bad)?.enumerate() {
        let mut entry = entry.map_err(bad)?;
        let path = entry.path().map_err(bad)?.into_owned();
        let kind = entry.header().entry_type();
        if kind.is_dir() || kind.is_pax_global_extensions() {
            continue;
        }
        let name = plain_name(&path).filter(|_| kind.is_file()).ok_or_else(|| {
            format!("`{}` in it is no plain file of its own; nothing more was unpacked", path.display())
        })?;
        if count >= MOST_FILES {
            return Err(format!("it holds more than {MOST_FILES} files"));
        }
        let target = directory.join(&name);
        // Never over what is there: neither another entry's file nor one of ours.
        let mut out = File::create_new(&target).map_err(|error| format!("{name}: {error}"))?;
        let size = entry.size();
        if std::io::copy(&mut entry, &mut out).map_err(bad)? != size {
            return Err(format!("`{name}` in it is cut off, or grows beyond what weights can"));
        }
    }
    Ok(())
}

/// The one name that `path` is made of, but for leading dots: nothing that leads elsewhere.
fn plain_name(path: &Path) -> Option<String> {
    let mut parts = path.components().filter(|part| *part != Component::CurDir);
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(name)), None) => name.to_str().map(str::to_owned),
        _ => None,
    }
}

/// What lies in `directory` now.
fn known(directory: &Path, base: &str) -> Result<Unpacked, String> {
    if directory.join(ADAPTER).is_file() {
        return complete(directory, base).map(|()| Unpacked::Adapter);
    }
    if directory.join("config.json").is_file() {
        return Ok(Unpacked::Model);
    }
    Err(format!("it holds neither `{ADAPTER}` nor `config.json`: no weights that this program knows"))
}

fn complete(directory: &Path, base: &str) -> Result<(), String> {
    let path = directory.join(ADAPTER);
    let told = |error: &dyn std::fmt::Display| format!("{ADAPTER}: {error}");
    let bytes = std::fs::read(&path).map_err(|error| told(&error))?;
    let mut config: Map<String, Value> = serde_json::from_slice(&bytes).map_err(|error| told(&error))?;
    config.insert("base_model_name_or_path".into(), json!(base));
    config.entry("task_type").or_insert(json!("CAUSAL_LM"));
    if config.get("target_modules").is_none_or(Value::is_null) {
        config.insert("target_modules".into(), json!(modules(&directory.join(ADAPTER_WEIGHTS))?));
    }
    let text = serde_json::to_vec_pretty(&config).map_err(|error| told(&error))?;
    std::fs::write(&path, text).map_err(|error| told(&error))
}

/// The modules that an adapter's tensors are for, from the names at the head of their file.
fn modules(path: &Path) -> Result<Vec<String>, String> {
    let told = |error: &dyn std::fmt::Display| format!("{ADAPTER_WEIGHTS}: {error}");
    let mut file = File::open(path).map_err(|error| told(&error))?;
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(|error| told(&error))?;
    let length = u64::from_le_bytes(length);
    if length > file.metadata().map_err(|error| told(&error))?.len() {
        return Err(told(&"its head is longer than the file"));
    }
    let mut head = Vec::new();
    file.take(length).read_to_end(&mut head).map_err(|error| told(&error))?;
    let head: Map<String, Value> = serde_json::from_slice(&head).map_err(|error| told(&error))?;
    let module = |name: &String| Some(name.split(".lora_").next()?.rsplit('.').next()?.to_owned());
    let mut modules: Vec<String> =
        head.keys().filter(|name| name.contains(".lora_")).filter_map(module).collect();
    modules.sort_unstable();
    modules.dedup();
    Ok(modules)
}

#[cfg(test)]
#[path = "archive_tests.rs"]
mod tests;
