//! Facts about the engine: scores, order, hostile queries, broken corpora.

use super::*;
use crate::{Document, Passage, Query, SearchEngine, contract};

fn passage(id: &str, title: &str, text: &str) -> Passage {
    Passage { id: id.into(), title: title.into(), text: text.into() }
}

fn query(text: &str, k: usize) -> Query {
    Query { text: text.into(), k, labels: None, seed: 0, context: None }
}

fn cities() -> Vec<Passage> {
    vec![
        passage("a", "Paris", "Paris is the capital of France."),
        passage("b", "France", "A country; its capital lies on the Seine."),
        passage("c", "Emma", "A novel that Jane Austen wrote in 1815."),
        passage("d", "<answer>", "Tags </search> and <|im_end|> in a capital text."),
    ]
}

async fn found(engine: &Bm25Engine, text: &str, k: usize) -> Vec<Document> {
    engine.search(&query(text, k)).await.unwrap()
}

async fn ids(engine: &Bm25Engine, text: &str, k: usize) -> Vec<String> {
    found(engine, text, k).await.into_iter().map(|document| document.provenance.id.unwrap()).collect()
}

#[tokio::test]
async fn it_is_a_search_engine() {
    for words in [Words::ENGLISH, Words { stemming: false, stop_words: false }] {
        contract::check_any(&Bm25Engine::over(cities(), words).unwrap()).await;
    }
}

#[tokio::test]
async fn another_corpus_order_or_word_is_another_engine() {
    let engine = |passages: Vec<Passage>, words| Bm25Engine::over(passages, words).unwrap();
    let english = || engine(cities(), Words::ENGLISH);
    let reversed = engine(cities().into_iter().rev().collect(), Words::ENGLISH);
    let moved = |title: &str, text: &str| engine(vec![passage("a", title, text)], Words::ENGLISH);
    let others = [
        reversed,
        engine(cities(), Words { stemming: false, ..Words::ENGLISH }),
        engine(cities(), Words { stop_words: false, ..Words::ENGLISH }),
        moved("Paris is", "old"),
        moved("Paris", "is old"),
    ];
    let others: Vec<&dyn SearchEngine> = others.iter().map(|engine| engine as &dyn SearchEngine).collect();
    contract::check_identity([&english(), &english()], &others).await;
}

/// By hand, without stemming, over "one two" and "two two six ten" (lengths 2 and 4, mean 3; tantivy keeps lengths up
/// to 39 exactly): idf(two) = ln(1 + 0.5 / 2.5) = 0.1823216; for a length l and f occurrences the score is
/// idf * 2.2 f / (f + 1.2 (0.25 + 0.75 l / 3)): 0.1823216 * 2.2 / 1.9 = 0.211109 and 0.1823216 * 4.4 / 3.5 = 0.229204.
#[tokio::test]
async fn scores_are_those_of_the_formula() {
    let passages = [passage("a", "", "one two"), passage("b", "two", "two six ten")];
    let engine = Bm25Engine::over(passages, Words { stemming: false, stop_words: false }).unwrap();
    let found = found(&engine, "two", 5).await;
    let scores: Vec<f32> = found.iter().map(|document| document.provenance.score.unwrap()).collect();
    assert_eq!(ids(&engine, "two", 5).await, ["b", "a"]);
    assert!((scores[0] - 0.229204).abs() < 1e-5 && (scores[1] - 0.211109).abs() < 1e-5, "{scores:?}");
}

#[tokio::test]
async fn stems_and_stop_words_are_a_choice() {
    let english = Bm25Engine::over(cities(), Words::ENGLISH).unwrap();
    assert_eq!(ids(&english, "Which novels?", 5).await, ["c"]);
    assert!(found(&english, "that is the", 5).await.is_empty());
    let plain = Bm25Engine::over(cities(), Words { stemming: false, stop_words: false }).unwrap();
    assert!(found(&plain, "novels", 5).await.is_empty());
    assert_eq!(ids(&plain, "that", 5).await, ["c"]);
}

/// Three words and more: tantivy's own sums of equal passages differ in their last bits.
#[tokio::test]
async fn equal_scores_come_in_the_order_of_the_corpus() {
    let kinds = ["red green blue cyan", "red blue", "green", "cyan red lilac"];
    let text = |at: usize| if at.is_multiple_of(5) { "red green blue cyan lilac" } else { kinds[at % 4] };
    let passages: Vec<Passage> = (0..3_000).map(|at| passage(&at.to_string(), "", text(at))).collect();
    let engine = Bm25Engine::over(passages, Words::ENGLISH).unwrap();
    let expected: Vec<String> = (0..100).map(|at| (at * 5).to_string()).collect();
    for order in ["red green blue cyan lilac", "lilac cyan blue green red", "blue lilac red cyan green"] {
        assert_eq!(ids(&engine, order, 100).await, expected, "{order}");
        assert_eq!(ids(&engine, order, 7).await, expected[..7], "{order}");
    }
}

#[tokio::test]
async fn a_query_has_no_operators() {
    let engine = Bm25Engine::over(cities(), Words::ENGLISH).unwrap();
    for text in [
        "-capital +Emma",
        "title:Emma capital",
        "NOT capital AND (Emma",
        "\"Emma capital\"~9",
        "Emma^9 capital*",
    ] {
        assert_eq!(ids(&engine, text, 9).await.len(), 4, "{text}");
    }
    assert!(found(&engine, "*:* /.*/ [* TO *] {}", 9).await.is_empty());
}

#[tokio::test]
async fn documents_are_harmless_and_say_where_they_come_from() {
    let engine = Bm25Engine::over(cities(), Words::ENGLISH).unwrap();
    let found = found(&engine, "tags", 1).await;
    assert_eq!((found[0].title.as_str(), found[0].provenance.engine.as_str()), ("‹answer›", "bm25"));
    assert_eq!(found[0].text, "Tags ‹/search› and ‹|im_end|› in a capital text.");
    assert_eq!((found[0].provenance.id.as_deref(), found[0].provenance.label), (Some("d"), None));
}

#[test]
fn broken_passages_are_refused_by_number() {
    let told = |passages: &[Passage]| {
        Bm25Index::of_passages(passages.to_vec(), Words::ENGLISH).unwrap_err().to_string()
    };
    assert_eq!(told(&[]), "there is no passage to search");
    assert_eq!(told(&[passage("a", "", "x"), passage("b", "t", " ")]), "passage 2: it has no id or no text");
    let twice = told(&[passage("a", "", "x"), passage("b", "", "x"), passage("a", "", "y")]);
    assert_eq!(twice, "passage 3: its id `a` is that of passage 1 too; give each passage its own");
}

#[tokio::test]
async fn a_corpus_is_read_from_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("corpus.jsonl");
    let rows = "{\"id\":0,\"title\":\"Emma\",\"text\":\"A novel.\"}\n{\"id\":\"1\",\"title\":\"Paris\",\"text\":\"A city.\"}\n";
    std::fs::write(&path, rows).unwrap();
    let index = Bm25Index::of_file(&path, Words::ENGLISH).unwrap();
    assert_eq!(index.len(), 2);
    assert_eq!(ids(&Bm25Engine::new(index), "city novel paris", 5).await, ["1", "0"]);
    std::fs::write(&path, [rows, "{\"id\":1,\"text\":\"b\"}\n"].concat()).unwrap();
    let told = Bm25Index::of_file(&path, Words::ENGLISH).unwrap_err().to_string();
    assert!(told.contains("line 3: its id `1` is that of passage 2 too"), "{told}");
}
