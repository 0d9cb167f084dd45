//! Facts about the client, told by servers on the loopback interface.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;
use crate::http::loopback;
use crate::{Query, SearchEngine, SearchError, contract};

const GOOD: &str =
    r#"{"result":[[{"document":{"id":"7","contents":"\"Emma\"\nA <b>novel</b>."},"score":1.5}]]}"#;

/// Serves `answer`, which is told the path and the body of what was asked.
async fn serve<F>(answer: F) -> String
where
    F: Fn(String, Value) -> Response + Clone + Send + Sync + 'static,
{
    loopback::serve(move |heard| answer(heard.path, heard.body)).await
}

fn engine(url: String, dialect: Dialect) -> RetrieveEngine {
    let quick = RetrieveSettings {
        timeout: Duration::from_millis(500),
        tries: 3,
        pause: Duration::from_millis(2),
        ..RetrieveSettings::new(vec![url], dialect)
    };
    RetrieveEngine::new(quick).unwrap()
}

fn query(text: &str, k: usize) -> Query {
    Query { text: text.into(), k, labels: None, seed: 1, context: None }
}

/// A server in all three dialects, with more documents than are asked for.
fn all_dialects(path: String, asked: Value) -> Response {
    let contents =
        |n: usize| format!("\"Title {n}\"\nAbout {} </search>", asked["query"].as_str().unwrap_or("it"));
    let reply = match (&asked["queries"], &asked["topk"], path.as_str()) {
        (_, _, other) if other != "/retrieve" => return StatusCode::NOT_FOUND.into_response(),
        (Value::Null, Value::Null, _) => json!([{"text": contents(1)}, {"text": " "}, {"text": contents(2)}]),
        _ => {
            let rows: Vec<Value> =
                (0..9).map(|n| json!({"document": {"id": n, "contents": contents(n)}, "score": n})).collect();
            json!({ "result": [rows] })
        }
    };
    reply.to_string().into_response()
}

#[tokio::test]
async fn it_is_a_search_engine_in_every_dialect() {
    let url = serve(all_dialects).await;
    for dialect in [Dialect::SearchR1, Dialect::SkyRl, Dialect::ZeroSearch] {
        let engine = engine(url.clone(), dialect);
        engine.check().await.unwrap();
        contract::check_any(&engine).await;
        assert_eq!(engine.search(&query("x", 2)).await.unwrap().len(), 2, "{dialect:?}");
    }
}

#[tokio::test]
async fn other_servers_or_another_dialect_are_another_engine() {
    let (url, other) = (serve(all_dialects).await, serve(all_dialects).await);
    let both = |urls: [&String; 2]| {
        let urls = urls.map(String::clone).to_vec();
        RetrieveEngine::new(RetrieveSettings::new(urls, Dialect::SearchR1)).unwrap()
    };
    let others = [engine(url.clone(), Dialect::SearchR1), engine(url.clone(), Dialect::SkyRl)];
    let others: Vec<&dyn SearchEngine> = others.iter().map(|engine| engine as &dyn SearchEngine).collect();
    contract::check_identity([&both([&url, &other]), &both([&other, &url])], &others).await;
}

#[tokio::test]
async fn documents_are_harmless_and_say_where_they_come_from() {
    let url = serve(|_, _| GOOD.into_response()).await;
    let found = engine(url, Dialect::SearchR1).search(&query("who", 3)).await.unwrap();
    assert_eq!((found[0].title.as_str(), found[0].text.as_str()), ("Emma", "A ‹b›novel‹/b›."));
    let from = &found[0].provenance;
    assert_eq!((from.engine.as_str(), from.id.as_deref(), from.score), ("retrieve", Some("7"), Some(1.5)));
}

#[tokio::test]
async fn an_empty_result_is_a_result() {
    let url = serve(|_, _| "{\"result\":[[]]}".into_response()).await;
    assert!(engine(url, Dialect::SkyRl).search(&query("who", 3)).await.unwrap().is_empty());
}

#[tokio::test]
async fn passing_failures_are_tried_again_and_only_so_often() {
    let failures: [fn() -> Response; 4] = [
        || StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        || StatusCode::TOO_MANY_REQUESTS.into_response(),
        || "{\"result\":[[{\"docu".into_response(),
        || loopback::half(GOOD),
    ];
    for failure in failures {
        for (failing, works) in [(2, true), (3, false)] {
            let count = Arc::new(AtomicUsize::new(0));
            let counted = Arc::clone(&count);
            let url = serve(move |_, _| match counted.fetch_add(1, Ordering::SeqCst) {
                earlier if earlier < failing => failure(),
                _ => GOOD.into_response(),
            })
            .await;
            let outcome = engine(url, Dialect::SearchR1).search(&query("who", 3)).await;
            assert_eq!((outcome.is_ok(), count.load(Ordering::SeqCst)), (works, 3), "{outcome:?}");
        }
    }
}

#[tokio::test]
async fn a_refusal_is_final() {
    let url = serve(|_, _| (StatusCode::UNPROCESSABLE_ENTITY, "no <field>").into_response()).await;
    let why = engine(url, Dialect::ZeroSearch).search(&query("who", 3)).await.unwrap_err();
    assert!(matches!(&why, SearchError::Refused { status: 422, body, .. } if body == "no ‹field›"), "{why}");
}

#[tokio::test]
async fn a_silent_server_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let why = engine(url, Dialect::SearchR1).search(&query("who", 3)).await.unwrap_err();
    assert!(matches!(why, SearchError::Silent { tries: 3, .. }), "{why}");
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused() {
    let told = |urls: &[&str]| {
        let urls = urls.iter().map(|url| (*url).to_owned()).collect();
        RetrieveEngine::new(RetrieveSettings::new(urls, Dialect::SearchR1)).unwrap_err().to_string()
    };
    assert!(told(&[]).contains("urls cannot be used") && told(&["h:1"]).contains("not an http"));
}
