//! An index in memory, made each time it is needed: one segment, in the order of the passages.

use std::collections::HashMap;
use std::path::Path;

use sha2::{Digest, Sha256};
use tantivy::directory::RamDirectory;
use tantivy::{Index, SingleSegmentIndexWriter};

use super::schema::{Fields, tokenizers};
use super::{Bm25Index, Words};
use crate::corpus::{Corpus, CorpusError, Passage, hex};

/// Sizes tantivy's tables; it is no limit.
const WRITER_BYTES: usize = 64 << 20;

impl Bm25Index {
    /// The corpus in the file at `path`, in memory: JSONL, plain, gzipped or packed with zstd, or Parquet. Each row has
    /// `id` and `text` and may have a `title`, or has `id` and `contents`, whose first line is the title.
    ///
    /// # Errors
    /// A file that cannot be read, and the first row that is empty, no JSON object, without `id` or text, or with the
    /// `id` of an earlier one.
    pub fn of_file(path: &Path, words: Words) -> Result<Self, CorpusError> {
        let mut corpus = Corpus::open(path)?;
        let mut builder = Builder::new(words)?;
        while let Some(passage) = corpus.next()? {
            builder.add(&passage).map_err(|problem| corpus.complain(problem))?;
        }
        builder.finish()
    }

    /// A corpus that is in memory already.
    ///
    /// # Errors
    /// No passage at all; the first that is blank, has no `id`, or has that of an earlier one.
    pub fn of_passages(
        passages: impl IntoIterator<Item = Passage>,
        words: Words,
    ) -> Result<Self, CorpusError> {
        let mut builder = Builder::new(words)?;
        for (number, passage) in (1..).zip(passages) {
            builder.add(&passage).map_err(|problem| CorpusError::Passage { number, problem })?;
        }
        builder.finish()
    }
}

/// An index that is being made.
struct Builder {
    writer: SingleSegmentIndexWriter,
    words: Words,
    fields: Fields,
    digest: Sha256,
    /// The number of the passage that has each id.
    ids: HashMap<String, u64>,
}

impl Builder {
    fn new(words: Words) -> Result<Self, CorpusError> {
        let (schema, fields) = Fields::schema();
        let writer = Index::builder()
            .schema(schema)
            .tokenizers(tokenizers(words.analyzer()))
            .single_segment_index_writer(RamDirectory::create(), WRITER_BYTES)
            .map_err(failed)?;
        Ok(Self { writer, words, fields, digest: Sha256::new(), ids: HashMap::new() })
    }

    fn add(&mut self, passage: &Passage) -> Result<(), String> {
        let Passage { id, text, .. } = passage;
        if id.trim().is_empty() || text.trim().is_empty() {
            return Err("it has no id or no text".into());
        }
        let number = self.ids.len() as u64 + 1;
        if let Some(earlier) = self.ids.insert(id.clone(), number) {
            return Err(format!("its id `{id}` is that of passage {earlier} too; give each passage its own"));
        }
        passage.hash_into(&mut self.digest);
        let document = self.fields.document(number - 1, passage);
        self.writer.add_document(document).map_err(|why| why.to_string())
    }

    fn finish(self) -> Result<Bm25Index, CorpusError> {
        if self.ids.is_empty() {
            return Err(CorpusError::Empty);
        }
        let index = self.writer.finalize().map_err(failed)?;
        Bm25Index::over(&index, self.fields, self.words, hex(&self.digest.finalize())).map_err(failed)
    }
}

fn failed(why: tantivy::TantivyError) -> CorpusError {
    CorpusError::Index(why.to_string())
}
