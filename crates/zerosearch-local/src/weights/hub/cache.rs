//! The hub's cache on disk, in the layout of `huggingface_hub`.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use zerosearch_learner::{LearnerError, Result};

use super::id::ModelId;
use crate::weights::directory::{CONFIG, read_json};
use crate::weights::safetensors::{INDEX, SINGLE, shard_names};

/// The folder of one repository.
pub(super) struct Repository(PathBuf);

impl Repository {
    pub(super) fn of(cache: &Path, id: &ModelId) -> Self {
        Self(cache.join(format!("models--{}", id.repository.replace('/', "--"))))
    }

    /// The contents that are called `etag`.
    pub(super) fn blob(&self, etag: &str) -> PathBuf {
        self.0.join("blobs").join(etag)
    }

    /// The repository's files at `commit`.
    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.0.join("snapshots").join(commit)
    }

    /// The commit that `revision` was at when it was last looked up; a commit is itself.
    pub(super) fn commit_of(&self, revision: &str) -> Option<String> {
        let noted = fs::read_to_string(self.0.join("refs").join(revision)).ok();
        let commit = noted.map(|commit| commit.trim().to_owned()).unwrap_or_else(|| revision.to_owned());
        is_commit(&commit).then_some(commit)
    }

    /// Notes that `revision` is at `commit`.
    pub(super) fn note_commit(&self, revision: &str, commit: &str) -> Result<()> {
        if revision == commit {
            return Ok(());
        }
        let path = self.0.join("refs").join(revision);
        make_parent(&path)?;
        let aside = path.with_extension("part");
        let written = fs::write(&aside, commit).and_then(|()| fs::rename(&aside, &path));
        written.map_err(|error| LearnerError::io(path, error))
    }

    /// Puts the contents `etag` into the snapshot of `commit` under the name `file`.
    pub(super) fn link(&self, etag: &str, commit: &str, file: &str) -> Result<()> {
        let path = self.snapshot(commit).join(file);
        make_parent(&path)?;
        // Another process may be reading the old link, or making the same one: the name always leads to a whole file.
        let aside = path.with_extension(format!("{}.part", std::process::id()));
        match fs::remove_file(&aside) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(LearnerError::io(aside, error)),
            _ => {}
        }
        #[cfg(unix)]
        let linked = std::os::unix::fs::symlink(Path::new("../../blobs").join(etag), &aside);
        #[cfg(not(unix))]
        let linked = fs::hard_link(self.blob(etag), &aside);
        linked.and_then(|()| fs::rename(&aside, &path)).map_err(|error| LearnerError::io(path, error))
    }
}

/// Whether all of a model is in `snapshot`: the wanted GGUF file, or configuration, tokenizer and every weight file.
pub(super) fn is_whole(snapshot: &Path, id: &ModelId) -> bool {
    let has = |name: &str| snapshot.join(name).exists();
    if let Some(file) = &id.file {
        return has(file);
    }
    let index = snapshot.join(INDEX);
    let shards = || read_json(&index).and_then(|content| shard_names(&index, &content));
    let weights = has(SINGLE) || shards().is_ok_and(|names| names.iter().all(|name| has(name)));
    weights && has(CONFIG) && has("tokenizer.json")
}

/// A commit is a name of 40 hexadecimal digits: also what keeps a server's reply from leaving the cache.
pub(super) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

pub(super) fn make_parent(path: &Path) -> Result<()> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent).map_err(|error| LearnerError::io(parent, error))
}
