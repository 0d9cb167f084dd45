//! The hub's cache on disk, in the layout of `huggingface_hub`.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::{HubError, Repository};

/// The folder of one repository.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn of(cache: &Path, repository: &Repository) -> Self {
        Self(cache.join(repository.folder()))
    }

    /// The contents that are called `etag`.
    pub(crate) fn blob(&self, etag: &str) -> PathBuf {
        self.0.join("blobs").join(etag)
    }

    /// The repository's files at `commit`.
    pub(crate) fn snapshot(&self, commit: &str) -> PathBuf {
        self.0.join("snapshots").join(commit)
    }

    /// The commit that `revision` was at when it was last looked up; a commit is itself.
    pub(crate) fn commit_of(&self, revision: &str) -> Option<String> {
        let noted = fs::read_to_string(self.0.join("refs").join(revision)).ok();
        let commit = noted.map(|commit| commit.trim().to_owned()).unwrap_or_else(|| revision.to_owned());
        is_commit(&commit).then_some(commit)
    }

    /// Notes that `revision` is at `commit`, which has these files.
    pub(crate) fn note(&self, revision: &str, commit: &str, files: &[String]) -> Result<(), HubError> {
        let listing = self.listing(commit);
        if !listing.exists() {
            replace(&listing, &files.join("\n"))?;
        }
        if revision == commit {
            return Ok(());
        }
        replace(&self.0.join("refs").join(revision), commit)
    }

    /// The files that the repository has at `commit`, if that was ever noted.
    pub(crate) fn files_noted(&self, commit: &str) -> Option<Vec<String>> {
        let listing = fs::read_to_string(self.listing(commit)).ok()?;
        Some(listing.lines().map(str::to_owned).collect())
    }

    /// The files of `commit` that are here.
    pub(crate) fn files_here(&self, commit: &str) -> Vec<String> {
        let mut found = Vec::new();
        walk(&self.snapshot(commit), "", &mut found);
        found.sort_unstable();
        found
    }

    /// Puts the contents `etag` into the snapshot of `commit` under the name `file`.
    pub(crate) fn link(&self, etag: &str, commit: &str, file: &str) -> Result<(), HubError> {
        let path = self.snapshot(commit).join(file);
        make_parent(&path)?;
        // Another process may be reading the old link, or making the same one: the name always leads to a whole file.
        let aside = path.with_extension(format!("{}.part", std::process::id()));
        match fs::remove_file(&aside) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(HubError::io(aside, error)),
            _ => {}
        }
        #[cfg(unix)]
        let linked = {
            let up = "../".repeat(2 + file.matches('/').count());
            std::os::unix::fs::symlink(Path::new(&up).join("blobs").join(etag), &aside)
        };
        #[cfg(not(unix))]
        let linked = fs::hard_link(self.blob(etag), &aside);
        linked.and_then(|()| fs::rename(&aside, &path)).map_err(|error| HubError::io(path, error))
    }

    fn listing(&self, commit: &str) -> PathBuf {
        self.0.join("listings").join(commit)
    }
}

/// Links count as what they lead to; what leads nowhere is left out.
fn walk(folder: &Path, above: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = format!("{above}{}", entry.file_name().to_string_lossy());
        let path = entry.path();
        if path.is_dir() {
            walk(&path, &format!("{name}/"), found);
        } else if path.exists() && !name.ends_with(".part") {
            found.push(name);
        }
    }
}

/// A commit is a name of 40 hexadecimal digits: also what keeps a server's reply from leaving the cache.
pub(crate) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

pub(crate) fn make_parent(path: &Path) -> Result<(), HubError> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent).map_err(|error| HubError::io(parent, error))
}

fn replace(path: &Path, content: &str) -> Result<(), HubError> {
    make_parent(path)?;
    let aside = path.with_extension(format!("{}.part", std::process::id()));
    let written = fs::write(&aside, content).and_then(|()| fs::rename(&aside, path));
    written.map_err(|error| HubError::io(path, error))
}
