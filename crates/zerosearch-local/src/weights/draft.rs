//! A draft: files that are written aside, synced, and renamed all together at the end.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;
use zerosearch_learner::{LearnerError, Result};

/// Why a file was not written: the disk, or what should have been written.
pub(super) enum Failure {
    Disk(std::io::Error),
    Content(LearnerError),
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Disk(error)
    }
}

impl From<LearnerError> for Failure {
    fn from(error: LearnerError) -> Self {
        Self::Content(error)
    }
}

/// Files that lie beside those they will replace. Dropped before [`Draft::publish`], it leaves nothing behind.
pub(super) struct Draft<'a> {
    directory: &'a Path,
    names: Vec<String>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(directory: &'a Path) -> Result<Self> {
        fs::create_dir_all(directory).map_err(|error| LearnerError::io(directory, error))?;
        Ok(Self { directory, names: Vec::new() })
    }

    fn aside(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.part"))
    }

    pub(super) fn write(
        &mut self,
        name: &str,
        content: impl FnOnce(&mut dyn Write) -> Result<(), Failure>,
    ) -> Result<()> {
        let path = self.aside(name);
        self.names.push(name.to_owned());
        let write = || -> Result<(), Failure> {
            let mut file = BufWriter::new(File::create(&path)?);
            content(&mut file)?;
            Ok(file.into_inner().map_err(|error| error.into_error())?.sync_all()?)
        };
        write().map_err(|failure| match failure {
            Failure::Disk(error) => LearnerError::io(&path, error),
            Failure::Content(error) => error,
        })
    }

    pub(super) fn write_json(&mut self, name: &str, value: &Value) -> Result<()> {
        self.write(name, |file| Ok(writeln!(file, "{value:#}")?))
    }

    /// Gives the files their names, then deletes those that `stale` says they have made out of date.
    pub(super) fn publish(mut self, stale: impl Fn(&Path, &[String]) -> Result<Vec<String>>) -> Result<()> {
        for name in &self.names {
            let path = self.directory.join(name);
            fs::rename(self.aside(name), &path).map_err(|error| LearnerError::io(&path, error))?;
        }
        let names = std::mem::take(&mut self.names);
        for name in stale(self.directory, &names)? {
            let path = self.directory.join(name);
            fs::remove_file(&path).map_err(|error| LearnerError::io(&path, error))?;
        }
        sync_directory(self.directory)
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        for name in &self.names {
            // What cannot be removed is named `*.part`, which no reader takes for a model file.
            let _ = fs::remove_file(self.aside(name));
        }
    }
}

/// Makes renames last. Only Unix lets a folder be opened for this.
fn sync_directory(directory: &Path) -> Result<()> {
    if cfg!(unix) {
        let synced = File::open(directory).and_then(|directory| directory.sync_all());
        synced.map_err(|error| LearnerError::io(directory, error))?;
    }
    Ok(())
}
