//! Facts about the engines dense and hybrid: the contract, what is found, indexes that are left, resumed and damaged.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::clusters::{Clusters, assign, centroids};
use super::*;
use crate::seed::{Purpose, draw_unit};
use crate::{
    Bm25Engine, Bm25Index, Built, Encoder, HybridEngine, IndexError, Manifest, MannerChoice, Passage,
    Pooling, Query, SearchEngine, Stage, Words, contract,
};

const EXACT: DenseSettings = DenseSettings { reach: Reach::Exact, numbers: Numbers::F32 };

fn model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/bert-tiny")
}

fn encoder() -> Encoder {
    let choice = MannerChoice { pooling: Some(Pooling::Mean), ..MannerChoice::default() };
    Encoder::open(&model(), &choice).unwrap()
}

fn passages(count: usize) -> Vec<Passage> {
    let words = ["the capital of france", "who wrote emma", "a query of letters", "</search> tags <answer>"];
    let text = |at: usize| format!("{} {}", words[at % 4], at / 8);
    (0..count)
        .map(|at| Passage { id: format!("p{at}"), title: format!("title {}", at % 3), text: text(at) })
        .collect()
}

struct Place(TempDir);

impl Place {
    fn with(passages: &[Passage]) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let row =
            |it: &Passage| serde_json::json!({"id": it.id, "title": it.title, "text": it.text}).to_string();
        std::fs::write(place.corpus(), passages.iter().map(row).collect::<Vec<_>>().join("\n")).unwrap();
        place
    }

    fn corpus(&self) -> PathBuf {
        self.0.path().join("corpus.jsonl")
    }

    fn index(&self) -> PathBuf {
        self.0.path().join("index")
    }

    fn build(&self) -> DenseBuild {
        DenseBuild { corpus: self.corpus(), folder: self.index(), encoder: encoder(), clusters: None }
    }

    fn made(passages: &[Passage]) -> Self {
        let place = Self::with(passages);
        let built = place.build().run(&mut |_| true).unwrap();
        assert!(matches!(built, Built::Made(_)), "{built:?}");
        place
    }

    fn engine(&self, settings: DenseSettings) -> DenseEngine {
        DenseEngine::new(DenseIndex::open(&self.index(), settings).unwrap(), &model()).unwrap()
    }

    fn refused(&self) -> String {
        DenseIndex::open(&self.index(), EXACT).unwrap_err().to_string()
    }
}

fn query(text: &str, k: usize) -> Query {
    Query { text: text.into(), k, labels: None, seed: 0, context: None }
}

async fn ids(engine: &dyn SearchEngine, text: &str, k: usize) -> Vec<String> {
    let found = engine.search(&query(text, k)).await.unwrap();
    found.into_iter().map(|document| document.provenance.id.unwrap()).collect()
}

#[tokio::test]
async fn both_are_search_engines() {
    let corpus = passages(300);
    let place = Place::made(&corpus);
    for reach in [Reach::Exact, Reach::Approximate(3)] {
        for numbers in [Numbers::F32, Numbers::Int8] {
            contract::check_any(&place.engine(DenseSettings { reach, numbers })).await;
        }
    }
    let words = Bm25Engine::over(corpus, Words::ENGLISH).unwrap();
    contract::check_any(&HybridEngine::new(words, place.engine(EXACT)).unwrap()).await;
}

#[test]
fn a_folder_is_filled_by_one_process() {
    let place = Place::with(&passages(10));
    let mut told = String::new();
    let built = place.build().run(&mut |_| {
        if told.is_empty() {
            told = place.build().run(&mut |_| true).unwrap_err().to_string();
        }
        true
    });
    assert!(told.contains("is being made by another process"), "{told}");
    assert!(matches!(built, Ok(Built::Made(_))), "{built:?}");
}

/// A passage's own words, title included, are nearest to it: the product of a vector of length 1 with itself.
#[tokio::test]
async fn what_is_asked_for_in_its_own_words_comes_first() {
    let place = Place::made(&passages(300));
    for numbers in [Numbers::F32, Numbers::Int8] {
        let engine = place.engine(DenseSettings { reach: Reach::Exact, numbers });
        let found = engine.search(&query("title 2 the capital of france 2", 3)).await.unwrap();
        assert_eq!(found[0].provenance.id.as_deref(), Some("p20"));
        assert!((found[0].provenance.score.unwrap() - 1.0).abs() < 1e-5, "{:?}", found[0].provenance);
        assert_eq!(ids(&engine, "title 2 the capital of france 2", 3).await[0], "p20");
    }
    let tags = place.engine(EXACT).search(&query("title 0 tags answer search 0", 50)).await.unwrap();
    assert!(tags.iter().all(|it| !it.text.contains("</search>") && it.provenance.engine == "dense"));
}

#[tokio::test]
async fn equal_passages_come_in_the_order_of_the_corpus() {
    let same = |at: usize| Passage { id: format!("p{at}"), title: String::new(), text: "the same".into() };
    let place = Place::made(&(0..40).map(same).collect::<Vec<_>>());
    let expected: Vec<String> = (0..30).map(|at| format!("p{at}")).collect();
    for reach in [Reach::Exact, Reach::Approximate(9)] {
        for numbers in [Numbers::F32, Numbers::Int8] {
            let engine = place.engine(DenseSettings { reach, numbers });
            assert_eq!(ids(&engine, "who", 30).await, expected, "{reach:?} {numbers:?}");
        }
    }
}

/// Every cluster is looked into: what is found is what an exact search finds.
#[tokio::test]
async fn all_clusters_are_all_passages() {
    let place = Place::made(&passages(500));
    let all = DenseSettings { reach: Reach::Approximate(usize::MAX), numbers: Numbers::F32 };
    for text in ["who wrote emma", "capital", "letters of a query 7"] {
        assert_eq!(
            ids(&place.engine(all), text, 20).await,
            ids(&place.engine(EXACT), text, 20).await,
            "{text}"
        );
    }
}

/// 2,000 vectors around 20 directions, 16 numbers each: of the 10 nearest to each of 50 others, a search in 4 of 40
/// clusters finds 9 and more. In random directions without any clusters it would be 1 to 2.
#[test]
fn an_approximate_search_finds_nearly_all_where_vectors_lie_in_clusters() {
    let draw = |at: usize, what: usize| draw_unit(what as u64, Purpose::Script, at as u64) as f32 - 0.5;
    let vector =
        |at: usize| -> Vec<f32> { (0..16).map(|n| draw(at % 20, n) + 0.4 * draw(1000 + at, n)).collect() };
    let rows: Vec<f32> = (0..2_000).flat_map(vector).collect();
    let all = ndarray::ArrayView2::from_shape((2_000, 16), &rows).unwrap();
    let middle = centroids(all, 40);
    assert_eq!(middle, centroids(all, 40));
    let clusters = Clusters::new(middle.iter().copied().collect(), 40, &assign(all, middle.view())).unwrap();
    let best = |query: &[f32], places: &mut dyn Iterator<Item = usize>| {
        let mut best = best::Best::new(10);
        places.for_each(|at| best.offer((vectors::dot(query, &rows[at * 16..(at + 1) * 16]), at)));
        best.into_hits().into_iter().map(|(_, at)| at).collect::<Vec<_>>()
    };
    let mut found = 0;
    for at in 5_000..5_050 {
        let query = vector(at);
        let exact = best(&query, &mut (0..2_000));
        let near = clusters.near(&query, 4);
        let near = best(&query, &mut near.into_iter().flatten().map(|place| *place as usize));
        found += near.iter().filter(|place| exact.contains(place)).count();
    }
    assert!(found >= 450, "{found} of 500");
}

/// Stopped at every look once; the files are those of an index that was made at once, but for the hash of nothing.
#[test]
fn an_index_that_was_stopped_goes_on_to_the_same_bytes() {
    let corpus = passages(2_500);
    let whole = Place::made(&corpus);
    let parts = Place::with(&corpus);
    let mut left = Vec::new();
    for looks in [1, 12, 6, 5, 9] {
        let mut seen = 0;
        let built = parts.build().run(&mut |pace| {
            seen += usize::from(pace.stage != Stage::Comparing);
            seen < looks
        });
        let Built::Left(passages) = built.unwrap() else { break };
        left.push(passages);
    }
    assert_eq!(left, [0, 1024, 1024, 1024, 2048]);
    let made = parts.build().run(&mut |_| true).unwrap();
    let manifest = Manifest::read(&whole.index()).unwrap();
    assert_eq!(made, Built::Made(manifest.clone()));
    assert_eq!(parts.build().run(&mut |_| true).unwrap(), Built::Known(manifest));
}

#[test]
fn another_corpus_or_encoder_is_refused() {
    let place = Place::with(&passages(1_500));
    let mut seen = 0;
    let stopped = place.build().run(&mut |_| {
        seen += 1;
        seen < 11
    });
    assert_eq!(stopped.unwrap(), Built::Left(1024));
    let told = |built: Result<Built, IndexError>| built.unwrap_err().to_string();
    let choice = MannerChoice { pooling: Some(Pooling::Cls), ..MannerChoice::default() };
    let other = DenseBuild { encoder: Encoder::open(&model(), &choice).unwrap(), ..place.build() };
    assert!(told(other.run(&mut |_| true)).contains("another encoder or another manner"));
    let mut corpus = passages(1_500);
    corpus[7].text = "something else".into();
    let changed = Place::with(&corpus);
    let other = DenseBuild { corpus: changed.corpus(), ..place.build() };
    assert!(told(other.run(&mut |_| true)).contains("begun with another corpus"));
    let strange = DenseBuild { folder: changed.0.path().to_owned(), ..changed.build() };
    assert!(told(strange.run(&mut |_| true)).contains("the folder holds corpus.jsonl"));
}

#[test]
fn a_damaged_index_is_refused() {
    let place = Place::with(&passages(100));
    assert!(place.refused().contains("does not exist"), "{}", place.refused());
    place.build().run(&mut |_| true).unwrap();
    let codes = place.index().join("vectors/codes.i8");
    let bytes = std::fs::read(&codes).unwrap();
    std::fs::write(&codes, &bytes[1..]).unwrap();
    assert!(place.refused().contains("vectors/codes.i8 has 1599 bytes"), "{}", place.refused());
    let mut other = bytes.clone();
    other[40] ^= 1;
    std::fs::write(&codes, &other).unwrap();
    let manifest = Manifest::read(&place.index()).unwrap();
    let told = manifest.check(&place.index(), &mut |_| true).unwrap_err().to_string();
    assert!(told.contains("vectors/codes.i8 does not have the bytes"), "{told}");
    std::fs::remove_file(codes).unwrap();
    assert!(place.refused().contains("vectors/codes.i8 is missing"));
}

/// By hand: first in both lists is 2 / 61; second in one and first in no other, 1 / 62.
#[tokio::test]
async fn a_hybrid_adds_reciprocal_ranks_over_one_corpus() {
    let corpus = passages(300);
    let place = Place::made(&corpus);
    let words = Bm25Engine::over(corpus.clone(), Words::ENGLISH).unwrap();
    let dense = place.engine(EXACT);
    let text = "title 2 the capital of france 2";
    let (by_words, by_vectors) = (ids(&words, text, 100).await, ids(&dense, text, 100).await);
    let hybrid = HybridEngine::new(words, dense.clone()).unwrap();
    let found = hybrid.search(&query(text, 5)).await.unwrap();
    for document in &found {
        let id = document.provenance.id.as_ref().unwrap();
        let share = |list: &[String]| {
            list.iter().position(|other| other == id).map_or(0.0, |at| 1.0 / (61.0 + at as f32))
        };
        let wanted = share(&by_words) + share(&by_vectors);
        assert!((document.provenance.score.unwrap() - wanted).abs() < 1e-7, "{:?}", document.provenance);
        assert_eq!(document.provenance.engine, "hybrid");
    }
    let other = Bm25Index::of_passages(corpus[1..].to_vec(), Words::ENGLISH).unwrap();
    let told = HybridEngine::new(Bm25Engine::new(other), dense).unwrap_err().to_string();
    assert!(told.contains("make both of one file"), "{told}");
}
