//! An index: the vectors of a corpus in memory, its passages on disk, and what is nearest to a query's vector.

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rayon::prelude::*;

use super::DenseRecord;
use super::best::{Best, Hit};
use super::clusters::Clusters;
use super::stored::{CENTROIDS, CLUSTERS, CODES, FILES, Passages, SCALES, VECTORS, numbers, piece, read};
use super::vectors::{Sought, Vectors, dot};
use crate::Passage;
use crate::corpus::Extent;
use crate::index::{IndexError, Manifest};

/// Passages that one core looks at before it takes the next.
const BLOCK: usize = 8192;
/// Of vectors in 8 bits, so many times what is wanted are scored again in 32, and at least this many.
const AGAIN: usize = 4;
const LEAST_AGAIN: usize = 32;

/// Which numbers are held in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbers {
    /// The vectors as they were computed.
    F32,
    /// A quarter of that. The few best are scored again in 32 bits, read from disk.
    Int8,
}

/// How far is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Among all passages.
    Exact,
    /// Among those of so many clusters, the nearest to the query.
    Approximate(usize),
}

/// How an index is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DenseSettings {
    /// How far.
    pub reach: Reach,
    /// In which numbers.
    pub numbers: Numbers,
}

/// A dense index, opened: its vectors are in memory, its passages on disk.
pub struct DenseIndex {
    files: PathBuf,
    corpus: Extent,
    record: DenseRecord,
    settings: DenseSettings,
    vectors: Vectors,
    /// The vectors in 32 bits on disk.
    stored: Mutex<File>,
    clusters: Option<Clusters>,
    passages: Passages,
}

impl DenseIndex {
    /// Opens the finished index in `folder`. Its files are compared with the manifest by their sizes; what else may have
    /// happened to them, [`Manifest::check`] finds.
    ///
    /// # Errors
    /// When there is no finished index of this engine, or a file of it is missing or damaged.
    pub fn open(folder: &Path, settings: DenseSettings) -> Result<Self, IndexError> {
        let manifest = Manifest::read(folder)?;
        let record = DenseRecord::of(&manifest, folder)?;
        manifest.check_sizes(folder)?;
        let files = folder.join(FILES);
        let damaged = || {
            let problem = "is damaged: its files do not fit its manifest; delete the folder and index again";
            IndexError::folder(folder, problem)
        };
        let shape = Shape {
            passages: usize::try_from(manifest.corpus.passages).map_err(|_| damaged())?,
            dimensions: record.encoder.dimensions,
            clusters: record.clusters,
        };
        let vectors = shape.vectors(&files, settings.numbers)?.ok_or_else(damaged)?;
        let clusters = match settings.reach {
            Reach::Exact => None,
            Reach::Approximate(_) => Some(shape.clusters(&files)?.ok_or_else(damaged)?),
        };
        let passages = Passages::open(&files, shape.passages)?.ok_or_else(damaged)?;
        let path = files.join(VECTORS);
        let stored = Mutex::new(File::open(&path).map_err(IndexError::read(&path))?);
        Ok(Self { files, corpus: manifest.corpus, record, settings, vectors, stored, clusters, passages })
    }

    /// What decides its answers besides the passages.
    pub fn record(&self) -> &DenseRecord {
        &self.record
    }

    /// SHA-256 over all passages in their order.
    pub fn digest(&self) -> &str {
        &self.corpus.sha256
    }

    /// How it is searched.
    pub fn settings(&self) -> DenseSettings {
        self.settings
    }

    /// How many passages there are.
    pub fn len(&self) -> usize {
        usize::try_from(self.corpus.passages).unwrap_or(usize::MAX)
    }

    /// Whether there are none; an index always has some.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The places of the `k` passages nearest to `query`, best first, with their inner products; equal ones in the
    /// order of the corpus.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn nearest(&self, query: &[f32], k: usize) -> Result<Vec<Hit>, IndexError> {
        let wanted = match self.vectors {
            Vectors::F32(_) => k,
            Vectors::Int8 { .. } => (k * AGAIN).max(LEAST_AGAIN),
        };
        let sought = self.vectors.seek(query);
        let hits = match (&self.clusters, self.settings.reach) {
            (Some(clusters), Reach::Approximate(probes)) => {
                let lists = clusters.near(query, probes.min(clusters.len()));
                let best =
                    |list: &&[u32]| self.best(&sought, wanted, list.iter().map(|place| *place as usize));
                Best::of(lists.par_iter().map(best).collect(), wanted)
            }
            _ => {
                let blocks = (0..self.len()).step_by(BLOCK).collect::<Vec<_>>();
                let best = |begin: usize| self.best(&sought, wanted, begin..(begin + BLOCK).min(self.len()));
                Best::of(blocks.into_par_iter().map(best).collect(), wanted)
            }
        };
        match self.vectors {
            Vectors::F32(_) => Ok(hits),
            Vectors::Int8 { .. } => self.score_again(query, &hits, k),
        }
    }

    /// The passage at a place.
    pub(super) fn passage(&self, place: usize) -> Result<Passage, IndexError> {
        self.passages.get(place)
    }

    fn best(&self, sought: &Sought, most: usize, places: impl Iterator<Item = usize>) -> Vec<Hit> {
        let mut best = Best::new(most);
        places.for_each(|place| best.offer((self.vectors.score(sought, place), place)));
        best.into_hits()
    }

    fn score_again(&self, query: &[f32], hits: &[Hit], k: usize) -> Result<Vec<Hit>, IndexError> {
        let row = query.len() * 4;
        let mut best = Best::new(k);
        for &(_, place) in hits {
            let bytes = piece(&self.stored, (place * row) as u64, row)
                .map_err(IndexError::read(&self.files.join(VECTORS)))?;
            let vector = numbers(&bytes, f32::from_le_bytes);
            best.offer((dot(query, &vector), place));
        }
        Ok(best.into_hits())
    }
}

impl fmt::Debug for DenseIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DenseIndex").field("files", &self.files).field("passages", &self.len()).finish()
    }
}

/// The numbers that an index must have.
struct Shape {
    passages: usize,
    dimensions: usize,
    clusters: usize,
}

impl Shape {
    /// The vectors; `None` when there are more or fewer.
    fn vectors(&self, files: &Path, numbers: Numbers) -> Result<Option<Vectors>, IndexError> {
        let count = self.passages.checked_mul(self.dimensions).filter(|count| *count > 0);
        Ok(match numbers {
            Numbers::F32 => {
                let vectors = all(&files.join(VECTORS), f32::from_le_bytes)?;
                (Some(vectors.len()) == count).then_some(Vectors::F32(vectors))
            }
            Numbers::Int8 => {
                let codes = all(&files.join(CODES), i8::from_le_bytes)?;
                let scales = all(&files.join(SCALES), f32::from_le_bytes)?;
                let fits = Some(codes.len()) == count && scales.len() == self.passages;
                fits.then_some(Vectors::Int8 { codes, scales })
            }
        })
    }

    /// The clusters; `None` when they are not those of so many passages.
    fn clusters(&self, files: &Path) -> Result<Option<Clusters>, IndexError> {
        let centroids = all(&files.join(CENTROIDS), f32::from_le_bytes)?;
        let cluster_of = all(&files.join(CLUSTERS), u32::from_le_bytes)?;
        let fits = Some(centroids.len()) == self.clusters.checked_mul(self.dimensions)
            && cluster_of.len() == self.passages
            && u32::try_from(cluster_of.len()).is_ok();
        Ok(fits.then(|| Clusters::new(centroids, self.clusters, &cluster_of)).flatten())
    }
}

fn all<const N: usize, T>(path: &Path, number: fn([u8; N]) -> T) -> Result<Vec<T>, IndexError> {
    let mut all = Vec::new();
    read(path, number, |some| all.extend(some))?;
    Ok(all)
}
