//! Readers of a run's files, for resuming, plots and tests.

use std::fs::File;
use std::io::{BufRead, BufReader};
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
    let mut lines = Vec::new();
    for_each_line(path, |line| lines.push(line))?;
    Ok(lines)
}

/// Gives the [`lines`] to `take`, one after the other: the file need not fit into memory.
pub fn for_each_line<T: DeserializeOwned>(path: &Path, mut take: impl FnMut(T)) -> Result<()> {
    let failed = || format!("{} cannot be read", path.display());
    let mut file = match File::open(path) {
        Ok(file) => BufReader::new(file),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(failed),
    };
    let mut line = Vec::new();
    for row in 1.. {
        line.clear();
        file.read_until(b'\n', &mut line).with_context(failed)?;
        if line.pop() != Some(b'\n') {
            break;
        }
        if !line.is_empty() {
            let broken = || format!("{}, line {row}, is not what it should be", path.display());
            take(serde_json::from_slice(&line).with_context(broken)?);
        }
    }
    Ok(())
}

/// The column `name` of a metrics file: steps and numbers, rows without it left out.
pub fn numbers(path: &Path, name: &str) -> Result<Vec<(u64, f64)>> {
    let rows: Vec<serde_json::Map<String, serde_json::Value>> = lines(path)?;
    let number = |row: &serde_json::Map<String, serde_json::Value>| {
        Some((row.get("step")?.as_u64()?, row.get(name)?.as_f64()?))
    };
    Ok(rows.iter().filter_map(number).collect())
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
