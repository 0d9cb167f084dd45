//! A lock: two processes never write one folder.

use std::fs::{File, TryLockError};

use anyhow::{Context, Result};

use super::Directory;
use crate::problem::problem;

/// Holds a folder for this process; let go when dropped, also by a crash.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the folder, or says that another process has it.
    pub(crate) fn take(directory: &Directory) -> Result<Self> {
        let path = directory.lock();
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .with_context(|| format!("{} cannot be opened", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => {
                Err(problem(format!("another process is writing in {}", directory.root().display()))
                    .hint("wait for it to end, or stop it with Ctrl-C: nothing is lost")
                    .into())
            }
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("{} cannot be locked", path.display()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_held_by_one_and_free_again_when_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let directory = Directory::at(folder.path());
        let held = Lock::take(&directory).unwrap();
        assert!(Lock::take(&directory).unwrap_err().to_string().contains("another process"));
        drop(held);
        assert!(Lock::take(&directory).is_ok());
    }
}
