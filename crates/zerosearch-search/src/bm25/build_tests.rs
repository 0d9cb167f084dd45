//! Facts about indexes on disk: they answer like those in memory, go on where they were left, and are refused when damaged.

use std::path::{Path, PathBuf};

use super::*;
use crate::corpus::CorpusError;
use crate::{Built, Document, IndexError, Manifest, Pace, Query, SearchEngine, Stage};

/// More passages than are read between two looks at the watch.
const PASSAGES: usize = 1500;

/// Rows of few words, so that many have the same score.
fn row(at: usize) -> String {
    let word = |step: usize| ["red", "green", "blue", "cyan", "lilac", "ocher", "pink"][at / step % 7];
    let (first, second, third) = (word(1), word(5), word(11));
    format!("{{\"id\":{at},\"title\":\"{first}\",\"text\":\"The {second} books, {third}\"}}\n")
}

/// A folder with a corpus in it.
struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    fn new(rows: impl Iterator<Item = usize>) -> Self {
        let desk = Self { folder: tempfile::tempdir().unwrap() };
        desk.write(&rows.map(row).collect::<String>());
        desk
    }

    fn write(&self, rows: &str) {
        std::fs::write(self.corpus(), rows).unwrap();
    }

    fn corpus(&self) -> PathBuf {
        self.folder.path().join("corpus.jsonl")
    }

    fn index(&self) -> PathBuf {
        self.folder.path().join("index")
    }

    fn build(&self, threads: usize, commit_every: u64) -> Bm25Build {
        let (corpus, folder) = (self.corpus(), self.index());
        Bm25Build {
            corpus,
            folder,
            words: Words::ENGLISH,
            threads,
            memory: 15_000_000 * threads,
            commit_every,
        }
    }

    fn made(&self) -> Manifest {
        match self.build(1, 1000).run(&mut |_| true).unwrap() {
            Built::Made(manifest) => manifest,
            other => panic!("{other:?}"),
        }
    }

    fn told(&self, build: &Bm25Build) -> String {
        let told = build.run(&mut |_| true).unwrap_err().to_string();
        told.replace(&self.folder.path().display().to_string(), "")
    }
}

async fn answers(engine: &Bm25Engine) -> Vec<Vec<Document>> {
    let mut answers = Vec::new();
    for text in ["red", "green book", "cyan lilac pink blue red", "ocher red ocher", "the", "nothing"] {
        for k in [1, 5, 100] {
            let query = Query { text: text.into(), k, labels: None, seed: 0, context: None };
            answers.push(engine.search(&query).await.unwrap());
        }
    }
    answers
}

/// One part and many, one thread and several: also among hundreds of passages with one score, of which k are asked for.
#[tokio::test]
async fn it_answers_like_one_in_memory() {
    let desk = Desk::new(0..PASSAGES);
    let memory = Bm25Engine::new(Bm25Index::of_file(&desk.corpus(), Words::ENGLISH).unwrap());
    let expected = answers(&memory).await;
    assert_eq!(expected[5].len(), 100);
    let mut identities = Vec::new();
    for (threads, commit_every) in [(1, 10_000), (3, 100)] {
        let built = desk.build(threads, commit_every).run(&mut |_| true).unwrap();
        let Built::Made(manifest) = built else { panic!("{built:?}") };
        let disk = Bm25Engine::new(Bm25Index::open(&desk.index()).unwrap());
        assert_eq!(answers(&disk).await, expected, "{threads} threads");
        assert_eq!(disk.identity(), memory.identity());
        identities.push(manifest.identity());
        std::fs::remove_dir_all(desk.index()).unwrap();
    }
    assert_eq!(identities[0], identities[1]);
}

#[tokio::test]
async fn it_goes_on_where_it_was_left() {
    let desk = Desk::new(0..PASSAGES);
    let build = desk.build(2, 300);
    let left = build.run(&mut |pace: Pace| pace.passages < 768).unwrap();
    assert_eq!(left, Built::Left(768));
    let mut stages = Vec::new();
    let built = build.run(&mut |pace: Pace| {
        stages.push(pace.stage);
        assert!(pace.stage != Stage::Adding || pace.passages > 768, "{pace:?}");
        true
    });
    assert!(matches!(built, Ok(Built::Made(_))), "{built:?}");
    stages.dedup();
    assert_eq!(stages, [Stage::Comparing, Stage::Adding, Stage::Merging, Stage::Checking]);
    let memory = Bm25Engine::new(Bm25Index::of_file(&desk.corpus(), Words::ENGLISH).unwrap());
    let disk = Bm25Engine::new(Bm25Index::open(&desk.index()).unwrap());
    assert_eq!(answers(&disk).await, answers(&memory).await);
    let again = build.run(&mut |_| true).unwrap();
    assert!(matches!(again, Built::Known(_)), "{again:?}");
}

/// What is being done may be left at any time, also while parts are merged and files are read for their checksums.
#[test]
fn it_may_be_left_at_every_stage() {
    let desk = Desk::new(0..PASSAGES);
    for stage in [Stage::Adding, Stage::Comparing, Stage::Merging, Stage::Checking] {
        let left = desk.build(1, 200).run(&mut |pace: Pace| pace.stage != stage).unwrap();
        assert!(matches!(left, Built::Left(_)), "{stage:?}: {left:?}");
        let told = Bm25Index::open(&desk.index()).unwrap_err().to_string();
        assert!(told.contains("is not finished"), "{told}");
    }
    desk.made();
    assert_eq!(Bm25Index::open(&desk.index()).unwrap().len(), PASSAGES);
}

#[test]
fn another_corpus_and_other_settings_are_refused() {
    let desk = Desk::new(0..PASSAGES);
    let (build, plain) = (desk.build(1, 1000), Words { stemming: false, ..Words::ENGLISH });
    let other = Bm25Build { words: plain, ..build.clone() };
    build.run(&mut |pace: Pace| pace.passages < 512).unwrap();
    let refused = |what: &str| {
        let told = desk.told(&other);
        assert!(
            told.contains("the index /index was begun with stemming = true, not false"),
            "{what}: {told}"
        );
        desk.write(&(1..PASSAGES).map(row).collect::<String>());
        assert!(desk.told(&build).contains("was begun with another corpus than /corpus.jsonl"), "{what}");
        desk.write(&(0..100).map(row).collect::<String>());
        assert!(desk.told(&build).contains("was begun with another corpus"), "{what}");
        desk.write(&(0..PASSAGES).map(row).collect::<String>());
    };
    refused("unfinished");
    desk.made();
    refused("finished");
    desk.write(&(0..=PASSAGES).map(row).collect::<String>());
    assert!(desk.told(&build).contains("was begun with another corpus"));
}

#[test]
fn what_stands_in_front_of_a_broken_row_is_kept() {
    let desk = Desk::new(0..PASSAGES);
    let good = std::fs::read_to_string(desk.corpus()).unwrap();
    for (broken, what) in [
        ("{\"id\":7,\"text\":\"x\"}\n", "line 1501: its id `7` is that of passage 8 too"),
        ("{\"id\":7,\"te", "line 1501: the last line is torn off"),
    ] {
        desk.write(&[good.as_str(), broken].concat());
        assert!(desk.told(&desk.build(1, 10_000)).contains(what), "{}", desk.told(&desk.build(1, 10_000)));
    }
    desk.write(&good);
    let left = desk.build(1, 1000).run(&mut |pace: Pace| pace.stage != Stage::Comparing).unwrap();
    assert_eq!(left, Built::Left(PASSAGES as u64));
    assert_eq!(desk.made().corpus.passages, PASSAGES as u64);
}

#[test]
fn a_damaged_index_is_refused() {
    let desk = Desk::new(0..PASSAGES);
    let manifest = desk.made();
    let files = desk.index().join("tantivy");
    let store = std::fs::read_dir(&files).unwrap().map(|entry| entry.unwrap().path());
    let store = store.into_iter().find(|path| path.extension().is_some_and(|it| it == "store")).unwrap();
    let bytes = std::fs::read(&store).unwrap();
    assert!(manifest.check(&desk.index(), &mut |_| true).unwrap());
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 1;
    std::fs::write(&store, flipped).unwrap();
    let told = manifest.check(&desk.index(), &mut |_| true).unwrap_err().to_string();
    assert!(told.contains(".store does not have the bytes it was made with; delete the folder"), "{told}");
    let opened = || Bm25Index::open(&desk.index()).unwrap_err().to_string();
    std::fs::write(&store, &bytes[..bytes.len() - 1]).unwrap();
    assert!(opened().contains(&format!("has {} bytes and should have {}", bytes.len() - 1, bytes.len())));
    std::fs::remove_file(&store).unwrap();
    assert!(opened().contains(".store is missing"));
    let written = std::fs::read_to_string(desk.index().join("manifest.json")).unwrap();
    for (from, to, what) in [
        ("\"version\": 1", "\"version\": 9", "has a manifest of version 9, and this program knows 1"),
        ("\"engine\"", "\"engin\"", "is damaged: its manifest.json: missing field `engine`"),
        ("\"bm25\"", "\"dense\"", "is one of the engine dense, not of bm25"),
    ] {
        std::fs::write(desk.index().join("manifest.json"), written.replace(from, to)).unwrap();
        assert!(opened().contains(what), "{}", opened());
    }
}

#[test]
fn only_a_folder_of_its_own_is_filled_and_by_one_process() {
    let desk = Desk::new(0..10);
    let gone = Bm25Index::open(&desk.index()).unwrap_err();
    assert!(gone.to_string().contains("does not exist; make it with `zerosearch index"));
    std::fs::create_dir(desk.index()).unwrap();
    std::fs::write(desk.index().join("thesis.txt"), "").unwrap();
    assert!(desk.told(&desk.build(1, 10)).contains("the folder holds thesis.txt; name another"));
    std::fs::remove_dir_all(desk.index()).unwrap();
    let mut told = String::new();
    desk.build(1, 10)
        .run(&mut |_| {
            if told.is_empty() {
                told = desk.told(&desk.build(1, 10));
            }
            true
        })
        .unwrap();
    assert!(told.contains("is being made by another process"), "{told}");
    desk.write("\n");
    let empty = Bm25Build { folder: desk.folder.path().join("other"), ..desk.build(1, 10) };
    assert!(matches!(empty.run(&mut |_| true), Err(IndexError::Corpus(CorpusError::Row { .. }))));
}

/// So that it may lie on a disk that cannot be written to, and be searched by many at once.
#[test]
fn a_finished_index_is_not_written_to() {
    let desk = Desk::new(0..10);
    desk.made();
    let hidden = |folder: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with('.')).collect()
    };
    let files = desk.index().join("tantivy");
    for path in hidden(&files) {
        std::fs::remove_file(path).unwrap();
    }
    let index = Bm25Index::open(&desk.index()).unwrap();
    assert_eq!(index.find("red", 3).unwrap().len(), 3);
    assert_eq!(hidden(&files), Vec::<PathBuf>::new());
}
