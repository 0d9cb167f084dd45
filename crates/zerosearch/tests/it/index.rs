//! Indexes: made from any corpus, taken up after a kill, and searched like the corpus itself.

use std::fmt::Write;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::Desk;

const ENOUGH: usize = 60_000;
const MAKE: &[&str] = &[
    "index",
    "corpus.jsonl",
    "--out",
    "index",
    "--commit-every",
    "1000",
    "--threads",
    "2",
    "--memory",
    "30",
];
const QUESTIONS: &str = "{\"question\":\"number 31\",\"golden_answers\":[\"number 31\"]}\n\
    {\"question\":\"words of 4 and 5\",\"golden_answers\":[\"word 99999\"]}\n\
    {\"question\":\"is 7 a number?\",\"golden_answers\":[\"yes\"]}\n";

fn corpus(rows: usize) -> String {
    (0..rows).fold(String::new(), |mut text, at| {
        let (few, many) = (at % 97, at * 31 % 10_007);
        let _ = writeln!(text, "{{\"id\":{at},\"title\":\"number {few}\",\"text\":\"word {many} of {at}\"}}");
        text
    })
}

fn desk(rows: usize) -> Desk {
    let desk = Desk::new();
    desk.write("corpus.jsonl", corpus(rows));
    desk.write("questions.jsonl", QUESTIONS);
    desk
}

/// What `search` found in the corpus or the index that `words` name, without its times.
fn found(desk: &Desk, words: &[&str]) -> Vec<Value> {
    let search =
        ["search", "--questions", "questions.jsonl", "--engine", "bm25", "--k", "20", "--out", "found"];
    desk.succeed(&[&search, words].concat());
    let line = |line: &str| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        line["seconds"].take();
        line
    };
    desk.read("found").lines().map(line).collect()
}

#[test]
fn a_killed_index_goes_on_and_answers_like_the_corpus() {
    let desk = desk(ENOUGH);
    let mut child = desk.spawn(MAKE);
    let started = Instant::now();
    let committed = || std::fs::read_to_string(desk.path("index/tantivy/meta.json")).unwrap_or_default();
    while !committed().contains("passages") {
        assert!(started.elapsed() < Duration::from_secs(100), "nothing was committed");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!desk.path("index/manifest.json").exists(), "it was finished before it was killed");
    let report = desk.fail(&["search", "who", "--engine", "bm25", "--index", "index"]);
    assert!(report.contains("the index index is not finished"), "{report}");

    let told = desk.succeed(MAKE);
    assert!(told.starts_with("an index of 60000 passages"), "{told}");
    assert!(desk.succeed(MAKE).contains("as it was made"));
    let in_memory = found(&desk, &["--corpus", "corpus.jsonl"]);
    assert_eq!(in_memory[0]["documents"].as_array().unwrap().len(), 20);
    assert_eq!(found(&desk, &["--index", "index"]), in_memory);
}

#[test]
fn a_damaged_index_is_found_out() {
    let desk = desk(500);
    desk.succeed(MAKE);
    let check = ["index", "--check", "--out", "index"];
    assert!(desk.succeed(&check).contains("500 passages"));
    let meta = desk.read("index/tantivy/meta.json");
    desk.write("index/tantivy/meta.json", meta.replace("\"opstamp\"", "\"Opstamp\""));
    let report = desk.fail(&check);
    assert!(report.contains("meta.json does not have the bytes it was made with"), "{report}");
    let report = desk.fail(&["search", "who", "--engine", "bm25", "--index", "index"]);
    assert!(report.contains("the index index cannot be opened"), "{report}");
}

#[test]
fn an_index_that_cannot_be_made_says_why_and_what_to_do() {
    let desk = desk(5);
    let report = desk.fail(&["index", "gone.jsonl", "--out", "index"]);
    assert!(
        report.starts_with("error: the index cannot be made\nbecause: the corpus gone.jsonl"),
        "{report}"
    );
    assert!(report.contains("hint: give the path of a file that is there"), "{report}");
    desk.write("corpus.jsonl", corpus(5) + "{\"id\": \n");
    let report = desk.fail(MAKE);
    assert!(report.contains("corpus.jsonl, line 6") && report.contains("hint: mend that line"), "{report}");
    let report = desk.fail(&["index", "--check", "--out", "nowhere"]);
    assert!(report.starts_with("error: the index cannot be checked\n"), "{report}");
    desk.write("corpus.jsonl", corpus(6));
    assert!(desk.succeed(MAKE).starts_with("an index of 6 passages"));
}

/// Whoever may read one of its files may read all of them, as those that a program writes without further ado.
#[cfg(unix)]
#[test]
fn the_files_of_an_index_have_the_usual_rights() {
    use std::os::unix::fs::PermissionsExt;

    let desk = desk(500);
    desk.succeed(MAKE);
    let rights = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode();
    let usual = rights(&desk.path("corpus.jsonl"));
    for folder in ["index", "index/tantivy"] {
        for entry in std::fs::read_dir(desk.path(folder)).unwrap() {
            let path = entry.unwrap().path();
            assert!(path.is_dir() || rights(&path) == usual, "{}", path.display());
        }
    }
}

/// By hand: passage 31 alone has 31 twice, and is called number 31; no passage has the second answer; yes is not looked for.
#[test]
fn hits_are_counted_with_an_interval() {
    let desk = desk(500);
    desk.succeed(MAKE);
    let search =
        ["search", "--questions", "questions.jsonl", "--engine", "bm25", "--index", "index", "--k", "3"];
    let table = desk.succeed(&search);
    assert!(table.contains("3 questions, 2 with an answer that can be looked for"), "{table}");
    assert!(table.contains("    3   0.500 [0.000, 1.000]"), "{table}");
    let shown = desk.succeed(&["search", "number 31", "--engine", "bm25", "--index", "index"]);
    assert!(shown.starts_with("1. number 31  ("), "{shown}");
}

/// A collection remembers what was searched: the passages and the words, not the folder's bytes.
#[test]
fn what_was_collected_with_one_index_does_not_go_on_with_another() {
    let desk = desk(500);
    let collect = [
        "collect",
        "--model",
        "scripted",
        "--engine",
        "bm25",
        "--index",
        "index",
        "--questions",
        "questions.jsonl",
        "--out",
        "out",
    ];
    desk.succeed(MAKE);
    desk.succeed(&collect);
    std::fs::remove_dir_all(desk.path("index")).unwrap();
    desk.succeed(&["index", "corpus.jsonl", "--out", "index", "--threads", "1"]);
    desk.succeed(&collect);
    std::fs::remove_dir_all(desk.path("index")).unwrap();
    desk.succeed(&["index", "corpus.jsonl", "--out", "index", "--no-stemming"]);
    let report = desk.fail(&collect);
    assert!(report.contains("another model, question file, corpus or template"), "{report}");
}
