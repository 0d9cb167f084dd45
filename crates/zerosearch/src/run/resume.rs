//! Resuming: what may differ from the recorded plan, and how a folder is cut back to its last checkpoint.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Map, Value};

use super::durable::{json_line, replace};
use super::read::lines;
use super::{Checkpoints, Directory};
use crate::config::Plan;

/// Keys that no number of a run depends on: these may differ when it goes on.
const FREE: &[&str] = &[
    "model.threads",
    "model.activation_gib",
    "model.cache_gib",
    "model.path",
    "rollout.concurrency",
    "rl.max_broken_share",
    "simulator.urls",
    "simulator.key_env",
    "simulator.timeout_s",
    "simulator.retries",
    "simulator.concurrency",
    "server.urls",
    "server.key_env",
    "server.timeout_s",
    "server.retries",
    "server.concurrency",
    "tinker.url",
    "tinker.key_env",
    "tinker.timeout_s",
    "tinker.wait_s",
    "tinker.retries",
    "tinker.concurrency",
    "tinker.wire",
    "retrieve.urls",
    "retrieve.timeout_s",
    "retrieve.retries",
    "retrieve.concurrency",
    "web.url",
    "web.key_env",
    "web.timeout_s",
    "web.retries",
    "web.concurrency",
    "cache.folder",
    "cache.offline",
    "run.save_every",
    "run.keep",
];

/// One key in which two plans differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The key.
    pub key: String,
    /// What the run was started with.
    pub recorded: String,
    /// What is asked for now.
    pub asked: String,
}

/// Where `asked` differs from `recorded` in a key that the run's numbers depend on.
pub fn changes(recorded: &Plan, asked: &Plan) -> Result<Vec<Difference>> {
    let (recorded, asked) = (toml::Table::try_from(recorded)?, toml::Table::try_from(asked)?);
    let mut differences = Vec::new();
    for (section, keys) in &asked {
        let empty = toml::Table::new();
        let before = recorded.get(section).and_then(toml::Value::as_table).unwrap_or(&empty);
        let now = keys.as_table().unwrap_or(&empty);
        let mut names: Vec<&String> = before.keys().chain(now.keys()).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let key = format!("{section}.{name}");
            if before.get(name) != now.get(name) && !is_free(&key, before.get(name), now.get(name)) {
                let words = |value: Option<&toml::Value>| value.map_or("nothing".into(), ToString::to_string);
                differences.push(Difference {
                    key,
                    recorded: words(before.get(name)),
                    asked: words(now.get(name)),
                });
            }
        }
    }
    Ok(differences)
}

/// Servers may be others, but a run that asked servers goes on to ask servers.
fn is_free(key: &str, before: Option<&toml::Value>, now: Option<&toml::Value>) -> bool {
    let is_empty =
        |value: Option<&toml::Value>| value.and_then(toml::Value::as_array).is_none_or(Vec::is_empty);
    FREE.contains(&key) && (key != "simulator.urls" || is_empty(before) == is_empty(now))
}

/// Cuts the folder back to `step`, as if nothing had been done since.
pub(super) fn cut_back(directory: &Directory, checkpoints: &mut Checkpoints, step: u64) -> Result<()> {
    cut_lines(&directory.metrics(), step)?;
    cut_lines(&directory.checkpoint_lines(), step)?;
    checkpoints.cut_after(step)?;
    delete_numbered(&directory.all_trajectories(), step)?;
    delete_numbered(&directory.evals(), step)
}

/// Drops a torn last line and the lines of later steps.
fn cut_lines(path: &Path, step: u64) -> Result<()> {
    let rows: Vec<Map<String, Value>> = lines(path)?;
    let early =
        |row: &&Map<String, Value>| row.get("step").and_then(Value::as_u64).is_some_and(|at| at <= step);
    let mut kept = Vec::new();
    for row in rows.iter().filter(early) {
        kept.extend(json_line(row)?);
    }
    if path.exists() {
        replace(path, &kept).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(())
}

/// Deletes files that are named by a step after `step`.
fn delete_numbered(folder: &Path, step: u64) -> Result<()> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        let number =
            path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse::<u64>().ok());
        if number.is_none_or(|number| number > step) {
            std::fs::remove_file(&path).with_context(|| format!("{} cannot be deleted", path.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ConfigFile, Purpose};

    fn plan(more: &str) -> Plan {
        let text = format!("[model]\npath = \"m\"\n[questions]\ntrain = [\"q\"]\n{more}");
        ConfigFile::parse(&text, &[]).unwrap().resolve(Purpose::Train).unwrap()
    }

    #[test]
    fn only_what_numbers_depend_on_counts_as_a_change() {
        let recorded = plan("");
        assert!(
            changes(&recorded, &plan("[rollout]\nconcurrency = 3\n[run]\nsave_every = 1"))
                .unwrap()
                .is_empty()
        );
        assert!(changes(&recorded, &plan("[rl]\nmax_broken_share = 1.0")).unwrap().is_empty());
        let told = changes(&recorded, &plan("[rl]\ngroup_size = 7\n[rollout]\nhint = \"h\"")).unwrap();
        let keys: Vec<&str> = told.iter().map(|difference| difference.key.as_str()).collect();
        assert_eq!(keys, ["rl.group_size", "rollout.hint"]);
        assert_eq!((told[0].recorded.as_str(), told[0].asked.as_str()), ("5", "7"));
        assert_eq!(told[1].recorded, "nothing");
    }

    /// Another server may write; a server instead of a model in the process is another writer.
    #[test]
    fn servers_may_be_others_but_not_come_or_go() {
        let asks = |urls: &str| plan(&format!("[simulator]\nstructure = \"free\"\nurls = [{urls}]"));
        let (none, one, two) = (asks(""), asks("\"http://a\""), asks("\"http://b\", \"http://c\""));
        assert!(changes(&one, &two).unwrap().is_empty());
        for (before, now) in [(&none, &one), (&one, &none)] {
            assert_eq!(changes(before, now).unwrap()[0].key, "simulator.urls");
        }
    }

    #[test]
    fn a_folder_is_cut_back_to_its_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        let directory = Directory::at(folder.path());
        for path in [
            directory.all_trajectories(),
            directory.evals(),
            directory.checkpoint(2),
            directory.checkpoint(4),
        ] {
            std::fs::create_dir_all(path).unwrap();
        }
        std::fs::write(directory.metrics(), "{\"step\":1}\n{\"step\":2}\n{\"step\":3}\n{\"ste").unwrap();
        let line =
            "{\"version\":1,\"step\":2,\"path\":\"checkpoints/000002\",\"score\":null,\"best\":false}\n";
        std::fs::write(directory.checkpoint_lines(), line).unwrap();
        for step in [2, 3] {
            std::fs::write(directory.trajectories(step), "").unwrap();
        }
        let mut checkpoints = Checkpoints::open(&directory, 2).unwrap();
        cut_back(&directory, &mut checkpoints, 2).unwrap();
        assert_eq!(std::fs::read_to_string(directory.metrics()).unwrap(), "{\"step\":1}\n{\"step\":2}\n");
        assert!(directory.trajectories(2).exists() && !directory.trajectories(3).exists());
        assert!(directory.checkpoint(2).exists() && !directory.checkpoint(4).exists());
    }
}
