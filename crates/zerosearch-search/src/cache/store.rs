//! A store: results in one file of a folder, appended line by line, for one process at a time.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::key::{Key, short_hash};
use super::line::{Head, Line, is_whole};
use crate::Document;

/// Results that were found before, in a folder.
///
/// A crash at any instant loses at most the result that was being written, a power cut those of the last moments. What
/// is not whole is left out and counted, so that it is asked for again. The file only grows; deleting it forgets all.
#[derive(Debug)]
pub struct Cache {
    folder: PathBuf,
    offline: bool,
    content: Mutex<Content>,
}

#[derive(Debug)]
struct Content {
    file: File,
    /// Where whole lines end.
    end: u64,
    places: HashMap<Key, Place>,
    /// How many results there are of each engine.
    engines: HashMap<String, usize>,
    damaged: usize,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    start: u64,
    length: usize,
}

/// How large a cache is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheSize {
    /// Results in it.
    pub results: usize,
    /// Bytes of its file.
    pub bytes: u64,
    /// Lines that are not what was written, left out.
    pub damaged: usize,
}

/// Why a cache cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// The system would not give or take it.
    #[error("the cache {path} cannot be used: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody else is using it.
    #[error("another process uses the cache {path}; wait for it to end, or name another folder")]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// The file was not written by a cache of this form.
    #[error(
        "{path} is no cache of this version; name another folder, or delete the file if nothing else needs it"
    )]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// There is nothing to answer from.
    #[error("there is no cache in {folder} to answer from; fill it with the same command without --offline")]
    Missing {
        /// The folder.
        folder: PathBuf,
    },
}

/// The first line of the file.
const HEADER: &[u8] = b"{\"zerosearch_cache\":1}\n";
const FILE: &str = "results.jsonl";

impl Cache {
    /// The cache in `folder`, which is made where there is none, for this process alone.
    ///
    /// # Errors
    /// When another process uses it, or the file there is none of this kind.
    pub fn open(folder: &Path) -> Result<Self, CacheError> {
        let path = folder.join(FILE);
        let failed = |source| CacheError::Io { path: path.clone(), source };
        std::fs::create_dir_all(folder).map_err(failed)?;
        let mut options = OpenOptions::new();
        let mut file = options.read(true).append(true).create(true).open(&path).map_err(failed)?;
        held(file.try_lock(), &path)?;
        if is_begun(&mut file).map_err(failed)? {
            file.set_len(0).map_err(failed)?;
            file.write_all(HEADER).map_err(failed)?;
        }
        let content = Content::read(file, &path)?;
        // A torn last line goes, so that the next one begins on a line of its own.
        content.file.set_len(content.end).map_err(failed)?;
        Ok(Self::with(folder, false, content))
    }

    /// The cache in `folder` to read from only: nothing is asked, nothing kept. Others may read it meanwhile.
    ///
    /// # Errors
    /// When there is none, or another process writes it.
    pub fn open_offline(folder: &Path) -> Result<Self, CacheError> {
        let path = folder.join(FILE);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(CacheError::Missing { folder: folder.to_owned() });
            }
            Err(source) => return Err(CacheError::Io { path, source }),
        };
        held(file.try_lock_shared(), &path)?;
        Ok(Self::with(folder, true, Content::read(file, &path)?))
    }

    fn with(folder: &Path, offline: bool, content: Content) -> Self {
        if content.damaged > 0 {
            let (damaged, folder) = (content.damaged, folder.display());
            tracing::warn!("{damaged} results in the cache {folder} are damaged and left out");
        }
        Self { folder: folder.to_owned(), offline, content: Mutex::new(content) }
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether it is all there is to answer from.
    pub fn is_offline(&self) -> bool {
        self.offline
    }

    /// How large it is.
    pub fn size(&self) -> CacheSize {
        let content = self.lock();
        CacheSize { results: content.places.len(), bytes: content.end, damaged: content.damaged }
    }

    /// How many results there are of the engine with `identity`.
    pub(super) fn results_of(&self, identity: &str) -> usize {
        self.lock().engines.get(&short_hash(identity.as_bytes())).copied().unwrap_or_default()
    }

    pub(super) fn find(&self, key: Key) -> Result<Option<Vec<Document>>, CacheError> {
        let mut content = self.lock();
        let Some(place) = content.places.get(&key).copied() else { return Ok(None) };
        let line = content.line(place).map_err(|source| self.failed(source))?;
        Ok(Some(line.documents))
    }

    pub(super) fn keep(
        &self,
        key: Key,
        identity: &str,
        (query, k): (&str, usize),
        documents: &[Document],
    ) -> Result<(), CacheError> {
        let engine = short_hash(identity.as_bytes());
        let documents = documents.to_vec();
        let line = Line { key: key.to_hex(), engine, query: query.to_owned(), k, documents };
        self.lock().append(key, line).map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> CacheError {
        CacheError::Io { path: self.folder.join(FILE), source }
    }

    /// A panic elsewhere cannot leave the content half changed.
    fn lock(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the file is new, or a crash tore its first line.
fn is_begun(file: &mut File) -> io::Result<bool> {
    let mut front = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(HEADER.len() as u64).read_to_end(&mut front)?;
    Ok(front.len() < HEADER.len() && HEADER.starts_with(&front))
}

fn held(lock: Result<(), TryLockError>, path: &Path) -> Result<(), CacheError> {
    match lock {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(CacheError::Busy { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(CacheError::Io { path: path.to_owned(), source }),
    }
}

impl Content {
    /// Reads where every whole line is; the file need not fit into memory.
    fn read(mut file: File, path: &Path) -> Result<Self, CacheError> {
        let failed = |source| CacheError::Io { path: path.to_owned(), source };
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        let copy = file.try_clone().map_err(failed)?;
        let (places, engines) = (HashMap::new(), HashMap::new());
        let mut content = Self { file, end: 0, places, engines, damaged: 0 };
        let mut reader = BufReader::new(copy);
        let mut line = Vec::new();
        reader.read_until(b'\n', &mut line).map_err(failed)?;
        if line != HEADER {
            return Err(CacheError::Foreign { path: path.to_owned() });
        }
        content.end = line.len() as u64;
        loop {
            line.clear();
            let length = reader.read_until(b'\n', &mut line).map_err(failed)?;
            if line.pop() != Some(b'\n') {
                return Ok(content);
            }
            content.enter(&line);
            content.end += length as u64;
        }
    }

    /// Enters the line that begins at the end.
    fn enter(&mut self, line: &[u8]) {
        let head = if is_whole(line) { serde_json::from_slice::<Head>(line).ok() } else { None };
        match head.and_then(|head| Some((Key::from_hex(&head.key)?, head.engine))) {
            Some((key, engine)) => self.note(key, engine, line.len()),
            None => self.damaged += 1,
        }
    }

    /// Notes that the line with `length` bytes at the end has `key`; the first of equal ones counts.
    fn note(&mut self, key: Key, engine: String, length: usize) {
        if let Entry::Vacant(free) = self.places.entry(key) {
            free.insert(Place { start: self.end, length });
            *self.engines.entry(engine).or_default() += 1;
        }
    }

    fn line(&mut self, place: Place) -> io::Result<Line> {
        let mut bytes = vec![0; place.length];
        self.file.seek(SeekFrom::Start(place.start))?;
        self.file.read_exact(&mut bytes)?;
        if !is_whole(&bytes) {
            return Err(io::Error::other("a line was changed while the cache was open"));
        }
        Ok(Line::from_bytes(&bytes)?)
    }

    fn append(&mut self, key: Key, line: Line) -> io::Result<()> {
        if self.places.contains_key(&key) {
            return Ok(());
        }
        let bytes = line.to_bytes()?;
        if let Err(error) = self.file.write_all(&bytes) {
            // A full disk may have taken a part of the line, which the next one would run into.
            self.file.set_len(self.end)?;
            return Err(error);
        }
        self.note(key, line.engine, bytes.len() - 1);
        self.end += bytes.len() as u64;
        Ok(())
    }
}
