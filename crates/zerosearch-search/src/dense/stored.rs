//! What is stored: the files of an index, numbers in them lowest byte first, and the passages.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::Passage;
use crate::index::IndexError;

/// The folder of all files but the manifest.
pub(super) const FILES: &str = "vectors";
/// One passage a line, in JSON.
pub(super) const PASSAGES: &str = "passages.jsonl";
/// Where the line of each passage ends.
pub(super) const ENDS: &str = "ends.u64";
/// The vectors as they were computed.
pub(super) const VECTORS: &str = "vectors.f32";
/// The vectors in 8 bits.
pub(super) const CODES: &str = "codes.i8";
/// The scale of each.
pub(super) const SCALES: &str = "scales.f32";
/// The centroids of the clusters.
pub(super) const CENTROIDS: &str = "centroids.f32";
/// The cluster of each passage.
pub(super) const CLUSTERS: &str = "clusters.u32";

/// How much of a file is read at once: a multiple of every number's length.
const PIECE: u64 = 1 << 20;

/// Reads a file to its end, handing its numbers to `take`, many at a time. Fewer bytes than a number has are left out.
pub(super) fn read<const N: usize, T>(
    path: &Path,
    number: fn([u8; N]) -> T,
    mut take: impl FnMut(Vec<T>),
) -> Result<(), IndexError> {
    let mut file = File::open(path).map_err(IndexError::read(path))?;
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        let length = (&mut file).take(PIECE).read_to_end(&mut bytes).map_err(IndexError::read(path))?;
        if length == 0 {
            return Ok(());
        }
        take(numbers(&bytes, number));
    }
}

/// The numbers in `bytes`.
pub(super) fn numbers<const N: usize, T>(bytes: &[u8], number: fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|bytes| number(*bytes)).collect()
}

/// `length` bytes of a file from `begin`.
pub(super) fn piece(file: &Mutex<File>, begin: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
    file.seek(SeekFrom::Start(begin))?;
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// The passages of an index, read one by one where they stand.
pub(super) struct Passages {
    path: PathBuf,
    file: Mutex<File>,
    ends: Vec<u64>,
}

impl Passages {
    /// The passages in `files`, of which there are `count`; `None` when their ends are no ends.
    pub(super) fn open(files: &Path, count: usize) -> Result<Option<Self>, IndexError> {
        let mut ends: Vec<u64> = Vec::new();
        read(&files.join(ENDS), u64::from_le_bytes, |some| ends.extend(some))?;
        let path = files.join(PASSAGES);
        let file = File::open(&path).map_err(IndexError::read(&path))?;
        let length = file.metadata().map_err(IndexError::read(&path))?.len();
        let fits = ends.len() == count && ends.is_sorted() && ends.last() == Some(&length);
        Ok(fits.then(|| Self { path, file: Mutex::new(file), ends }))
    }

    /// The passage at `place`.
    pub(super) fn get(&self, place: usize) -> Result<Passage, IndexError> {
        let begin = if place == 0 { 0 } else { self.ends[place - 1] };
        let length = usize::try_from(self.ends[place] - begin).unwrap_or(usize::MAX);
        let bytes = piece(&self.file, begin, length).map_err(IndexError::read(&self.path))?;
        let broken =
            |why| IndexError::read(&self.path)(io::Error::other(format!("passage {}: {why}", place + 1)));
        let Line { id, title, text } = serde_json::from_slice(&bytes).map_err(broken)?;
        Ok(Passage { id, title, text })
    }
}

#[derive(Serialize, Deserialize)]
struct Line {
    id: String,
    title: String,
    text: String,
}

/// A passage as its line.
pub(super) fn line(passage: &Passage) -> io::Result<Vec<u8>> {
    let Passage { id, title, text } = passage.clone();
    let mut line = serde_json::to_vec(&Line { id, title, text }).map_err(io::Error::other)?;
    line.push(b'\n');
    Ok(line)
}

/// A file that is read from its start.
pub(super) fn reader(path: &Path) -> Result<BufReader<File>, IndexError> {
    File::open(path).map(|file| BufReader::with_capacity(1 << 20, file)).map_err(IndexError::read(path))
}
