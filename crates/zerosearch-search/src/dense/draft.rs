//! A draft: an index that is being made. What its record says is on disk for certain; whatever follows that in the files
//! was not finished and is cut off.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::stored::{ENDS, FILES, PASSAGES, VECTORS, line};
use crate::corpus::Extent;
use crate::index::{IndexError, Manifest, claim, refuse_strangers, replace};
use crate::{EncoderRecord, Passage};

const NAME: &str = "draft.json";
/// A file that a process locks while it fills the folder.
const LOCK: &str = ".lock";

/// How far a draft is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DraftRecord {
    encoder: EncoderRecord,
    corpus: Extent,
    /// The length of the passages' lines together.
    bytes: u64,
}

/// An index that is being made.
pub(super) struct Draft {
    folder: PathBuf,
    record: DraftRecord,
    passages: File,
    ends: File,
    vectors: File,
    /// Held for as long as the draft is open.
    _lock: File,
}

impl Draft {
    /// The draft in `folder`, cut back to what its record says, or a new one.
    ///
    /// # Errors
    /// When the one that is there was begun with another encoder or another manner of it, the folder holds something
    /// else, or another process is filling it.
    pub(super) fn open(folder: &Path, encoder: &EncoderRecord) -> Result<Self, IndexError> {
        let files = folder.join(FILES);
        refuse_strangers(folder, |name| {
            name == FILES || name == NAME || name.to_string_lossy().starts_with('.')
        })?;
        std::fs::create_dir_all(&files).map_err(IndexError::written(&files))?;
        let lock = locked(folder)?;
        if Manifest::find(folder)?.is_some() {
            return Err(IndexError::folder(
                folder,
                "was finished by another process just now; it can be used",
            ));
        }
        let record = match std::fs::read(folder.join(NAME)) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|why| {
                IndexError::folder(folder, format!("is damaged: its {NAME}: {why}; delete the folder"))
            })?,
            Err(why) if why.kind() == io::ErrorKind::NotFound => {
                DraftRecord { encoder: encoder.clone(), corpus: Extent::default(), bytes: 0 }
            }
            Err(why) => return Err(IndexError::read(&folder.join(NAME))(why)),
        };
        if record.encoder != *encoder {
            let problem = "was begun with another encoder or another manner of it (prefixes, pooling, lengths); ask \
                           for the same, or name another folder with --out";
            return Err(IndexError::folder(folder, problem));
        }
        let row = encoder.dimensions as u64 * 4;
        let cut = |name, length| cut(folder, &files.join(name), length);
        Ok(Self {
            passages: cut(PASSAGES, record.bytes)?,
            ends: cut(ENDS, record.corpus.passages * 8)?,
            vectors: cut(VECTORS, record.corpus.passages * row)?,
            folder: folder.to_owned(),
            record,
            _lock: lock,
        })
    }

    /// What of the corpus is in it.
    pub(super) fn corpus(&self) -> &Extent {
        &self.record.corpus
    }

    /// Adds passages and their vectors, row after row, and waits until the disk has them. `corpus` is what is in it then.
    pub(super) fn add(
        &mut self,
        passages: &[Passage],
        vectors: &[f32],
        corpus: Extent,
    ) -> Result<(), IndexError> {
        let (mut lines, mut ends) = (Vec::new(), Vec::new());
        for passage in passages {
            lines.extend(line(passage).map_err(IndexError::written(&self.folder))?);
            ends.extend((self.record.bytes + lines.len() as u64).to_le_bytes());
        }
        let vectors: Vec<u8> = vectors.iter().flat_map(|x| x.to_le_bytes()).collect();
        let files = [(&mut self.passages, &lines), (&mut self.ends, &ends), (&mut self.vectors, &vectors)];
        for (file, bytes) in files {
            let written = file.write_all(bytes).and_then(|()| file.sync_data());
            written.map_err(IndexError::written(&self.folder.join(FILES)))?;
        }
        self.record.bytes += lines.len() as u64;
        self.record.corpus = corpus;
        self.keep().map_err(IndexError::written(&self.folder.join(NAME)))
    }

    /// Writes the record aside, then under its name.
    fn keep(&self) -> io::Result<()> {
        replace(&self.folder, NAME, &serde_json::to_vec(&self.record)?)
    }

    /// Takes the record away: there is a manifest now.
    pub(super) fn done(self) -> Result<(), IndexError> {
        let path = self.folder.join(NAME);
        std::fs::remove_file(&path).map_err(IndexError::written(&path))
    }
}

/// The lock of `folder`, which goes with the process that has it.
fn locked(folder: &Path) -> Result<File, IndexError> {
    let path = folder.join(LOCK);
    let mut options = OpenOptions::new();
    let file = options.create(true).append(true).open(&path).map_err(IndexError::written(&path))?;
    claim(folder, || match file.try_lock() {
        Ok(()) => Ok(Some(())),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(why)) => Err(IndexError::written(&path)(why)),
    })?;
    Ok(file)
}

/// Opens a file to append to, without what follows its first `length` bytes.
fn cut(folder: &Path, path: &Path, length: u64) -> Result<File, IndexError> {
    let file = OpenOptions::new().create(true).append(true).open(path).map_err(IndexError::written(path))?;
    if file.metadata().map_err(IndexError::read(path))?.len() < length {
        let problem = format!("is damaged: {} is shorter than it was; delete the folder", path.display());
        return Err(IndexError::folder(folder, problem));
    }
    file.set_len(length).map_err(IndexError::written(path))?;
    Ok(file)
}
