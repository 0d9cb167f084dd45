//! A manifest: what a finished index was made of, and what each of its files is like.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{IndexError, Pace, Stage, Watch, replace};
use crate::corpus::{Extent, hex};

/// The version of the form of a manifest.
const VERSION: u32 = 1;
const FILE: &str = "manifest.json";
/// How much of a file is read at once.
const PIECE: usize = 1 << 20;

/// A finished index: the folder holds this in `manifest.json`, written last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    version: u32,
    /// The engine that searches it.
    pub engine: String,
    /// What its answers depend on besides the corpus, as the engine has it.
    pub settings: Value,
    /// The passages in it.
    pub corpus: Extent,
    /// The name of the corpus file when it was made.
    pub source: String,
    files: BTreeMap<String, Print>,
}

/// What a file is like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Print {
    bytes: u64,
    sha256: String,
}

impl Manifest {
    /// An index of `engine` over the passages of `corpus`, read from the file `source`; its files are still to be listed.
    pub(crate) fn new(engine: &str, settings: Value, corpus: Extent, source: &Path) -> Self {
        let source = source.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self { version: VERSION, engine: engine.to_owned(), settings, corpus, source, files: BTreeMap::new() }
    }

    /// Lists the files in the folder `part` of `folder` with their checksums, and declares the index finished. False
    /// when it was told to stop.
    pub(crate) fn seal(
        &mut self,
        folder: &Path,
        part: &str,
        watch: &mut Watch<'_>,
    ) -> Result<bool, IndexError> {
        let inside = folder.join(part);
        let names = std::fs::read_dir(&inside).map_err(IndexError::read(&inside))?;
        let empty = Print { bytes: 0, sha256: String::new() };
        for entry in names {
            let name = entry.map_err(IndexError::read(&inside))?.file_name().to_string_lossy().into_owned();
            if !name.starts_with('.') {
                self.files.insert(format!("{part}/{name}"), empty.clone());
            }
        }
        let Some(prints) = self.prints(folder, watch)? else { return Ok(false) };
        self.files = prints;
        self.write(folder).map(|()| true)
    }

    /// The manifest in `folder`, if there is one.
    ///
    /// # Errors
    /// When it cannot be read, is damaged, or is of another version of this program.
    pub fn find(folder: &Path) -> Result<Option<Self>, IndexError> {
        let path = folder.join(FILE);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(why) => return Err(IndexError::read(&path)(why)),
        };
        let damaged = |why: serde_json::Error| {
            IndexError::folder(
                folder,
                format!("is damaged: its {FILE}: {why}; delete the folder and index again"),
            )
        };
        let value: Value = serde_json::from_slice(&bytes).map_err(damaged)?;
        match value.get("version").and_then(Value::as_u64) {
            Some(version) if version != u64::from(VERSION) => Err(IndexError::folder(
                folder,
                format!(
                    "has a manifest of version {version}, and this program knows {VERSION}; index the corpus again"
                ),
            )),
            _ => serde_json::from_value(value).map(Some).map_err(damaged),
        }
    }

    /// The manifest of the finished index in `folder`.
    ///
    /// # Errors
    /// When there is none or it cannot be used.
    pub fn read(folder: &Path) -> Result<Self, IndexError> {
        let missing = || {
            let problem = if folder.is_dir() {
                "is not finished, or none; finish it with the `zerosearch index` command that began it"
            } else {
                "does not exist; make it with `zerosearch index CORPUS --out FOLDER`"
            };
            IndexError::folder(folder, problem)
        };
        Self::find(folder)?.ok_or_else(missing)
    }

    /// Writes it into `folder`: aside, then under its name.
    fn write(&self, folder: &Path) -> Result<(), IndexError> {
        let bytes = serde_json::to_vec_pretty(self).map_err(io::Error::from);
        let written = bytes.and_then(|bytes| replace(folder, FILE, &bytes));
        written.map_err(IndexError::written(&folder.join(FILE)))
    }

    /// A hash of all that its answers depend on: engine, settings and passages. Two indexes that answer alike have the
    /// same, however their files are cut.
    pub fn identity(&self) -> String {
        let all = serde_json::json!([self.version, self.engine, self.settings, self.corpus]);
        hex(&Sha256::digest(all.to_string()))
    }

    /// Refuses an index some of whose files are missing or have another size: what can be seen without reading them.
    pub(crate) fn check_sizes(&self, folder: &Path) -> Result<(), IndexError> {
        for (name, print) in &self.files {
            let path = folder.join(name);
            let found = std::fs::metadata(&path).map_err(|why| match why.kind() {
                io::ErrorKind::NotFound => damaged(folder, format!("{name} is missing")),
                _ => IndexError::read(&path)(why),
            })?;
            if found.len() != print.bytes {
                let what = format!("{name} has {} bytes and should have {}", found.len(), print.bytes);
                return Err(damaged(folder, what));
            }
        }
        Ok(())
    }

    /// Reads every file and refuses an index with one that is not as it was made. False when it was told to stop.
    pub fn check(&self, folder: &Path, watch: &mut Watch<'_>) -> Result<bool, IndexError> {
        self.check_sizes(folder)?;
        let Some(found) = self.prints(folder, watch)? else { return Ok(false) };
        match self.files.iter().find(|(name, print)| found.get(*name) != Some(print)) {
            Some((name, _)) => {
                Err(damaged(folder, format!("{name} does not have the bytes it was made with")))
            }
            None => Ok(true),
        }
    }

    /// How many bytes its files have.
    pub fn bytes(&self) -> u64 {
        self.files.values().map(|print| print.bytes).sum()
    }

    /// What its files are like now; `None` when it was told to stop.
    fn prints(
        &self,
        folder: &Path,
        watch: &mut Watch<'_>,
    ) -> Result<Option<BTreeMap<String, Print>>, IndexError> {
        let mut prints = BTreeMap::new();
        let mut piece = vec![0; PIECE];
        for (at, name) in self.files.keys().enumerate() {
            let path = folder.join(name);
            let mut file = File::open(&path).map_err(IndexError::read(&path))?;
            let (mut bytes, mut hash) = (0, Sha256::new());
            loop {
                let length = file.read(&mut piece).map_err(IndexError::read(&path))?;
                if length == 0 {
                    break;
                }
                hash.update(&piece[..length]);
                bytes += length as u64;
                let share = at as f64 / self.files.len() as f64;
                if !watch(Pace { stage: Stage::Checking, passages: self.corpus.passages, share }) {
                    return Ok(None);
                }
            }
            prints.insert(name.clone(), Print { bytes, sha256: hex(&hash.finalize()) });
        }
        Ok(Some(prints))
    }
}

fn damaged(folder: &Path, what: String) -> IndexError {
    IndexError::folder(folder, format!("is damaged: {what}; delete the folder and index again"))
}
