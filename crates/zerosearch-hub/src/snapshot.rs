//! A snapshot: the files of a repository at one commit.

use std::cell::OnceCell;
use std::path::PathBuf;

use tokio::runtime::Runtime;

use super::cache::Folder;
use super::error::Failure;
use super::repository::is_file;
use super::session::Session;
use super::{Hub, HubError, Repository};

/// The files of a repository at one commit, fetched one by one as they are asked for; or those of them that the cache
/// holds, where the hub is not asked.
pub struct Snapshot<'a> {
    repository: &'a Repository,
    folder: Folder,
    commit: String,
    files: Vec<String>,
    is_complete: bool,
    /// Who fetches what is not here; nobody where only the cache is used.
    line: Option<(Runtime, Session<'a>)>,
    /// Why something was not to be had that another try, or the cache of another time, may have.
    unavailable: OnceCell<String>,
}

impl<'a> Snapshot<'a> {
    /// As the hub has it now.
    pub(crate) fn of_the_hub(hub: &'a Hub, repository: &'a Repository) -> Result<Self, Failure> {
        let session = Session::new(hub, repository)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| session.refuse(error.to_string()))?;
        let (commit, files) = runtime.block_on(session.look_up())?;
        let folder = Folder::of(&hub.cache, repository);
        Ok(Self {
            repository,
            folder,
            commit,
            files,
            is_complete: true,
            line: Some((runtime, session)),
            unavailable: OnceCell::new(),
        })
    }

    /// As it was when its revision was last looked up, if it ever was.
    pub(crate) fn of_the_cache(hub: &Hub, repository: &'a Repository) -> Option<Self> {
        let folder = Folder::of(&hub.cache, repository);
        let commit = folder.commit_of(repository.revision())?;
        let noted = folder.files_noted(&commit);
        let is_complete = noted.is_some();
        let files = noted.unwrap_or_else(|| folder.files_here(&commit));
        Some(Self {
            repository,
            folder,
            commit,
            files,
            is_complete,
            line: None,
            unavailable: OnceCell::new(),
        })
    }

    /// The commit.
    pub fn commit(&self) -> &str {
        &self.commit
    }

    /// The folder in the cache where its files lie.
    pub fn folder(&self) -> PathBuf {
        self.folder.snapshot(&self.commit)
    }

    /// The paths of its files; without the hub and a listing of an earlier time, of those that the cache holds.
    pub fn files(&self) -> &[String] {
        &self.files
    }

    /// Whether [`Snapshot::files`] are all that the repository has.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Whether `name` is one of its files.
    pub fn has(&self, name: &str) -> bool {
        self.files.iter().any(|file| file == name)
    }

    /// Makes sure that the file `name` is in the cache, and says where. What an earlier try left is built on.
    pub fn file(&self, name: &str) -> Result<PathBuf, HubError> {
        if !is_file(name) {
            return Err(self.error(format!("`{name}` is no name of a file in it")));
        }
        let path = self.folder().join(name);
        if path.exists() {
            return Ok(path);
        }
        let Some((runtime, session)) = &self.line else {
            return Err(self.lacks(format!("there is no `{name}`")));
        };
        match runtime.block_on(session.file(&self.folder, &self.commit, name)) {
            Ok(()) => Ok(path),
            Err(Failure::Final(error)) => Err(error),
            Err(Failure::Silent(problem)) => {
                let error = self.error(problem.clone());
                // Only the first silence counts: whoever goes on after it has decided to.
                let _ = self.unavailable.set(problem);
                Err(error)
            }
        }
    }

    /// The error of a repository that lacks something. Where only the cache was looked at, the hub may have it.
    pub fn lacks(&self, problem: impl Into<String>) -> HubError {
        let problem = problem.into();
        if self.line.is_none() {
            let _ = self.unavailable.set(problem.clone());
        }
        self.error(problem)
    }

    /// Why something was not to be had though it may exist.
    pub(crate) fn unavailable(&self) -> Option<&str> {
        self.unavailable.get().map(String::as_str)
    }

    /// Notes for times without the hub where its revision was, and what it has.
    pub(crate) fn note(&self) -> Result<(), HubError> {
        self.folder.note(self.repository.revision(), &self.commit, &self.files)
    }

    fn error(&self, problem: String) -> HubError {
        HubError::Fetch { what: self.repository.to_string(), problem }
    }
}
