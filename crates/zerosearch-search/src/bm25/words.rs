//! Words: what of a text an index keeps, and a query is looked up by.

use serde::{Deserialize, Serialize};
use tantivy::tokenizer::{
    Language, LowerCaser, RemoveLongFilter, SimpleTokenizer, Stemmer, StopWordFilter, TextAnalyzer,
};

/// Longer words, in bytes, are left out: they are addresses and noise.
const LONGEST_WORD: usize = 40;

/// Which words count, and in which form: runs of letters and digits, in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Words {
    /// English words are cut to their stems (Snowball), so that `wrote books` finds `book`.
    pub stemming: bool,
    /// The commonest English words (`the`, `of`, `who`) are left out.
    pub stop_words: bool,
}

impl Words {
    /// Stemmed, and without stop words.
    pub const ENGLISH: Self = Self { stemming: true, stop_words: true };

    /// The chain that takes a text apart.
    pub(super) fn analyzer(self) -> TextAnalyzer {
        let lower = TextAnalyzer::builder(SimpleTokenizer::default())
            .filter(RemoveLongFilter::limit(LONGEST_WORD))
            .filter(LowerCaser)
            .dynamic();
        let stop_words = StopWordFilter::new(Language::English).filter(|_| self.stop_words);
        let kept = match stop_words {
            Some(filter) => lower.filter_dynamic(filter),
            None => lower,
        };
        if self.stemming {
            kept.filter_dynamic(Stemmer::new(Language::English)).build()
        } else {
            kept.build()
        }
    }

    /// The different words of `text` in the order of their first use, at most `most`.
    pub(super) fn of(analyzer: &TextAnalyzer, text: &str, most: usize) -> Vec<String> {
        let mut analyzer = analyzer.clone();
        let mut stream = analyzer.token_stream(text);
        let mut seen = std::collections::HashSet::new();
        let mut words = Vec::new();
        while words.len() < most && stream.advance() {
            let word = &stream.token().text;
            if seen.insert(word.clone()) {
                words.push(word.clone());
            }
        }
        words
    }
}
