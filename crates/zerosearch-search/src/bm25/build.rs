//! The making of an index on disk: passage by passage, with a commit every so often from which it goes on.

use std::fs::DirEntry;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::FutureExt;
use serde::{Deserialize, Serialize};
use tantivy::directory::MmapDirectory;
use tantivy::directory::error::LockError;
use tantivy::index::SegmentId;
use tantivy::indexer::NoMergePolicy;
use tantivy::{Index, IndexWriter, TantivyError};

use super::Words;
use super::disk::{FILES, Settings};
use super::engine::ENGINE;
use super::schema::{Fields, tokenizers};
use crate::corpus::{CorpusError, Extent, Reading};
use crate::index::{
    Built, IndexError, Manifest, Pace, Stage, Watch, catch_up, claim, look, recognise, refuse_strangers,
};

/// How long a merge goes on between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// What tantivy wants for each thread, in bytes.
const LEAST_MEMORY: usize = 15_000_000;
const MOST_MEMORY: usize = 4_000_000_000;

/// What is indexed, where, and with how much.
#[derive(Clone, Debug)]
pub struct Bm25Build {
    /// The corpus file.
    pub corpus: PathBuf,
    /// The folder of the index.
    pub folder: PathBuf,
    /// Which words count.
    pub words: Words,
    /// Threads that take texts apart, besides the one that reads.
    pub threads: usize,
    /// Bytes that they fill together before they write; 15 MB each at least.
    pub memory: usize,
    /// Passages between two commits.
    pub commit_every: u64,
}

impl Bm25Build {
    /// Makes the index, or goes on where it was left. What is found in it later depends on the passages and the words
    /// that count, and on neither threads, memory nor interruptions.
    ///
    /// # Errors
    /// A corpus that [`Bm25Index::of_file`](super::Bm25Index::of_file) would refuse; a folder with something else in it, with an index of another corpus or
    /// other settings, or one that another process is filling; a disk that is full.
    pub fn run(&self, watch: &mut Watch<'_>) -> Result<Built, IndexError> {
        let settings = Settings::new(self.words);
        let mut reading = Reading::open(&self.corpus)?;
        if let Some(manifest) = Manifest::find(&self.folder)? {
            settings.agree(&manifest.settings, &self.folder)?;
            return recognise(&mut reading, manifest, &self.folder, watch);
        }
        let mut draft = Draft::open(self, settings)?;
        let done = draft.progress()?;
        if !catch_up(&mut reading, &done, &self.folder, watch)? {
            return Ok(Built::Left(done.passages));
        }
        if !draft.add(&mut reading, self.commit_every, watch)? || !draft.merge(&reading, watch)? {
            return Ok(Built::Left(draft.committed));
        }
        draft.seal(&reading, self, watch)
    }
}

/// What a commit says about itself.
#[derive(Serialize, Deserialize)]
struct Payload {
    settings: Settings,
    corpus: Extent,
}

/// An unfinished index, held by this process.
struct Draft {
    folder: PathBuf,
    writer: IndexWriter,
    fields: Fields,
    settings: Settings,
    /// Passages that a crash would leave.
    committed: u64,
}

impl Draft {
    fn open(build: &Bm25Build, settings: Settings) -> Result<Self, IndexError> {
        let folder = &build.folder;
        // Files are written aside under hidden names.
        refuse_strangers(folder, |name| name == FILES || name.to_string_lossy().starts_with('.'))?;
        let files = folder.join(FILES);
        std::fs::create_dir_all(&files).map_err(IndexError::written(&files))?;
        let (schema, fields) = Fields::schema();
        let threads = build.threads.max(1);
        let memory = (build.memory / threads).clamp(LEAST_MEMORY, MOST_MEMORY);
        let index = MmapDirectory::open(&files).map_err(TantivyError::from).and_then(|directory| {
            let builder = Index::builder().schema(schema).tokenizers(tokenizers(build.words.analyzer()));
            builder.open_or_create(directory)
        });
        let index = index.map_err(|why| failed(folder, &why))?;
        let writer: IndexWriter =
            claim(folder, || match index.writer_with_num_threads(threads, memory * threads) {
                Ok(writer) => Ok(Some(writer)),
                Err(TantivyError::LockFailure(LockError::LockBusy, _)) => Ok(None),
                Err(why) => Err(failed(folder, &why)),
            })?;
        // All parts become one at the end; merging some of them earlier would write most passages twice.
        writer.set_merge_policy(Box::new(NoMergePolicy));
        Ok(Self { folder: folder.clone(), writer, fields, settings, committed: 0 })
    }

    /// What the last commit holds.
    fn progress(&mut self) -> Result<Extent, IndexError> {
        let metas = self.writer.index().load_metas().map_err(|why| failed(&self.folder, &why))?;
        let Some(text) = metas.payload else { return Ok(Extent::default()) };
        let payload: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        self.settings.agree(&payload["settings"], &self.folder)?;
        let corpus: Extent = serde_json::from_value(payload["corpus"].clone()).map_err(|why| {
            IndexError::folder(&self.folder, format!("is damaged: {why}; delete the folder"))
        })?;
        self.committed = corpus.passages;
        Ok(corpus)
    }

    /// Adds the rest of the corpus. False when it was told to stop; what was added is kept then, and in front of a
    /// broken row too.
    fn add(
        &mut self,
        reading: &mut Reading,
        commit_every: u64,
        watch: &mut Watch<'_>,
    ) -> Result<bool, IndexError> {
        loop {
            let row = reading.passages();
            let passage = match reading.next() {
                Ok(Some(passage)) => passage,
                Ok(None) if row == 0 => return Err(CorpusError::Empty.into()),
                Ok(None) => return self.commit(reading).map(|()| true),
                Err(broken) => {
                    self.commit(reading)?;
                    return Err(broken.into());
                }
            };
            let document = self.fields.document(row, &passage);
            self.writer.add_document(document).map_err(|why| failed(&self.folder, &why))?;
            let stops = look(reading, Stage::Adding, watch);
            if stops || reading.passages() - self.committed >= commit_every {
                self.commit(reading)?;
            }
            if stops {
                return Ok(false);
            }
        }
    }

    /// Makes the disk have every passage that was read.
    fn commit(&mut self, reading: &Reading) -> Result<(), IndexError> {
        if reading.passages() == self.committed {
            return Ok(());
        }
        let payload = Payload { settings: self.settings.clone(), corpus: reading.extent() };
        let payload = serde_json::to_string(&payload).unwrap_or_default();
        let committed = self.writer.prepare_commit().and_then(|mut commit| {
            commit.set_payload(&payload);
            commit.commit()
        });
        committed.map_err(|why| failed(&self.folder, &why))?;
        self.committed = reading.passages();
        Ok(())
    }

    /// Makes one part of all: only then are the bounds by which tantivy leaves passages out those of the whole corpus.
    fn merge(&mut self, reading: &Reading, watch: &mut Watch<'_>) -> Result<bool, IndexError> {
        let parts = self.writer.index().searchable_segment_ids().map_err(|why| failed(&self.folder, &why))?;
        if parts.len() > 1 && !self.merge_parts(&parts, reading.passages(), watch)? {
            return Ok(false);
        }
        let tidied = self.writer.garbage_collect_files().wait();
        tidied.map(|_| true).map_err(|why| failed(&self.folder, &why))
    }

    fn merge_parts(
        &mut self,
        parts: &[SegmentId],
        passages: u64,
        watch: &mut Watch<'_>,
    ) -> Result<bool, IndexError> {
        let mut merging = self.writer.merge(parts);
        while watch(Pace { stage: Stage::Merging, passages, share: 0.0 }) {
            if let Some(merged) = (&mut merging).now_or_never() {
                return merged.map(|_| true).map_err(|why| failed(&self.folder, &why));
            }
            std::thread::sleep(PAUSE);
        }
        Ok(false)
    }

    fn seal(self, reading: &Reading, build: &Bm25Build, watch: &mut Watch<'_>) -> Result<Built, IndexError> {
        let settings = serde_json::to_value(&self.settings).unwrap_or_default();
        let mut manifest = Manifest::new(ENGINE, settings, reading.extent(), &build.corpus);
        share(&self.folder.join(FILES))?;
        let sealed = manifest.seal(&self.folder, FILES, watch)?;
        Ok(if sealed { Built::Made(manifest) } else { Built::Left(self.committed) })
    }
}

fn failed(folder: &Path, why: &TantivyError) -> IndexError {
    IndexError::folder(folder, format!("cannot be made: {why}"))
}

/// Files that tantivy writes so that nobody but their owner can read them.
const OWNERS_ALONE: [&str; 2] = ["meta.json", ".managed.json"];

/// Gives them the rights of the files beside them: whoever may read the others may search.
fn share(files: &Path) -> Result<(), IndexError> {
    let shared = || {
        let entries: Vec<DirEntry> = std::fs::read_dir(files)?.collect::<io::Result<_>>()?;
        let (alone, others): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|entry| OWNERS_ALONE.iter().any(|name| entry.file_name() == *name));
        let Some(other) = others.first() else { return Ok(()) };
        let rights = other.metadata()?.permissions();
        alone.iter().try_for_each(|entry| std::fs::set_permissions(entry.path(), rights.clone()))
    };
    shared().map_err(IndexError::written(files))
}
