//! Facts about the engine, told by loopback servers that reply as each provider documents.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::net::TcpListener;

use super::*;
use crate::http::loopback::{Heard, half, serve};
use crate::{Key, Query, SearchEngine, SearchError, contract};

const SECRET: &str = "hush+hush/42";
const VARIABLE: &str = "THE_KEY";

/// What `provider` replies to a query that finds three pages, and to one that finds none.
fn replies(provider: Provider) -> (&'static str, &'static str) {
    macro_rules! replies {
        ($name:literal) => {
            (
                include_str!(concat!("replies/", $name, ".json")),
                include_str!(concat!("replies/", $name, "-empty.json")),
            )
        };
    }
    match provider {
        Provider::SerpApi => replies!("serpapi"),
        Provider::Serper => replies!("serper"),
        Provider::Brave => replies!("brave"),
        Provider::Tavily => replies!("tavily"),
        Provider::Google => replies!("google-cse"),
        Provider::SearXng => replies!("searxng"),
    }
}

fn settings(provider: Provider, url: &str) -> WebSettings {
    WebSettings {
        url: url.to_owned(),
        key: Some(Key::new(SECRET).unwrap().of_variable(VARIABLE)),
        cse_id: "017:abc".into(),
        timeout: Duration::from_millis(500),
        tries: 3,
        pause: Duration::from_millis(2),
        longest_pause: Duration::from_millis(20),
        ..WebSettings::new(provider)
    }
}

fn engine(provider: Provider, url: &str) -> WebEngine {
    WebEngine::new(settings(provider, url)).unwrap()
}

fn query(text: &str, k: usize) -> Query {
    Query { text: text.into(), k, labels: None, seed: 1, context: None }
}

/// What `provider` finds for "who wrote emma" at a server that gives `answer`, and how often it was asked.
async fn asked(
    provider: Provider,
    answer: impl Fn(Heard, usize) -> Response + Clone + Send + Sync + 'static,
) -> (Result<Vec<crate::Document>, SearchError>, usize) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let url = serve(move |heard| answer(heard, counted.fetch_add(1, Ordering::SeqCst))).await;
    let outcome = engine(provider, &url).search(&query("who wrote emma", 2)).await;
    (outcome, count.load(Ordering::SeqCst))
}

#[tokio::test]
async fn every_provider_is_a_search_engine() {
    for provider in Provider::ALL {
        let url = serve(move |_| replies(provider).0.into_response()).await;
        let engine = engine(provider, &url);
        engine.check().await.unwrap();
        contract::check_any(&engine).await;
    }
}

#[tokio::test]
async fn another_provider_address_or_engine_id_is_another_engine() {
    let url = serve(|_| replies(Provider::Serper).0.into_response()).await;
    let other = |provider| WebEngine::new(WebSettings::new(provider)).unwrap();
    let mut others: Vec<WebEngine> = Provider::ALL[..5].iter().map(|&provider| other(provider)).collect();
    let of_id = WebSettings { cse_id: "x".into(), ..WebSettings::new(Provider::Google) };
    others.push(WebEngine::new(of_id).unwrap());
    let others: Vec<&dyn SearchEngine> = others.iter().map(|engine| engine as &dyn SearchEngine).collect();
    let keyed = |secret| {
        let key = Some(Key::new(secret).unwrap());
        WebEngine::new(WebSettings { key, ..settings(Provider::Serper, &url) }).unwrap()
    };
    contract::check_identity([&keyed("key-1111"), &keyed("key-2222")], &others).await;
}

/// Words, number and key, each where the provider's documentation has it.
#[tokio::test]
async fn each_provider_is_asked_in_its_own_words() {
    for provider in Provider::ALL {
        let (outcome, _) = asked(provider, move |heard, _| {
            let Heard { method, path, parameters, headers, body } = &heard;
            let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
            let as_documented = match provider {
                Provider::SerpApi => {
                    path == "/search.json"
                        && parameters == "engine=google&q=who+wrote+emma&num=2&api_key=hush%2Bhush%2F42"
                }
                Provider::Serper => {
                    (path.as_str(), body) == ("/search", &json!({"q": "who wrote emma", "num": 2}))
                        && header("x-api-key").as_deref() == Some(SECRET)
                }
                Provider::Brave => {
                    path == "/res/v1/web/search"
                        && parameters.starts_with("q=who+wrote+emma&count=2&")
                        && header("x-subscription-token").as_deref() == Some(SECRET)
                }
                Provider::Tavily => {
                    (path.as_str(), &body["query"], &body["max_results"])
                        == ("/search", &json!("who wrote emma"), &json!(2))
                        && header("authorization") == Some(format!("Bearer {SECRET}"))
                }
                Provider::Google => {
                    path == "/customsearch/v1"
                        && parameters == "q=who+wrote+emma&cx=017%3Aabc&num=2&key=hush%2Bhush%2F42"
                }
                Provider::SearXng => {
                    (path.as_str(), parameters.as_str()) == ("/search", "q=who+wrote+emma&format=json")
                }
            };
            let posts = matches!(provider, Provider::Serper | Provider::Tavily);
            if as_documented && (*method == Method::POST) == posts {
                return replies(provider).0.into_response();
            }
            (StatusCode::BAD_REQUEST, heard.all()).into_response()
        })
        .await;
        assert!(outcome.is_ok(), "{}: {outcome:?}", provider.name());
    }
}

#[tokio::test]
async fn titles_and_snippets_are_apart_harmless_and_linked() {
    for provider in Provider::ALL {
        let (found, _) = asked(provider, move |_, _| replies(provider).0.into_response()).await;
        let found = found.unwrap();
        let parts: Vec<(&str, &str)> = found.iter().map(|it| (it.title.as_str(), it.text.as_str())).collect();
        let snippet = "Emma is a novel written by English author Jane Austen. ‹/search›";
        assert_eq!(parts, [("Emma (novel) ‹b›", snippet), ("Emma, the book", "")], "{}", provider.name());
        let from = &found[0].provenance;
        assert_eq!(
            (from.engine.as_str(), from.id.as_deref()),
            ("web", Some("https://example.org/wiki/Emma_(novel)"))
        );
        let scored = matches!(provider, Provider::Tavily | Provider::SearXng);
        assert_eq!(from.score.is_some(), scored, "{}", provider.name());
    }
}

#[tokio::test]
async fn an_empty_result_is_a_result_and_is_not_asked_for_again() {
    for provider in Provider::ALL {
        let (found, times) = asked(provider, move |_, _| replies(provider).1.into_response()).await;
        assert_eq!((found.unwrap().len(), times), (0, 1), "{}", provider.name());
    }
}

#[tokio::test]
async fn a_refused_key_is_final_names_its_variable_and_stays_hidden() {
    for provider in Provider::ALL {
        for status in [401, 403, 422] {
            let (outcome, times) = asked(provider, move |heard, _| {
                let status = StatusCode::from_u16(status).unwrap();
                (status, format!("no customer has {SECRET}; you said {}", heard.all())).into_response()
            })
            .await;
            let told = outcome.unwrap_err().to_string();
            assert_eq!(times, 1, "{told}");
            assert!(told.contains(&format!("status {status}")) && told.contains(VARIABLE), "{told}");
            check_hidden(&told);
        }
    }
}

fn check_hidden(told: &str) {
    for spelling in [SECRET, "hush%2Bhush", "hush%2bhush"] {
        assert!(!told.contains(spelling), "{told}");
    }
}

/// The key in documents, in replies that are none, in addresses that cannot be reached, in redirects and in settings.
#[tokio::test]
async fn a_key_that_is_echoed_is_hidden() {
    for provider in Provider::ALL {
        let (outcome, _) = asked(provider, move |_, _| {
            let reply = replies(provider)
                .0
                .replace("Jane Austen", SECRET)
                .replace("/wiki/Emma", "/wiki/hush%2Bhush%2F42");
            reply.replace("Emma, the book", SECRET).into_response()
        })
        .await;
        let documents = serde_json::to_string(&outcome.unwrap()).unwrap();
        assert!(documents.contains("[key]"), "{documents}");
        check_hidden(&documents);
        let echoes: [fn(Heard) -> Response; 3] = [
            |heard| format!("\"{}\"", heard.all()).into_response(),
            |_| {
                format!("{{\"error\":\"{SECRET}\",\"type\":\"{SECRET}\",\"results\":\"{SECRET}\"}}")
                    .into_response()
            },
            |_| {
                (StatusCode::FOUND, [("location", format!("https://example.org/?key={SECRET}"))])
                    .into_response()
            },
        ];
        for echo in echoes {
            let (outcome, _) = asked(provider, move |heard, _| echo(heard)).await;
            check_hidden(&format!("{0} {0:?}", outcome.unwrap_err()));
        }
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let engine = engine(provider, &format!("http://{closed}"));
        let failure = engine.search(&query("x", 1)).await.unwrap_err();
        check_hidden(&format!("{failure} {failure:?} {engine:?} {}", engine.identity()));
    }
}

#[tokio::test]
async fn passing_failures_are_tried_again_and_only_so_often() {
    let failures: [fn(Provider) -> Response; 4] = [
        |_| StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        |_| (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "3600")], "slower").into_response(),
        |provider| half(replies(provider).0),
        |_| "<html>try later</html>".into_response(),
    ];
    for provider in Provider::ALL {
        for failure in failures {
            for (failing, works) in [(2, true), (3, false)] {
                let (outcome, times) = asked(provider, move |_, earlier| match earlier < failing {
                    true => failure(provider),
                    false => replies(provider).0.into_response(),
                })
                .await;
                assert_eq!((outcome.is_ok(), times), (works, 3), "{}: {outcome:?}", provider.name());
            }
        }
    }
}

/// A second is the shortest that `Retry-After` can name.
#[tokio::test]
async fn a_pause_that_is_asked_for_is_made() {
    let started = std::time::Instant::now();
    let url = serve({
        let count = Arc::new(AtomicUsize::new(0));
        move |_| match count.fetch_add(1, Ordering::SeqCst) {
            0 => (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "1")]).into_response(),
            _ => replies(Provider::Brave).0.into_response(),
        }
    })
    .await;
    let patient = WebSettings { longest_pause: Duration::from_secs(5), ..settings(Provider::Brave, &url) };
    WebEngine::new(patient).unwrap().search(&query("who", 2)).await.unwrap();
    assert!(started.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn errors_in_the_dress_of_a_success_are_tried_again() {
    let failures = [
        (
            Provider::SerpApi,
            r#"{"search_metadata":{"status":"Error"},"error":"We couldn't get valid results."}"#,
        ),
        (Provider::SearXng, r#"{"query":"x","results":[],"unresponsive_engines":[["google","CAPTCHA"]]}"#),
        (Provider::Serper, r#"{"message":"busy"}"#),
        (Provider::Tavily, "{}"),
        (Provider::Brave, r#"{"type":"ErrorResponse"}"#),
        (Provider::Google, r#"{"error":{"code":503}}"#),
    ];
    for (provider, reply) in failures {
        let (outcome, times) = asked(provider, move |_, _| reply.into_response()).await;
        let told = outcome.unwrap_err();
        assert!(matches!(told, SearchError::Garbled { .. }) && times == 3, "{told}");
    }
}

#[tokio::test]
async fn a_silent_server_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let short = WebSettings { timeout: Duration::from_millis(50), ..settings(Provider::SerpApi, &url) };
    let why = WebEngine::new(short).unwrap().search(&query("who", 2)).await.unwrap_err();
    assert!(matches!(why, SearchError::Silent { tries: 3, .. }), "{why}");
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_before_it_is_sent() {
    for provider in Provider::ALL {
        let too_many = query("who", provider.most_documents() + 1);
        let why = engine(provider, "http://127.0.0.1:9").search(&too_many).await.unwrap_err();
        assert!(matches!(why, SearchError::BadQuery(_)), "{why}");
    }
    let without = WebEngine::new(WebSettings::new(Provider::SerpApi)).unwrap();
    let why = without.search(&query("who", 2)).await.unwrap_err().to_string();
    assert!(why.contains("SER_API_KEY or SERPAPI_API_KEY"), "{why}");
    let nowhere = WebEngine::new(WebSettings::new(Provider::SearXng)).unwrap_err().to_string();
    assert!(nowhere.contains("web.url"), "{nowhere}");
}
