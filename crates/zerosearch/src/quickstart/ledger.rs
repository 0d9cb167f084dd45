//! The ledger: which stages are done and what they took. It lets a quickstart go on where it was left.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::workshop::Outcome;
use crate::run::{Directory, Lock, VERSION, claim, read_json, replace};
use crate::stop::Reason;

/// What a stage took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Took {
    /// Seconds, of all the times that it was worked on and left in an orderly way: what was killed is not counted.
    pub seconds: f64,
    /// Tokens of conversations played and rows trained on; 0 where neither was done.
    pub tokens: u64,
}

/// `stages.json`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Record {
    version: u32,
    /// Stages that are done, by name.
    done: BTreeMap<String, Took>,
    /// Seconds of stages that were left before their end.
    left: BTreeMap<String, f64>,
}

/// The record of one quickstart, on disk after every change. Its folder is held for this process.
pub(super) struct Ledger {
    path: PathBuf,
    record: Record,
    _lock: Lock,
}

impl Ledger {
    /// Takes up what `folder` holds, or begins.
    ///
    /// # Errors
    /// When the folder holds something else, or a quickstart with other seeds, or another process is at work in it.
    pub(super) fn open(folder: &Path, seed: u64, world_seed: u64) -> Result<Self> {
        let basis = json!({"version": VERSION, "seed": seed, "world_seed": world_seed});
        claim(folder, "quickstart.json", &basis)?;
        let lock = Lock::take(&Directory::at(folder))?;
        let path = folder.join("stages.json");
        let record = if path.is_file() { read_json(&path)? } else { Record::default() };
        Ok(Self { path, record: Record { version: VERSION, ..record }, _lock: lock })
    }

    /// What `stage` took, if it is done.
    pub(super) fn took(&self, stage: &str) -> Option<Took> {
        self.record.done.get(stage).copied()
    }

    /// Times `work` on `stage` and notes how it ended. What it found, in words, or why it was left.
    pub(super) async fn watch(
        &mut self,
        stage: &str,
        work: impl Future<Output = Result<Outcome>>,
    ) -> Result<std::result::Result<String, Reason>> {
        let started = Instant::now();
        let outcome = work.await;
        let seconds = started.elapsed().as_secs_f64();
        match outcome {
            Ok(Outcome::Done(tokens, found)) => {
                self.finish(stage, seconds, tokens)?;
                Ok(Ok(format!("{found} [{seconds:.1} s]")))
            }
            Ok(Outcome::Left(reason)) => {
                self.leave(stage, seconds)?;
                Ok(Err(reason))
            }
            Err(error) => Err(match self.leave(stage, seconds) {
                Ok(()) => error,
                Err(also) => error.context(format!("the time it took could not be noted ({also:#})")),
            }),
        }
    }

    /// `stage` is done.
    fn finish(&mut self, stage: &str, seconds: f64, tokens: u64) -> Result<()> {
        let seconds = seconds + self.record.left.remove(stage).unwrap_or_default();
        self.record.done.insert(stage.to_owned(), Took { seconds, tokens });
        self.write()
    }

    /// `stage` was left before its end.
    fn leave(&mut self, stage: &str, seconds: f64) -> Result<()> {
        *self.record.left.entry(stage.to_owned()).or_default() += seconds;
        self.write()
    }

    fn write(&self) -> Result<()> {
        let failed = || format!("{} cannot be written", self.path.display());
        replace(&self.path, &serde_json::to_vec_pretty(&self.record)?).with_context(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_goes_on_where_it_was_left() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Ledger::open(folder.path(), 1, 2).unwrap();
        open().leave("world", 2.0).unwrap();
        open().finish("world", 1.5, 7).unwrap();
        let took = open().took("world");
        assert_eq!((took, open().took("train")), (Some(Took { seconds: 3.5, tokens: 7 }), None));
        let told = Ledger::open(folder.path(), 1, 3).err().unwrap().to_string();
        assert!(told.contains("world_seed = 2, not 3"), "{told}");
    }
}
