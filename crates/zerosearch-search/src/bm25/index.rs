//! An index: a corpus by its words, and the passages themselves.

use std::fmt;

use tantivy::query::{BooleanQuery, EnableScoring, Query, TermQuery};
use tantivy::schema::IndexRecordOption;
use tantivy::tokenizer::TextAnalyzer;
use tantivy::{DocAddress, DocId, DocSet, Index, ReloadPolicy, Score, Searcher, SegmentReader, Term};

use super::Words;
use super::schema::{Fields, ROW};
use crate::corpus::Passage;

/// The different words of a query that are looked up; later ones are left out.
const MOST_WORDS: usize = 256;
/// How much of a score may come and go with the order in which its parts are added up in 32 bits.
const ROUNDING: Score = 1e-4;

/// A corpus that can be searched, in memory or on disk.
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

impl Bm25Index {
    /// Searches `index`, whose words are `words` and whose passages have the hash `digest`.
    pub(super) fn over(index: &Index, fields: Fields, words: Words, digest: String) -> tantivy::Result<Self> {
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
        Ok(Self { searcher: reader.searcher(), analyzer: words.analyzer(), fields, words, digest })
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
            let rows = segment.fast_fields().u64(ROW)?;
            found.extend(
                documents
                    .into_iter()
                    .zip(scores)
                    .map(|(document, score)| (score, rows.first(document), DocAddress::new(at, document))),
            );
        }
        found.sort_by(|(high, first, _), (low, second, _)| low.total_cmp(high).then(first.cmp(second)));
        found.truncate(k);
        let passage = |address| self.searcher.doc(address).map(|document| self.fields.passage(&document));
        found.into_iter().map(|(score, _, address)| Ok((passage(address)?, score))).collect()
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
}

impl fmt::Debug for Bm25Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bm25Index").field("passages", &self.len()).finish_non_exhaustive()
    }
}
