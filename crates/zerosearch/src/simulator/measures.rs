//! Measures: what can be counted in the documents of one call.

use std::collections::HashSet;

use zerosearch_search::{Document, Golds};

use crate::judge::Pair;
use crate::qa::{normalize, token_f1};

/// Words of a query that say nothing about its topic.
const EMPTY_WORDS: [&str; 44] = [
    "about", "and", "are", "as", "at", "be", "been", "by", "did", "do", "does", "for", "from", "had", "has",
    "have", "how", "in", "is", "it", "its", "many", "much", "of", "on", "or", "that", "this", "to", "was",
    "were", "what", "when", "where", "which", "who", "whom", "whose", "why", "will", "with", "would", "me",
    "i",
];

/// Whether a golden answer of the pair stands in a document; nothing where none can be looked for.
pub(super) fn holds_answer(pair: &Pair, documents: &[Document]) -> Option<bool> {
    let golds = Golds::new(pair.golden_answers.iter().map(String::as_str));
    (!golds.is_empty()).then(|| documents.iter().any(|document| golds.in_document(document)))
}

/// The share of the query's different content words that stand in the documents; nothing where it has none.
pub(super) fn relevance(pair: &Pair, documents: &[Document]) -> Option<f64> {
    let query = normalize(&pair.query);
    let wanted: HashSet<&str> =
        query.split(' ').filter(|word| !word.is_empty() && !EMPTY_WORDS.contains(word)).collect();
    let texts: Vec<String> = documents.iter().map(|document| normalize(&words_of(document))).collect();
    let said: HashSet<&str> = texts.iter().flat_map(|text| text.split(' ')).collect();
    (!wanted.is_empty()).then(|| wanted.intersection(&said).count() as f64 / wanted.len() as f64)
}

/// The mean over `documents` of the token F1 with the most similar of the pair's own documents; nothing without any.
pub(super) fn overlap(pair: &Pair, documents: &[Document]) -> Option<f64> {
    let real: Vec<String> = pair.documents.iter().map(|document| normalize(&words_of(document))).collect();
    let best = |document: &Document| {
        let text = normalize(&words_of(document));
        real.iter().map(|real| f64::from(token_f1(&text, real))).fold(0.0, f64::max)
    };
    (!documents.is_empty()).then(|| documents.iter().map(best).sum::<f64>() / documents.len() as f64)
}

/// Words in a document, title included.
pub(super) fn length(document: &Document) -> usize {
    words_of(document).split_whitespace().count()
}

/// Title and text.
pub(super) fn words_of(document: &Document) -> String {
    format!("{} {}", document.title, document.text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(query: &str, gold: &str, documents: &[&str]) -> Pair {
        let documents: Vec<_> = documents.iter().map(|text| serde_json::json!({ "text": text })).collect();
        let pair = serde_json::json!({"question": "q", "golden_answers": [gold], "query": query, "label": "useful", "documents": documents});
        serde_json::from_value(pair).unwrap()
    }

    fn documents(texts: &[&str]) -> Vec<Document> {
        pair("q", "x", texts).documents
    }

    #[test]
    fn an_answer_is_looked_for_in_every_document() {
        let emma = pair("who wrote Emma", "Jane Austen", &["x"]);
        assert_eq!(holds_answer(&emma, &documents(&["Emma", "by Jane  Austen's hand"])), Some(true));
        assert_eq!(holds_answer(&emma, &[]), Some(false));
        assert_eq!(holds_answer(&pair("q", "yes", &["x"]), &documents(&["yes"])), None);
    }

    /// "wrote" and "emma" are what `who wrote the Emma` is about; the documents hold one of them.
    #[test]
    fn relevance_is_the_share_of_content_words() {
        let emma = pair("Who wrote the Emma?", "x", &["x"]);
        assert_eq!(relevance(&emma, &documents(&["EMMA, a novel", "emma"])), Some(0.5));
        assert_eq!(relevance(&pair("who is it", "x", &["x"]), &documents(&["who"])), None);
    }

    /// "old rome" against "old rome burns": 2 * 2 / (2 + 3); against "athens" 0. The other document shares nothing.
    #[test]
    fn overlap_is_the_mean_of_the_best_f1() {
        let real = pair("q", "x", &["Athens", "Old Rome burns"]);
        let overlap = overlap(&real, &documents(&["old Rome", "a mill"])).unwrap();
        assert!((overlap - 0.4).abs() < 1e-6, "{overlap}");
    }
}
