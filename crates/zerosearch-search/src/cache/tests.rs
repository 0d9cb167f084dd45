//! Facts about the cache: what is the same search, what is kept, what a crash leaves, and who may write.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::{
    Boxed, Document, Label, Labels, Provenance, Query, QuestionContext, ScriptedEngine, SearchEngine,
    SearchError, contract,
};

/// Says how often it was asked; finds nothing for "nothing" and fails for "fail".
struct Counting {
    name: &'static str,
    made_up: bool,
    calls: AtomicUsize,
    gate: Option<tokio::sync::Semaphore>,
}

impl Counting {
    fn new(name: &'static str, made_up: bool) -> Arc<Self> {
        Arc::new(Self { name, made_up, calls: AtomicUsize::new(0), gate: None })
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

impl SearchEngine for Counting {
    fn search<'a>(&'a self, query: &'a Query) -> Boxed<'a, Result<Vec<Document>, SearchError>> {
        Box::pin(async move {
            let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
            if let Some(gate) = &self.gate {
                gate.acquire().await.unwrap().forget();
            }
            let provenance =
                Provenance { engine: self.name.into(), score: Some(0.1), ..Provenance::default() };
            match query.text.as_str() {
                "fail" => Err(SearchError::Index(format!("call {call}"))),
                "nothing" => Ok(vec![]),
                text => Ok(vec![Document { title: text.into(), text: format!("call {call}"), provenance }]),
            }
        })
    }

    fn name(&self) -> &str {
        self.name
    }

    fn identity(&self) -> String {
        serde_json::json!({ "engine": self.name }).to_string()
    }

    fn writes_to_order(&self) -> bool {
        self.made_up
    }
}

fn query(text: &str) -> Query {
    let context = QuestionContext { question: "Who?".into(), golden_answers: vec!["a".into(), "b".into()] };
    Query {
        text: text.into(),
        k: 2,
        labels: Some(Labels::All(Label::Useful)),
        seed: 1,
        context: Some(context),
    }
}

fn open(folder: &Path) -> Arc<Cache> {
    Arc::new(Cache::open(folder).unwrap())
}

async fn text(engine: &CachedEngine, query: &Query) -> String {
    engine.search(query).await.unwrap().first().map(|document| document.text.clone()).unwrap_or_default()
}

#[tokio::test]
async fn a_cached_engine_is_the_engine() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(folder.path());
    let scripted = || Arc::new(ScriptedEngine::new(Arc::default()));
    let cached = || CachedEngine::new(scripted(), Arc::clone(&cache));
    for _ in ["cold", "warm"] {
        contract::check_simulated(&cached()).await;
    }
    let bare = ScriptedEngine::bare(Arc::default());
    contract::check_identity([&cached(), &*scripted()], &[&bare]).await;
}

#[tokio::test]
async fn a_search_is_asked_once_also_by_the_next_process_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Counting::new("real", false);
    let cached = CachedEngine::new(engine.clone(), open(folder.path()));
    let first = cached.search(&query("x")).await.unwrap();
    assert_eq!(cached.search(&query("x")).await.unwrap(), first);
    assert_eq!(cached.drain(), CacheCounts { hits: 1, misses: 1 });
    assert_eq!(cached.drain(), CacheCounts::default());
    drop(cached);
    let cached = CachedEngine::new(engine.clone(), open(folder.path()));
    assert_eq!(cached.search(&query("x")).await.unwrap(), first, "to the last bit of the score");
    assert_eq!(engine.calls(), 1);
}

/// A real engine is told words and number and nothing else, so nothing else makes another search.
#[tokio::test]
async fn real_engines_differ_by_words_number_and_identity_only() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(folder.path());
    let engine = Counting::new("real", false);
    let cached = CachedEngine::new(engine.clone(), Arc::clone(&cache));
    let asked = query("x");
    let same = [
        Query { seed: 2, ..asked.clone() },
        Query { labels: None, ..asked.clone() },
        Query { context: None, ..asked.clone() },
    ];
    for query in [&asked, &same[0], &same[1], &same[2]] {
        assert_eq!(text(&cached, query).await, "call 1");
    }
    assert_eq!(text(&cached, &query("X")).await, "call 2");
    assert_eq!(text(&cached, &Query { k: 3, ..asked.clone() }).await, "call 3");
    let other = CachedEngine::new(Counting::new("other", false), cache);
    assert_eq!(text(&other, &asked).await, "call 1");
    assert_eq!(other.drain().misses, 1);
}

#[tokio::test]
async fn documents_that_were_made_up_for_another_question_are_never_given() {
    let folder = tempfile::tempdir().unwrap();
    let cached = CachedEngine::new(Counting::new("simulated", true), open(folder.path()));
    let asked = query("x");
    let with_context = |question: &str, golds: &[&str]| {
        let golden_answers = golds.iter().map(|gold| (*gold).to_owned()).collect();
        let context = QuestionContext { question: question.into(), golden_answers };
        Query { context: Some(context), ..asked.clone() }
    };
    let others = [
        asked.clone(),
        Query { seed: 2, ..asked.clone() },
        Query { labels: Some(Labels::All(Label::Noisy)), ..asked.clone() },
        Query { labels: Some(Labels::Each(vec![Label::Useful; 2])), ..asked.clone() },
        Query { labels: None, ..asked.clone() },
        Query { context: None, ..asked.clone() },
        with_context("Who", &["a", "b"]),
        with_context("Who?", &["a"]),
        with_context("Who?", &["b", "a"]),
        with_context("Who?", &["ab"]),
    ];
    for _ in ["cold", "warm"] {
        for (number, query) in (1..).zip(&others) {
            assert_eq!(text(&cached, query).await, format!("call {number}"), "{query:?}");
        }
    }
}

#[tokio::test]
async fn empty_results_are_kept_and_failures_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Counting::new("real", false);
    let cached = CachedEngine::new(engine.clone(), open(folder.path()));
    for _ in 0..3 {
        assert!(cached.search(&query("nothing")).await.unwrap().is_empty());
    }
    assert_eq!(engine.calls(), 1);
    for call in [2, 3] {
        let told = cached.search(&query("fail")).await.unwrap_err().to_string();
        assert!(told.contains(&format!("call {call}")), "{told}");
    }
}

#[tokio::test]
async fn equal_searches_at_the_same_time_are_asked_once() {
    let folder = tempfile::tempdir().unwrap();
    let gate = Some(tokio::sync::Semaphore::new(0));
    let calls = AtomicUsize::new(0);
    let engine = Arc::new(Counting { name: "real", made_up: false, calls, gate });
    let cached = CachedEngine::new(engine.clone(), open(folder.path()));
    let asked = query("x");
    let all = futures::future::join_all((0..9).map(|_| text(&cached, &asked)));
    let (texts, ()) = tokio::join!(all, async { engine.gate.as_ref().unwrap().add_permits(9) });
    assert_eq!((texts, engine.calls()), (vec!["call 1".to_owned(); 9], 1));
    assert_eq!(cached.drain(), CacheCounts { hits: 8, misses: 1 });
}

#[tokio::test]
async fn offline_nothing_is_asked_and_what_is_missing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let none = Cache::open_offline(&folder.path().join("none")).unwrap_err();
    assert!(matches!(none, CacheError::Missing { .. }), "{none}");
    let engine = Counting::new("real", false);
    let filling = CachedEngine::new(engine.clone(), open(folder.path()));
    let found = filling.search(&query("known")).await.unwrap();
    drop(filling);
    let [first, second] = [(); 2].map(|()| Arc::new(Cache::open_offline(folder.path()).unwrap()));
    let offline = CachedEngine::new(engine.clone(), first);
    assert_eq!(offline.search(&query("known")).await.unwrap(), found);
    let told = offline.search(&query("unknown words")).await.unwrap_err().to_string();
    assert!(told.contains("\"unknown words\"") && told.contains("1 results of this engine"), "{told}");
    let other = CachedEngine::new(Counting::new("other", false), second);
    let told = other.search(&query("known")).await.unwrap_err().to_string();
    assert!(told.contains("0 results of this engine as it is set now and 1 of others"), "{told}");
    assert_eq!((engine.calls(), offline.drain()), (1, CacheCounts { hits: 1, misses: 1 }));
}

/// The file as it was after three results, cut at every byte: what is whole is known, all else is asked again.
#[tokio::test]
async fn a_crash_at_any_instant_costs_the_last_result_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("results.jsonl");
    let engine = Counting::new("real", false);
    let cached = CachedEngine::new(engine.clone(), open(folder.path()));
    let mut ends = Vec::new();
    for text in ["a", "b", "c"] {
        cached.search(&query(text)).await.unwrap();
        ends.push(cached.cache().size().bytes as usize);
    }
    drop(cached);
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(bytes.len(), ends[2]);
    for cut in 0..=bytes.len() {
        std::fs::write(&path, &bytes[..cut]).unwrap();
        let cache = open(folder.path());
        let whole = ends.iter().filter(|end| **end <= cut).count();
        assert_eq!(cache.size().results, whole, "cut at {cut}");
        let cached = CachedEngine::new(engine.clone(), cache);
        cached.search(&query("c")).await.unwrap();
        drop(cached);
        let again = open(folder.path()).size();
        assert_eq!((again.results, again.damaged), ((whole + 1).min(3), 0), "cut at {cut}");
    }
}

#[tokio::test]
async fn damage_inside_is_left_out_counted_and_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("results.jsonl");
    let engine = Counting::new("real", false);
    let cached = CachedEngine::new(engine.clone(), open(folder.path()));
    for text in ["first", "second"] {
        cached.search(&query(text)).await.unwrap();
    }
    drop(cached);
    let damaged = std::fs::read_to_string(&path).unwrap().replacen("call 1", "call 7", 1);
    std::fs::write(&path, damaged).unwrap();
    let cached = CachedEngine::new(engine.clone(), open(folder.path()));
    assert_eq!((cached.cache().size().results, cached.cache().size().damaged), (1, 1));
    assert_eq!(text(&cached, &query("first")).await, "call 3");
    assert_eq!(text(&cached, &query("second")).await, "call 2");
}

#[test]
fn a_folder_is_for_one_writer_and_a_foreign_file_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let held = Cache::open(folder.path()).unwrap();
    for refused in [Cache::open(folder.path()), Cache::open_offline(folder.path())] {
        assert!(refused.unwrap_err().to_string().contains("another process uses the cache"));
    }
    drop(held);
    assert!(Cache::open(folder.path()).is_ok());
    let path = folder.path().join("results.jsonl");
    for foreign in ["{\"zerosearch_cache\":2}\n{}\n", "{\"title\":\"mine\"}\n", "mine"] {
        std::fs::write(&path, foreign).unwrap();
        assert!(matches!(Cache::open(folder.path()), Err(CacheError::Foreign { .. })), "{foreign}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), foreign);
    }
}

#[tokio::test]
async fn the_file_is_lines_of_json_that_tell_the_query() {
    let folder = tempfile::tempdir().unwrap();
    let asked = ["who wrote \"Emma\"?", "日本の首都"];
    let cached = CachedEngine::new(Counting::new("real", false), open(folder.path()));
    for words in asked {
        cached.search(&query(words)).await.unwrap();
    }
    let file = std::fs::read_to_string(folder.path().join("results.jsonl")).unwrap();
    let lines = file.lines().skip(1).map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let told: Vec<String> = lines.map(|line| line["query"].as_str().unwrap().to_owned()).collect();
    assert_eq!(told, asked);
}
