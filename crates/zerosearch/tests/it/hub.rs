//! Questions from the Hugging Face hub: a hub on this machine, and then none.

use serde_json::Value;
use zerosearch_hub::loopback::{COMMIT, Loopback, Play};

use crate::program::{Desk, questions, stderr};

const EVAL: &[&str] = &["eval", "--model", "scripted", "--engine", "scripted", "--questions"];

/// FlashRAG's repository with the eight questions of [`questions`] as NQ's test split.
fn hub() -> Loopback {
    let files = [("nq/test.jsonl", questions().into_bytes()), ("nq/dev.jsonl", b"{}\n".to_vec())];
    let repository = "datasets/RUC-NLPIR/FlashRAG_datasets";
    let play = Play { repository, token: Some("secret"), ..Play::of(files) };
    Loopback::start(play).unwrap()
}

/// What `zerosearch eval` says about these questions, in this environment; what went wrong where it fails.
fn eval(desk: &Desk, written: &str, out: &str, environment: &[(&str, &str)]) -> Result<String, String> {
    let cache = desk.path("cache");
    let mut command = desk.command(&[EVAL, &[written, "--out", out]].concat());
    command.env("HF_HUB_CACHE", cache).env_remove("HF_TOKEN").env_remove("HF_HUB_OFFLINE");
    let output = command.envs(environment.iter().copied()).output().unwrap();
    let told = stderr(&output);
    if output.status.success() { Ok(String::from_utf8(output.stdout).unwrap() + &told) } else { Err(told) }
}

/// One line of an evaluation's folder, as JSON.
fn json(desk: &Desk, file: &str) -> Value {
    serde_json::from_str(desk.read(file).lines().next().unwrap()).unwrap()
}

#[test]
fn a_set_of_the_paper_is_asked_from_the_hub_and_then_without_it() {
    let (desk, server) = (Desk::new(), hub());
    let url = server.url();
    let online = [("HF_ENDPOINT", url.as_str()), ("HF_TOKEN", "secret")];
    let told = eval(&desk, "nq", "first", &online).unwrap();
    assert!(told.contains("answered 8 of 8"), "{told}");
    assert_eq!(json(&desk, "first/rows.jsonl")["question"]["source"], "nq");
    let address = "hf://datasets/RUC-NLPIR/FlashRAG_datasets/nq/test.jsonl";
    let hashes: Value = serde_json::from_str(&desk.read("first/hashes.json")).unwrap();
    assert_eq!(hashes["commits"][address], COMMIT);
    assert_eq!(hashes["files"][address], server.play.hash("nq/test.jsonl"));

    let asked = server.play.requests().len();
    let offline = [online[0], ("HF_HUB_OFFLINE", "1")];
    eval(&desk, "nq", "second", &offline).unwrap();
    assert_eq!(server.play.requests().len(), asked);
    drop(server);
    eval(&desk, address, "third", &offline).unwrap();
    assert_eq!(desk.read("third/hashes.json"), desk.read("first/hashes.json"));
    let warned = eval(&desk, "nq", "fourth", &online).unwrap();
    assert!(warned.contains("does not answer") && warned.contains("is taken from the cache"), "{warned}");
    let refused = eval(&desk, "popqa", "fifth", &offline).unwrap_err();
    assert!(refused.contains("HF_HUB_OFFLINE forbids"), "{refused}");
}

#[test]
fn what_the_hub_does_not_give_is_refused_before_anything_is_played() {
    let (desk, server) = (Desk::new(), hub());
    let url = server.url();
    let (endpoint, token) = (("HF_ENDPOINT", url.as_str()), ("HF_TOKEN", "secret"));
    let repository = "hf://datasets/RUC-NLPIR/FlashRAG_datasets";
    let stranger = eval(&desk, "nq", "out", &[endpoint]).unwrap_err();
    assert!(stranger.contains("for those set HF_TOKEN"), "{stranger}");
    for (written, words) in [
        (repository, "it has several: it has nq/dev.jsonl, nq/test.jsonl; name one of them"),
        (&format!("{repository}@v9/nq/test.jsonl"), "no such repository or revision (404"),
        ("hf://datasets/org/other/q.jsonl", "no such repository or revision (404"),
        ("hf://datasets/other", "is no data set of the Hugging Face hub"),
        ("hotpot", "did you mean `hotpotqa`?"),
    ] {
        let told = eval(&desk, written, "out", &[endpoint, token]).unwrap_err();
        assert!(told.contains(words), "{written}: {told}");
    }
    assert!(!desk.path("out").exists());
}

#[test]
fn a_corpus_of_the_hub_is_indexed() {
    let (desk, server) = (Desk::new(), {
        let corpus = b"{\"id\":1,\"title\":\"Emma\",\"text\":\"Jane Austen wrote Emma.\"}\n".to_vec();
        Loopback::start(Play { repository: "datasets/org/wiki", ..Play::of([("wiki.jsonl", corpus)]) })
            .unwrap()
    });
    let index = |corpus: &str| {
        let mut command = desk.command(&["index", corpus, "--out", "index"]);
        command.env("HF_HUB_CACHE", desk.path("cache")).env("HF_ENDPOINT", server.url());
        command.env_remove("HF_TOKEN").env_remove("HF_HUB_OFFLINE").output().unwrap()
    };
    let split = index("hf://datasets/org/wiki/wiki.jsonl@train");
    assert!(stderr(&split).contains("is not one whole file"), "{}", stderr(&split));
    let made = index("hf://datasets/org/wiki/wiki.jsonl");
    assert!(String::from_utf8_lossy(&made.stdout).contains("1 passages"), "{}", stderr(&made));
}
