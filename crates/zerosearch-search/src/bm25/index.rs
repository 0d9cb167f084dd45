//! An index: a corpus by its words, and the passages themselves.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use tantivy::directory::RamDirectory;
use tantivy::query::{BooleanQuery, EnableScoring, Query, TermQuery};
use tantivy::schema::{Field, IndexRecordOption, STORED, Schema, TextFieldIndexing, TextOptions, Value};
use tantivy::tokenizer::{TextAnalyzer, TokenizerManager};
use tantivy::{
    DocAddress, DocId, DocSet, Index, ReloadPolicy, Score, Searcher, SegmentReader, SingleSegmentIndexWriter,
    TantivyDocument, Term,
};

use sha2::{Digest, Sha256};

use super::Words;
use crate::corpus::{Corpus, CorpusError, Passage};

/// The different words of a query that are looked up; later ones are left out.
const MOST_WORDS: usize = 256;
/// How much of a score may come and go with the order in which its parts are added up in 32 bits.
const ROUNDING: Score = 1e-4;
/// Sizes tantivy's tables; it is no limit.
const WRITER_BYTES: usize = 64 << 20;
const ANALYZER: &str = "words";

/// A corpus that can be searched, held in memory.
///
/// Scores are those of BM25 (Robertson and Zaragoza 2009) with tantivy's k1 = 1.2 and b = 0.75, over title and text
/// together. What is found depends on the passages, their order and the words that count, and on nothing else.
pub struct Bm25Index {
    searcher: Searcher,
    analyzer: TextAnalyzer,
    fields: Fields,
    words: Words,
    digest: String,
}

#[derive(Clone, Copy)]
struct Fields {
    id: Field,
    title: Field,
    text: Field,
    /// Title and text as they are searched.
    all: Field,
}

impl Bm25Index {
    /// The corpus in the file at `path`: JSONL, plain, gzipped or packed with zstd, or
    /// Parquet. Each row has `id` and `text` and may have a `title`,
    /// or has `id` and `contents`, whose first line is the title.
    ///
    /// # Errors
    /// A file that cannot be read, and the first line that is empty, no JSON object, without `id` or text, or with the
    /// `id` of an earlier one.
    pub fn of_file(path: &Path, words: Words) -> Result<Self, CorpusError> {
        let mut corpus = Corpus::open(path)?;
        let mut builder = Builder::new(words)?;
        while let Some(passage) = corpus.next()? {
            builder.add(passage).map_err(|problem| corpus.complain(problem))?;
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
            builder.add(passage).map_err(|problem| CorpusError::Passage { number, problem })?;
        }
        builder.finish()
    }

    /// How many passages there are.
    pub fn len(&self) -> usize {
        usize::try_from(self.searcher.num_docs()).unwrap_or(usize::MAX)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Which words count.
    pub fn words(&self) -> Words {
        self.words
    }

    /// SHA-256 over all passages in their order.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The `k` passages that `query` fits best, with their scores; equal scores in the order of the corpus. `query` is
    /// words and nothing else: it has no operators.
    pub(super) fn find(&self, query: &str, k: usize) -> tantivy::Result<Vec<(Passage, Score)>> {
        let words = Words::of(&self.analyzer, query, MOST_WORDS);
        let terms: Vec<Term> =
            words.iter().map(|word| Term::from_field_text(self.fields.all, word)).collect();
        if terms.is_empty() || k == 0 {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        for (at, segment) in (0..).zip(self.searcher.segment_readers()) {
            let documents = self.candidates(&terms, segment, k)?;
            let scores = self.scores(&terms, segment, &documents)?;
            found.extend(
                documents.into_iter().zip(scores).map(|(id, score)| (DocAddress::new(at, id), score)),
            );
        }
        found.sort_by(|(first, high), (second, low)| low.total_cmp(high).then(first.cmp(second)));
        found.truncate(k);
        found.into_iter().map(|(address, score)| Ok((self.passage(address)?, score))).collect()
    }

    /// Every document whose score may be among the `k` best, in their order. Tantivy adds up a score in an order that
    /// depends on the documents before, so that equal ones may differ by their rounding.
    fn candidates(&self, terms: &[Term], segment: &SegmentReader, k: usize) -> tantivy::Result<Vec<DocId>> {
        let query = BooleanQuery::new_multiterms_query(terms.to_vec());
        let weight = query.weight(EnableScoring::enabled_from_searcher(&self.searcher))?;
        let mut best: Vec<Score> = Vec::with_capacity(k + 1);
        let mut passed = Vec::new();
        let mut least = Score::MIN;
        weight.for_each_pruning(least, segment, &mut |document, score| {
            passed.push((document, score));
            best.insert(best.partition_point(|other| *other >= score), score);
            best.truncate(k);
            if best.len() == k {
                least = best[k - 1] * (1.0 - ROUNDING);
            }
            least
        })?;
        let mut kept: Vec<DocId> =
            passed.into_iter().filter(|(_, score)| *score >= least).map(|(document, _)| document).collect();
        kept.sort_unstable();
        Ok(kept)
    }

    /// The scores of `documents`, which are in order, each added up in the order of `terms`.
    fn scores(
        &self,
        terms: &[Term],
        segment: &SegmentReader,
        documents: &[DocId],
    ) -> tantivy::Result<Vec<Score>> {
        let mut scores = vec![0.0; documents.len()];
        for term in terms {
            let query = TermQuery::new(term.clone(), IndexRecordOption::WithFreqs);
            let weight = query.weight(EnableScoring::enabled_from_searcher(&self.searcher))?;
            let mut scorer = weight.scorer(segment, 1.0)?;
            for (score, document) in scores.iter_mut().zip(documents) {
                if scorer.doc() < *document {
                    scorer.seek(*document);
                }
                if scorer.doc() == *document {
                    *score += scorer.score();
                }
            }
        }
        Ok(scores)
    }

    fn passage(&self, address: DocAddress) -> tantivy::Result<Passage> {
        let document: TantivyDocument = self.searcher.doc(address)?;
        let text =
            |field| document.get_first(field).and_then(|value| value.as_str()).unwrap_or_default().to_owned();
        Ok(Passage { id: text(self.fields.id), title: text(self.fields.title), text: text(self.fields.text) })
    }
}

impl fmt::Debug for Bm25Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bm25Index").field("passages", &self.len()).finish_non_exhaustive()
    }
}

/// An index that is being made: one segment, in the order of the passages.
struct Builder {
    writer: SingleSegmentIndexWriter,
    analyzer: TextAnalyzer,
    fields: Fields,
    words: Words,
    digest: Sha256,
    /// The number of the passage that has each id.
    ids: HashMap<String, u64>,
}

impl Builder {
    fn new(words: Words) -> Result<Self, CorpusError> {
        let (schema, fields) = schema();
        let analyzer = words.analyzer();
        let tokenizers = TokenizerManager::default();
        tokenizers.register(ANALYZER, analyzer.clone());
        let writer = Index::builder()
            .schema(schema)
            .tokenizers(tokenizers)
            .single_segment_index_writer(RamDirectory::create(), WRITER_BYTES)
            .map_err(failed)?;
        Ok(Self { writer, analyzer, fields, words, digest: Sha256::new(), ids: HashMap::new() })
    }

    fn add(&mut self, passage: Passage) -> Result<(), String> {
        let Passage { id, title, text } = &passage;
        if id.trim().is_empty() || text.trim().is_empty() {
            return Err("it has no id or no text".into());
        }
        let number = self.ids.len() as u64 + 1;
        if let Some(earlier) = self.ids.insert(id.clone(), number) {
            return Err(format!("its id `{id}` is that of passage {earlier} too; give each passage its own"));
        }
        for part in [id, title, text] {
            self.digest.update((part.len() as u64).to_le_bytes());
            self.digest.update(part);
        }
        let Fields { id: id_field, title: title_field, text: text_field, all } = self.fields;
        let mut document = TantivyDocument::default();
        for (field, value) in
            [(id_field, id), (title_field, title), (text_field, text), (all, title), (all, text)]
        {
            document.add_text(field, value);
        }
        self.writer.add_document(document).map_err(|why| why.to_string())
    }

    fn finish(self) -> Result<Bm25Index, CorpusError> {
        if self.ids.is_empty() {
            return Err(CorpusError::Empty);
        }
        let index = self.writer.finalize().map_err(failed)?;
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into().map_err(failed)?;
        let digest = self.digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        let Self { analyzer, fields, words, .. } = self;
        Ok(Bm25Index { searcher: reader.searcher(), analyzer, fields, words, digest })
    }
}

fn schema() -> (Schema, Fields) {
    let mut schema = Schema::builder();
    let counted = TextFieldIndexing::default()
        .set_tokenizer(ANALYZER)
        .set_index_option(IndexRecordOption::WithFreqs)
        .set_fieldnorms(true);
    let fields = Fields {
        id: schema.add_text_field("id", STORED),
        title: schema.add_text_field("title", STORED),
        text: schema.add_text_field("text", STORED),
        all: schema.add_text_field("all", TextOptions::default().set_indexing_options(counted)),
    };
    (schema.build(), fields)
}

fn failed(why: tantivy::TantivyError) -> CorpusError {
    CorpusError::Index(why.to_string())
}
