//! Readers of a run's files, for resuming, plots and tests.

use std::path::Path;

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;

/// The JSON file at `path`.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    serde_json::from_slice(&bytes).with_context(|| format!("{} is not what it should be", path.display()))
}

/// The lines of the JSONL file at `path`; none when there is no file. A last line without its line end was torn by a
/// crash and is left out; any other broken line is an error.
pub fn lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
    };
    whole_lines(&bytes)
        .enumerate()
        .map(|(row, line)| {
            serde_json::from_slice(line)
                .with_context(|| format!("{}, line {}, is not what it should be", path.display(), row + 1))
        })
        .collect()
}

/// The column `name` of a metrics file: steps and numbers, rows without it left out.
pub fn numbers(path: &Path, name: &str) -> Result<Vec<(u64, f64)>> {
    let rows: Vec<serde_json::Map<String, serde_json::Value>> = lines(path)?;
    let number = |row: &serde_json::Map<String, serde_json::Value>| {
        Some((row.get("step")?.as_u64()?, row.get(name)?.as_f64()?))
    };
    Ok(rows.iter().filter_map(number).collect())
}

/// The lines that end as lines do; empty ones left out.
pub(super) fn whole_lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    bytes[..end].split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_last_line_is_left_out_and_a_broken_one_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        assert!(lines::<serde_json::Value>(&path).unwrap().is_empty());
        std::fs::write(&path, "{\"step\":1,\"a\":2}\n{\"step\":2}\n{\"step\":3,\"a\"").unwrap();
        assert_eq!(lines::<serde_json::Value>(&path).unwrap().len(), 2);
        assert_eq!(numbers(&path, "a").unwrap(), [(1, 2.0)]);
        std::fs::write(&path, "{\"step\":1}\n{\"st\n{\"step\":3}\n").unwrap();
        assert!(lines::<serde_json::Value>(&path).unwrap_err().to_string().contains("line 2"));
    }
}
