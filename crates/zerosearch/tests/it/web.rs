//! The web as an engine: keys that stay hidden, results that are kept, and the same again without a provider.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::program::{Desk, questions, stderr};
use crate::resumes::{files, searchers_recipe};

const SECRET: &str = "hush-1234-hush";
const QUESTIONS: &str = "{\"question\":\"who wrote Emma?\",\"golden_answers\":[\"Jane Austen\"]}\n\
    {\"question\":\"what is the capital of France?\",\"golden_answers\":[\"Paris\"]}\n";

/// Serper's service on a free port of this machine, running as long as this lives. It says the customer's key aloud.
struct Serper {
    address: std::net::SocketAddr,
    calls: Arc<AtomicU64>,
    _runtime: tokio::runtime::Runtime,
}

impl Serper {
    fn start() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let calls: Arc<AtomicU64> = Arc::default();
        let counter = Arc::clone(&calls);
        let reply = move |headers: HeaderMap, axum::Json(asked): axum::Json<Value>| async move {
            counter.fetch_add(1, Ordering::SeqCst);
            answer(&headers, &asked)
        };
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let app = Router::new().route("/search", axum::routing::post(reply));
        runtime.spawn(async move { axum::serve(listener, app).await });
        Self { address, calls, _runtime: runtime }
    }

    /// A verb that asks this server.
    fn command(&self, desk: &Desk, words: &[&str]) -> Command {
        let url = format!("web.url=http://{}", self.address);
        let mut command = desk.command(&[words, &["--set", &url]].concat());
        command.env_remove("SERPER_API_KEY");
        command
    }
}

fn answer(headers: &HeaderMap, asked: &Value) -> Response {
    let key = headers.get("x-api-key").map(|key| key.to_str().unwrap_or_default()).unwrap_or_default();
    if key != SECRET {
        return (StatusCode::FORBIDDEN, format!("Unauthorized. {key}")).into_response();
    }
    let query = asked["q"].as_str().unwrap_or_default();
    let answer = if query.contains("Emma") { "Jane Austen" } else { "Paris" };
    let organic = json!([{ "title": answer, "snippet": format!("{query} {key}"), "link": format!("https://example.org/?{key}") }]);
    axum::Json(json!({ "organic": organic })).into_response()
}

fn desk() -> Desk {
    let desk = Desk::new();
    desk.write("questions.jsonl", QUESTIONS);
    desk
}

const PLAY: &[&str] = &[
    "collect",
    "--model",
    "scripted",
    "--engine",
    "web",
    "--questions",
    "questions.jsonl",
    "--cache",
    "kept",
    "--out",
];

/// No file of the desk, and nothing that was said, holds the key.
fn check_hidden(desk: &Desk, said: &str) {
    assert!(!said.contains(SECRET), "{said}");
    let mut folders = vec![desk.path(".")];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = std::fs::read(&path).unwrap();
            seen += 1;
            assert!(!String::from_utf8_lossy(&bytes).contains(SECRET), "{}", path.display());
        }
    }
    assert!(seen > 3, "there was nothing to look through");
}

/// Two questions, four conversations each, every question searched for as a whole or by its last words: at most four
/// different searches, and one call that sees whether the key is right.
#[test]
fn what_was_found_once_is_given_again_without_a_provider() {
    let (desk, serper) = (desk(), Serper::start());
    let output =
        serper.command(&desk, &[PLAY, &["out"]].concat()).env("SERPER_API_KEY", SECRET).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), stderr(&output));
    assert!(output.status.success(), "{said}");
    check_hidden(&desk, &said);
    let rows = desk.read("out/rows.jsonl");
    assert!(rows.contains("[key]"), "the key that the server echoed left its mark");
    let summary: Value = serde_json::from_str(&desk.read("out/summary.json")).unwrap();
    let count = |name: &str| summary["cache"][name].as_u64().unwrap();
    let searches = serper.calls.load(Ordering::SeqCst) - 1;
    assert!(searches <= 4, "{searches} searches");
    assert_eq!((count("misses"), count("results"), count("hits")), (searches, searches, 8 - searches));
    assert!(
        said.contains(&format!("cache: {} searches answered from it, {searches} not", count("hits"))),
        "{said}"
    );

    let again = serper.command(&desk, &[PLAY, &["again", "--offline"]].concat()).output().unwrap();
    assert!(again.status.success(), "{}", stderr(&again));
    assert_eq!(serper.calls.load(Ordering::SeqCst), searches + 1, "offline nobody is asked");
    assert_eq!(desk.read("again/rows.jsonl"), rows);

    desk.write("questions.jsonl", "{\"question\":\"who is lost?\",\"golden_answers\":[\"Nobody\"]}\n");
    let unknown = serper.command(&desk, &[PLAY, &["unknown", "--offline"]].concat()).output().unwrap();
    let told = stderr(&unknown);
    assert!(!unknown.status.success() && told.contains("lost?\" is not in the cache kept"), "{told}");
    assert!(told.contains(&format!("{searches} results of this engine")), "{told}");
}

/// The same training twice: what the first writes on its way, the second finds, and learns the same from it.
#[test]
fn a_training_whose_searches_are_kept_searches_nothing_the_second_time() {
    let desk = Desk::new();
    desk.write("questions.jsonl", questions());
    let recipe = searchers_recipe(&desk, "scripted", "", 3);
    desk.write("recipe.toml", format!("{recipe}[cache]\nfolder = \"kept\"\n"));
    let sums = |run: &str| {
        desk.succeed(&["train", "recipe.toml", "--run", run]);
        ["cache/hits", "cache/misses"].map(|name| {
            let numbers =
                zerosearch::run::numbers(&desk.path(&format!("{run}/metrics.jsonl")), name).unwrap();
            numbers.iter().map(|(_, count)| count).sum::<f64>()
        })
    };
    let ([hits, misses], second) = (sums("first"), sums("second"));
    assert!(misses > 0.0, "nothing was searched");
    assert_eq!(second, [hits + misses, 0.0]);
    for part in ["trajectories", "checkpoints/000003"] {
        let [first, second] = ["first", "second"].map(|run| files(&desk.path(&format!("{run}/{part}"))));
        assert!(first == second, "{part}");
    }
}

#[test]
fn a_missing_and_a_wrong_key_are_told_of_before_anything_is_played() {
    let (desk, serper) = (desk(), Serper::start());
    let refused = |key: Option<&str>| {
        let mut command = serper.command(&desk, &[PLAY, &["out"]].concat());
        command.envs(key.map(|key| ("SERPER_API_KEY", key)));
        let output = command.output().unwrap();
        assert!(!output.status.success() && !desk.path("out/rows.jsonl").exists());
        stderr(&output)
    };
    let told = refused(None);
    assert!(told.contains("wants a key in the environment variable SERPER_API_KEY"), "{told}");
    let told = refused(Some("wrong-1234"));
    assert!(told.contains("status 403") && told.contains("SERPER_API_KEY"), "{told}");
    assert!(!told.contains("wrong-1234"), "{told}");
}

#[test]
fn what_a_provider_cannot_do_is_refused_by_its_key() {
    let desk = desk();
    let told = |settings: &[&str]| {
        let settings: Vec<&str> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
        desk.fail(
            &[
                &[
                    "eval",
                    "--model",
                    "scripted",
                    "--engine",
                    "web",
                    "--questions",
                    "questions.jsonl",
                    "--out",
                    "o",
                ],
                &settings[..],
            ]
            .concat(),
        )
    };
    assert!(told(&["web.provider=bing"]).contains("must be one of serpapi, serper, brave"));
    assert!(told(&["web.provider=searxng"]).contains("web.url"));
    assert!(told(&["web.provider=google-cse"]).contains("web.cse_id"));
    assert!(told(&["web.cse_id=x"]).contains("web.cse_id"));
    let secret = told(&["web.url=https://example.org/search?key=hush-1234"]);
    assert!(secret.contains("web.url") && !secret.contains("hush-1234"), "{secret}");
    let many = told(&["web.provider=google-cse", "web.cse_id=x", "rollout.k=11"]);
    assert!(many.contains("rollout.k = 11: google-cse gives at most 10 documents"), "{many}");
    assert!(told(&["cache.offline=true"]).contains("there is no cache.folder to answer from"));
}
