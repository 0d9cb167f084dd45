//! A draft: the finished lines of a scoring under way, in a file beside the one that they will become.

use std::fs::{File, TryLockError};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde::de::IgnoredAny;
use zerosearch_learner::TokenId;

use super::basis::Basis;
use super::rows::Rows;
use crate::problem::{Problem, problem};
use crate::run::{aside, read_json, rename, replace};

/// A line that was scored before.
#[derive(Deserialize)]
struct Kept {
    tokens: Vec<TokenId>,
    #[serde(rename = "logprobs")]
    _logprobs: IgnoredAny,
}

/// The lines so far, held by this process.
pub(super) struct Draft {
    out: PathBuf,
    path: PathBuf,
    file: File,
}

impl Draft {
    /// Opens the draft of `out`, a new one or one of the same basis.
    pub(super) fn open(out: &Path, basis: &Basis) -> Result<Self> {
        let path = aside(out);
        let failed = || format!("{} cannot be written", path.display());
        let is_new = !path.exists();
        let file = File::options().read(true).append(true).create(true).open(&path).with_context(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(problem(format!("another process is writing {}", path.display())).into());
            }
            Err(TryLockError::Error(error)) => return Err(error).with_context(failed),
        }
        let draft = Self { out: out.to_owned(), path, file };
        let noted = basis_file(&draft.path);
        if is_new || !noted.exists() {
            draft.file.set_len(0)?;
            replace(&noted, &serde_json::to_vec_pretty(basis)?)
                .with_context(|| format!("{} cannot be written", noted.display()))?;
        } else if let Some(difference) = read_json::<Basis>(&noted)?.difference(basis)? {
            let what = format!("the lines in {} were scored with {difference}", draft.path.display());
            return Err(draft.foreign(what).into());
        }
        Ok(draft)
    }

    /// Where the draft lies.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Drops a torn last line. The others must be about the first of `rows`; returns their number.
    pub(super) fn keep(&mut self, rows: &mut Rows<'_>) -> Result<usize> {
        let failed = || format!("{} cannot be read", self.path.display());
        let mut lines = BufReader::new(&self.file);
        let (mut kept, mut end, mut line) = (0, 0, Vec::new());
        while lines.read_until(b'\n', &mut line).with_context(failed)? > 0 && line.ends_with(b"\n") {
            let scored = serde_json::from_slice(&line).ok().map(|line: Kept| line.tokens);
            if scored.is_none() || scored != rows.next().transpose()?.map(|row| row.tokens) {
                let what = format!("line {} of {} is about another row", kept + 1, self.path.display());
                return Err(self.foreign(what).into());
            }
            (kept, end) = (kept + 1, end + line.len() as u64);
            line.clear();
        }
        self.file.set_len(end).with_context(failed)?;
        Ok(kept)
    }

    /// Adds whole lines and waits until the disk has them.
    pub(super) fn append(&mut self, lines: &[u8]) -> Result<()> {
        let written = self.file.write_all(lines).and_then(|()| self.file.sync_data());
        written.with_context(|| format!("{} cannot be written", self.path.display()))
    }

    /// Makes the draft the finished file.
    pub(super) fn finish(self) -> Result<()> {
        let finished = self
            .file
            .sync_all()
            .and_then(|()| rename(&self.path, &self.out))
            .and_then(|()| std::fs::remove_file(basis_file(&self.path)));
        finished.with_context(|| format!("{} cannot be written", self.out.display()))
    }

    fn foreign(&self, what: String) -> Problem {
        let (out, draft) = (self.out.display(), self.path.display());
        problem(what).hint(format!("name another file than {out} with `--out`, or delete {draft}"))
    }
}

/// Where the basis of the lines in `draft` is written.
fn basis_file(draft: &Path) -> PathBuf {
    draft.with_added_extension("json")
}
