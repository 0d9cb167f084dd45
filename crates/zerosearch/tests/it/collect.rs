//! Collections: questions played with a real engine, kept, left and taken up again.

use serde_json::{Value, json};

use crate::program::{Desk, SHORT, questions, recipe};
use crate::server::{Manner, Simulator};

/// Two questions with their answers in the corpus, and one whose answer is nowhere.
const QUESTIONS: &str = "{\"question\":\"who wrote Emma?\",\"golden_answers\":[\"Jane Austen\"]}\n\
    {\"question\":\"what is the capital of France?\",\"golden_answers\":[\"Paris\"]}\n\
    {\"question\":\"who is lost?\",\"golden_answers\":[\"Nobody\"]}\n";
const CORPUS: &str = "{\"id\":1,\"title\":\"Emma\",\"text\":\"Jane Austen wrote Emma.\"}\n\
    {\"id\":2,\"contents\":\"\\\"France\\\"\\nParis is the capital of France.\"}\n\
    {\"id\":3,\"text\":\"The key was lost.\"}\n";

const PLAY: &[&str] = &[
    "collect",
    "--model",
    "scripted",
    "--engine",
    "bm25",
    "--corpus",
    "corpus.jsonl",
    "--questions",
    "questions.jsonl",
    "--out",
    "out",
];

fn desk() -> Desk {
    let desk = Desk::new();
    desk.write("questions.jsonl", QUESTIONS);
    desk.write("corpus.jsonl", CORPUS);
    desk
}

fn rows(desk: &Desk) -> Vec<Value> {
    desk.read("out/rows.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// By hand: 3 questions with 4 conversations each, one search in each; the third question's documents hold no answer.
#[test]
fn every_search_is_kept_with_its_documents_and_scores() {
    let desk = desk();
    let table = desk.succeed(PLAY);
    assert!(table.contains("answered 12 of 12, broken 0"), "{table}");
    assert!(table.contains("a golden answer in 0.667 of them, in none for 1 questions"), "{table}");
    let summary: Value = serde_json::from_str(&desk.read("out/summary.json")).unwrap();
    assert_eq!((&summary["questions"], &summary["conversations"]), (&json!(3), &json!(12)));
    assert_eq!(summary["searches"]["with_documents"], 12);
    let rows = rows(&desk);
    let members: Vec<u64> = rows.iter().map(|row| row["member"].as_u64().unwrap()).collect();
    assert_eq!(members, [0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3]);
    let turn = &rows[0]["turns"][0];
    assert!(turn["action"]["search"].as_str().unwrap().ends_with("Emma?") && turn.get("labels").is_none());
    let document = &turn["documents"][0];
    assert_eq!((&document["title"], &document["provenance"]["id"]), (&json!("Emma"), &json!("1")));
    assert_eq!(document["provenance"]["engine"], "bm25");
    let scores: Vec<f64> = rows.iter().map(|row| row["scores"]["em"].as_f64().unwrap()).collect();
    let answers = rows.iter().map(|row| row["ending"]["answered"].as_str().unwrap());
    for (answer, score) in answers.zip(scores) {
        assert_eq!(score == 1.0, ["Jane Austen", "Paris"].contains(&answer), "{answer}");
    }
    let hashes: Value = serde_json::from_str(&desk.read("out/hashes.json")).unwrap();
    assert_eq!(hashes["files"]["corpus.jsonl"].as_str().unwrap().len(), 64);
}

#[test]
fn a_collection_goes_on_where_it_was_left_and_only_there() {
    let desk = desk();
    let table = desk.succeed(PLAY);
    let whole = desk.read("out/rows.jsonl");
    let fifth = whole.match_indices('\n').nth(4).unwrap().0;
    desk.write("out/rows.jsonl", &whole[..fifth + 40]);
    assert_eq!(desk.succeed(PLAY), table);
    assert_eq!(desk.read("out/rows.jsonl"), whole);
    let told = desk.fail(&[PLAY, &["--temperature", "0.5"]].concat());
    assert!(told.contains("eval.temperature = 1.0, not 0.5"), "{told}");
    desk.write("corpus.jsonl", CORPUS.replace("lost", "gone"));
    let told = desk.fail(PLAY);
    assert!(told.contains("another model, question file, corpus or template"), "{told}");
    desk.write("elsewhere/note.txt", "mine");
    let told = desk.fail(&[&PLAY[..9], &["--out", "elsewhere"]].concat());
    assert!(told.contains("elsewhere holds something else"), "{told}");
}

#[test]
fn what_cannot_be_searched_is_refused_before_anything_is_played() {
    let desk = desk();
    for (corpus, words) in [
        (
            "{\"id\":1,\"text\":\"a\"}\n{\"id\":1,\"text\":\"b\"}\n",
            "corpus.jsonl, line 2: its id `1` is that of passage 1 too",
        ),
        ("{\"id\":1,\"te\n", "corpus.jsonl, line 1: this is not JSON"),
        ("", "corpus.jsonl cannot be used: it is empty"),
    ] {
        desk.write("corpus.jsonl", corpus);
        let told = desk.fail(PLAY);
        assert!(told.contains(words) && !desk.path("out").exists(), "{told}");
    }
    let told = desk.fail(&[&PLAY[..5], &PLAY[7..]].concat());
    assert!(told.contains("bm25.corpus: the engine bm25 has no corpus"), "{told}");
    let dead = [
        "--engine",
        "retrieve",
        "--set",
        "retrieve.urls=[\"http://127.0.0.1:9\"]",
        "--set",
        "retrieve.retries=0",
    ];
    let told = desk.fail(&[&PLAY[..3], &dead, &PLAY[7..]].concat());
    assert!(told.contains("the search server cannot be used") && told.contains("127.0.0.1:9"), "{told}");
    let told = desk.fail(&[&PLAY[..9], &["--out", "out", "--questions", "corpus.jsonl"]].concat());
    assert!(told.contains("the questions cannot be used"), "{told}");
}

#[test]
fn a_collection_without_documents_says_so() {
    let desk = desk();
    let told = desk.succeed(&[&PLAY[..3], &["--engine", "none"], &PLAY[7..]].concat());
    assert!(told.contains("note: no search was followed by documents"), "{told}");
}

#[test]
fn training_and_evaluation_search_a_corpus_too() {
    let desk = desk();
    desk.write("questions.jsonl", questions());
    desk.write("recipe.toml", recipe(2, SHORT));
    let engine = ["--set", "rollout.engine=bm25", "--set", "bm25.corpus=corpus.jsonl"];
    desk.succeed(&[&["train", "recipe.toml", "--run", "run"], engine.as_slice()].concat());
    let record: Value = serde_json::from_str(&desk.read("run/run.json")).unwrap();
    assert_eq!(record["hashes"]["files"]["corpus.jsonl"].as_str().unwrap().len(), 64);
    let told = desk.fail(&["train", "recipe.toml", "--model", "scripted", "--run", "other"]);
    assert!(told.contains("\"scripted\" cannot be trained"), "{told}");
    let evaluated = desk.succeed(&[&["eval"], &PLAY[1..]].concat());
    assert!(evaluated.contains("answered 8 of 8"), "{evaluated}");
    let asked = desk.succeed(&[&["ask", "who wrote Emma?"], &PLAY[1..7]].concat());
    assert!(asked.contains("1. Emma Jane Austen wrote Emma.") && asked.contains("answer: "), "{asked}");
}

#[test]
fn a_policy_on_a_server_plays_and_is_not_trained() {
    let desk = desk();
    let server = Simulator::with(Manner::Policy);
    let urls = format!("server.urls=[\"{}\"]", server.url());
    let named = ["--set", urls.as_str(), "--set", "server.name=sim"];
    let rest = [&["--engine", "bm25", "--count", "1", "--samples", "2"], &PLAY[5..9]].concat();
    let play = |out: &str, more: &[&str]| {
        let words =
            [&["collect", "--model", "server", "--out", out], named.as_slice(), rest.as_slice(), more]
                .concat();
        desk.succeed(&words);
        desk.read(&format!("{out}/rows.jsonl"))
    };
    desk.succeed(&["export", "--model", "random", "--out", "model"]);
    let by_ids = play("by-ids", &["--set", "server.tokenizer=model"]);
    let by_words = play("by-words", &["--set", "server.api=chat"]);
    for rows in [by_ids, by_words] {
        for row in rows.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
            assert_eq!(row["turns"][0]["action"]["search"], "who wrote Emma");
            assert_eq!(row["turns"][0]["documents"][0]["title"], "Emma");
            assert_eq!(row["ending"]["answered"], "Jane Austen");
            let said = row["transcript"].as_array().unwrap().iter().find(|piece| piece["author"] == "policy");
            assert!(said.unwrap().get("logprobs").is_none());
        }
    }
    let told = desk.fail(
        &[&["collect", "--model", "server", "--out", "no"], named.as_slice(), rest.as_slice()].concat(),
    );
    assert!(told.contains("server.tokenizer: servers are asked in tokens"), "{told}");
    desk.write("recipe.toml", recipe(1, SHORT));
    let chat = ["train", "recipe.toml", "--model", "server", "--set", "server.api=chat"];
    assert!(desk.fail(&[chat.as_slice(), &named].concat()).contains("\"server\" cannot be trained"));
    drop(server);
    let told = desk.fail(
        &[
            &["eval"],
            &chat[2..],
            &named,
            &["--engine", "none", "--set", "server.retries=0", "--out", "no"],
            &PLAY[7..9],
        ]
        .concat(),
    );
    assert!(told.contains("the policy's server cannot be used"), "{told}");
}
