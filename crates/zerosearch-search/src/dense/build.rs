//! The making of a dense index: passages are encoded piece by piece, each kept before the next, so that the corpus can be
//! larger than memory and the work can be stopped; then codes and clusters are made of all vectors together.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::PathBuf;

use ndarray::{Array2, ArrayView1, ArrayView2};
use rayon::prelude::*;

use super::clusters::{assign, centroids};
use super::draft::Draft;
use super::engine::ENGINE;
use super::record::DenseRecord;
use super::stored::{CENTROIDS, CLUSTERS, CODES, FILES, SCALES, VECTORS, numbers, reader};
use super::vectors::coded;
use crate::corpus::{CorpusError, Reading};
use crate::index::{Built, IndexError, Manifest, Pace, Stage, Watch, catch_up, recognise};
use crate::{Encoder, Passage, Side};

/// Passages that are encoded and kept together. A stopped build goes on at one of these borders, so that its vectors are
/// those of one that was never stopped, bit for bit.
const PIECE: u64 = 1024;
/// Passages that are encoded between two looks at the watch.
const LOOK_EVERY: usize = 128;
/// Vectors that are turned into codes together.
const ROWS: usize = 1024;
/// Vectors for each cluster from which centroids are made, and the most in all.
const SAMPLE_PER_CLUSTER: usize = 64;
const LARGEST_SAMPLE: usize = 1 << 18;
/// The fewest passages that a cluster is made for.
const PASSAGES_PER_CLUSTER: usize = 16;

/// What is indexed, where, and with which encoder.
#[derive(Debug)]
pub struct DenseBuild {
    /// The corpus file.
    pub corpus: PathBuf,
    /// The folder of the index.
    pub folder: PathBuf,
    /// What makes the vectors.
    pub encoder: Encoder,
    /// How many clusters; `None` for four times the square root of the number of passages.
    pub clusters: Option<usize>,
}

impl DenseBuild {
    /// Makes the index, or goes on where it was left.
    ///
    /// # Errors
    /// A corpus that is broken; a folder with something else in it, or with an index of another corpus or another
    /// encoder; a disk that is full. What was encoded before stays.
    pub fn run(&self, watch: &mut Watch<'_>) -> Result<Built, IndexError> {
        let mut reading = Reading::open(&self.corpus)?;
        if let Some(manifest) = Manifest::find(&self.folder)? {
            if DenseRecord::of(&manifest, &self.folder)?.encoder != *self.encoder.record() {
                return Err(self.is_of_another_encoder());
            }
            return recognise(&mut reading, manifest, &self.folder, watch);
        }
        let mut draft = Draft::open(&self.folder, self.encoder.record())?;
        let done = draft.corpus().clone();
        if !catch_up(&mut reading, &done, &self.folder, watch)?
            || !self.encode(&mut reading, &mut draft, watch)?
        {
            return Ok(Built::Left(draft.corpus().passages));
        }
        if draft.corpus().passages == 0 {
            return Err(CorpusError::Empty.into());
        }
        self.finish(draft, watch)
    }

    fn is_of_another_encoder(&self) -> IndexError {
        let problem = format!(
            "was begun with another encoder, or another manner of it, than `{}` as it is used now; name another folder \
             with --out, or delete this one",
            self.encoder.record().name
        );
        IndexError::folder(&self.folder, problem)
    }

    /// Encodes the rest of the corpus. False when it was told to stop.
    fn encode(
        &self,
        reading: &mut Reading,
        draft: &mut Draft,
        watch: &mut Watch<'_>,
    ) -> Result<bool, IndexError> {
        loop {
            let mut piece = Vec::new();
            while (piece.len() as u64) < PIECE
                && let Some(passage) = reading.next()?
            {
                piece.push(passage);
            }
            if piece.is_empty() {
                return Ok(true);
            }
            let mut vectors = Vec::new();
            for part in piece.chunks(LOOK_EVERY) {
                let done = draft.corpus().passages + (vectors.len() / self.dimensions()) as u64;
                if !watch(Pace { stage: Stage::Adding, passages: done, share: reading.share() }) {
                    return Ok(false);
                }
                let texts: Vec<String> = part.iter().map(whole).collect();
                let encoded = self.encoder.encode(Side::Passage, &texts);
                let encoded = encoded
                    .map_err(|why| IndexError::folder(&self.folder, format!("cannot be made: {why}")))?;
                vectors.extend(encoded);
            }
            draft.add(&piece, &vectors, reading.extent())?;
        }
    }

    fn dimensions(&self) -> usize {
        self.encoder.record().dimensions
    }

    /// What is made of all vectors together: clusters, codes, the manifest.
    fn finish(&self, draft: Draft, watch: &mut Watch<'_>) -> Result<Built, IndexError> {
        let corpus = draft.corpus().clone();
        let passages = usize::try_from(corpus.passages).unwrap_or(usize::MAX);
        let pace = |share| Pace { stage: Stage::Merging, passages: corpus.passages, share };
        let left = Ok(Built::Left(corpus.passages));
        if !watch(pace(0.0)) {
            return left;
        }
        let most = passages.div_ceil(PASSAGES_PER_CLUSTER);
        let clusters = self.clusters.unwrap_or(4 * passages.isqrt()).clamp(1, most);
        let centroids = centroids(self.sample(passages, clusters)?.view(), clusters);
        if !watch(pace(0.5)) {
            return left;
        }
        self.write_codes(&centroids)?;
        let bytes = centroids.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
        let mut file = self.create(CENTROIDS)?;
        file.write_all(&bytes).map_err(IndexError::written(&self.file(CENTROIDS)))?;
        self.finished(file)?;
        let record = DenseRecord { encoder: self.encoder.record().clone(), clusters };
        let settings = serde_json::to_value(record).unwrap_or_default();
        let mut manifest = Manifest::new(ENGINE, settings, corpus.clone(), &self.corpus);
        if !manifest.seal(&self.folder, FILES, watch)? {
            return left;
        }
        draft.done()?;
        Ok(Built::Made(manifest))
    }

    /// Vectors at equal distances through the corpus.
    fn sample(&self, passages: usize, clusters: usize) -> Result<Array2<f32>, IndexError> {
        let wanted = (clusters * SAMPLE_PER_CLUSTER).min(LARGEST_SAMPLE).max(clusters).min(passages);
        let mut sample = Vec::with_capacity(wanted * self.dimensions());
        let (mut place, mut taken) = (0, 0);
        self.rows(|rows| {
            for row in rows.rows() {
                if place * wanted >= taken * passages && taken < wanted {
                    sample.extend(row);
                    taken += 1;
                }
                place += 1;
            }
            Ok(())
        })?;
        let shaped = Array2::from_shape_vec((taken, self.dimensions()), sample);
        shaped.map_err(|why| IndexError::folder(&self.folder, format!("cannot be made: {why}")))
    }

    fn write_codes(&self, centroids: &Array2<f32>) -> Result<(), IndexError> {
        let mut files = [self.create(CODES)?, self.create(SCALES)?, self.create(CLUSTERS)?];
        self.rows(|rows| {
            let each: Vec<ArrayView1<'_, f32>> = rows.rows().into_iter().collect();
            let coded: Vec<(Vec<i8>, f32)> =
                each.par_iter().map(|row| coded(row.as_slice().unwrap_or_default())).collect();
            for ((code, scale), cluster) in coded.iter().zip(assign(rows, centroids.view())) {
                let code: Vec<u8> = code.iter().map(|code| code.cast_unsigned()).collect();
                let parts: [&[u8]; 3] = [&code, &scale.to_le_bytes(), &cluster.to_le_bytes()];
                for (file, bytes) in files.iter_mut().zip(parts) {
                    file.write_all(bytes).map_err(IndexError::written(&self.folder.join(FILES)))?;
                }
            }
            Ok(())
        })?;
        files.into_iter().try_for_each(|file| self.finished(file))
    }

    /// Hands the vectors to `take`, many at a time.
    fn rows(
        &self,
        mut take: impl FnMut(ArrayView2<'_, f32>) -> Result<(), IndexError>,
    ) -> Result<(), IndexError> {
        let path = self.file(VECTORS);
        let mut file = reader(&path)?;
        let dimensions = self.dimensions();
        loop {
            let mut bytes = Vec::new();
            let most = (ROWS * dimensions * 4) as u64;
            (&mut file).take(most).read_to_end(&mut bytes).map_err(IndexError::read(&path))?;
            let row: Vec<f32> = numbers(&bytes, f32::from_le_bytes);
            if row.is_empty() {
                return Ok(());
            }
            let rows = ArrayView2::from_shape((row.len() / dimensions, dimensions), &row);
            take(rows.map_err(|why| IndexError::folder(&self.folder, format!("is damaged: {why}")))?)?;
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(FILES).join(name)
    }

    fn create(&self, name: &str) -> Result<BufWriter<File>, IndexError> {
        let path = self.file(name);
        File::create(&path).map(BufWriter::new).map_err(IndexError::written(&path))
    }

    /// Waits until the disk has a file.
    fn finished(&self, mut file: BufWriter<File>) -> Result<(), IndexError> {
        let written = file.flush().and_then(|()| file.get_ref().sync_all());
        written.map_err(IndexError::written(&self.folder.join(FILES)))
    }
}

/// What an encoder reads of a passage.
fn whole(passage: &Passage) -> String {
    if passage.title.is_empty() {
        passage.text.clone()
    } else {
        format!("{} {}", passage.title, passage.text)
    }
}
