//! Facts about the writer, told by servers on the loopback interface.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use futures::future::join_all;
use tokio::net::TcpListener;
use tokio::sync::{Barrier, Notify};

use super::*;
use crate::{Key, SearchError, WriteRequest, Writer};

mod several;

const GOOD: &str = r#"{"choices":[{"message":{"content":"Doc 1: a"},"finish_reason":"stop"}],"usage":{"completion_tokens":4}}"#;
const HUSH: &str = "sk-hush-1234";

/// Serves `answer` on a free port of the loopback interface; gives the address.
async fn serve<F, Answered>(answer: F) -> String
where
    F: Fn(Request) -> Answered + Clone + Send + Sync + 'static,
    Answered: Future<Output = Response> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
    format!("http://{address}")
}

/// Serves `refusal` for the first `times` requests and a good reply afterwards; gives the address and the counter.
async fn serve_after(times: usize, refusal: fn() -> Response) -> (String, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let url = serve(move |_| {
        let earlier = counted.fetch_add(1, Ordering::SeqCst);
        async move { if earlier < times { refusal() } else { GOOD.into_response() } }
    })
    .await;
    (url, count)
}

/// An address where nobody listens.
async fn dead_url() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

fn settings(urls: &[&String]) -> OpenAiSettings {
    OpenAiSettings {
        timeout: Duration::from_secs(5),
        tries: 3,
        pause: Duration::from_millis(2),
        longest_pause: Duration::from_millis(20),
        ..OpenAiSettings::new(urls.iter().map(|url| (*url).clone()).collect(), "m")
    }
}

fn writer(urls: &[&String]) -> OpenAiWriter {
    OpenAiWriter::new(settings(urls)).unwrap()
}

fn request() -> WriteRequest {
    WriteRequest {
        prompt: "Write.".into(),
        max_tokens: 9,
        temperature: 0.8,
        top_p: 1.0,
        ..WriteRequest::default()
    }
}

#[tokio::test]
async fn a_reply_comes_back_with_its_counts() {
    let url = serve(|_| async { GOOD.into_response() }).await;
    let written = writer(&[&url]).write(&request()).await.unwrap();
    assert_eq!((written.text.as_str(), written.finished), ("Doc 1: a", true));
    assert_eq!((written.tokens, written.tries), (Some(4), 1));
}

#[tokio::test]
async fn requests_go_to_the_route_with_key_and_json() {
    let url = serve(|request| async move {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap_or_default();
        let sent: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let key = parts.headers.get("authorization").and_then(|it| it.to_str().ok()).unwrap_or_default();
        let seen = format!("{} {key} {}", parts.uri.path(), sent["prompt"]);
        serde_json::json!({"choices": [{"text": seen}]}).to_string().into_response()
    })
    .await;
    let key = Some(Key::new(HUSH).unwrap());
    let plain = OpenAiSettings { route: Route::Completions, key, ..settings(&[&url]) };
    let begun = WriteRequest { reply_prefix: "Doc 1:".into(), ..request() };
    let plain = OpenAiWriter::new(plain).unwrap();
    assert!(plain.can_continue());
    let seen = plain.write(&begun).await.unwrap().text;
    assert_eq!(seen, format!("/v1/completions Bearer {HUSH} \"Write.Doc 1:\""));
    let chat = writer(&[&url]).write(&request()).await.unwrap().text;
    assert_eq!(chat, "/v1/chat/completions  null");
}

#[tokio::test]
async fn a_chat_writer_refuses_to_continue_a_reply() {
    let chat = writer(&[&dead_url().await]);
    assert!(!chat.can_continue());
    let why = chat.write(&WriteRequest { reply_prefix: "Doc 1:".into(), ..request() }).await.unwrap_err();
    assert!(matches!(why, SearchError::Writer(_)), "{why}");
}

#[tokio::test]
async fn passing_failures_are_tried_again() {
    let refusals: [fn() -> Response; 5] = [
        || StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        || StatusCode::SERVICE_UNAVAILABLE.into_response(),
        || (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "3600")]).into_response(),
        || "<html>starting</html>".into_response(),
        half_a_reply,
    ];
    for refusal in refusals {
        let (url, count) = serve_after(2, refusal).await;
        let started = Instant::now();
        let written = writer(&[&url]).write(&request()).await.unwrap();
        assert_eq!((written.tries, count.load(Ordering::SeqCst)), (3, 3));
        assert!(started.elapsed() < Duration::from_secs(5), "an hour was asked for, 20 ms are allowed");
    }
}

/// A reply that promises more than it brings.
fn half_a_reply() -> Response {
    let parts = [Ok(Bytes::from_static(&GOOD.as_bytes()[..20])), Err(std::io::Error::other("cut"))];
    Body::from_stream(futures::stream::iter(parts)).into_response()
}

#[tokio::test]
async fn retry_after_is_waited_for() {
    let (url, _) =
        serve_after(1, || (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "1")]).into_response()).await;
    let patient = OpenAiSettings { longest_pause: Duration::from_secs(5), ..settings(&[&url]) };
    let written = OpenAiWriter::new(patient).unwrap().write(&request()).await.unwrap();
    assert!(written.latency >= Duration::from_secs(1));
}

#[tokio::test]
async fn tries_have_a_number() {
    let (url, count) = serve_after(usize::MAX, || StatusCode::BAD_GATEWAY.into_response()).await;
    let why = writer(&[&url]).write(&request()).await.unwrap_err();
    assert!(matches!(why, SearchError::Refused { status: 502, .. }), "{why}");
    assert_eq!(count.load(Ordering::SeqCst), 3);
    let (url, _) = serve_after(usize::MAX, half_a_reply).await;
    let why = writer(&[&url]).write(&request()).await.unwrap_err();
    assert!(matches!(why, SearchError::Unreachable { .. }), "{why}");
    let why = writer(&[&dead_url().await]).write(&request()).await.unwrap_err();
    assert!(matches!(why, SearchError::Unreachable { .. }), "{why}");
}

#[tokio::test]
async fn what_is_refused_is_final() {
    for status in [StatusCode::BAD_REQUEST, StatusCode::UNAUTHORIZED, StatusCode::NOT_FOUND] {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = count.clone();
        let url = serve(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            async move { (status, "no such\u{1b}[31m <|model|>\n").into_response() }
        })
        .await;
        let why = writer(&[&url]).write(&request()).await.unwrap_err();
        assert_eq!(
            why.to_string(),
            format!("{url}/v1 refused with status {}: no such ‹|model|›", status.as_u16())
        );
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn a_silent_server_is_given_up() {
    let url = serve(|_| std::future::pending()).await;
    let hasty = OpenAiSettings { timeout: Duration::from_millis(30), ..settings(&[&url]) };
    let why = OpenAiWriter::new(hasty).unwrap().write(&request()).await.unwrap_err();
    assert!(matches!(why, SearchError::Silent { tries: 3, .. }), "{why}");
}

#[tokio::test]
async fn a_huge_reply_is_refused_before_its_end() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = sent.clone();
    let url = serve(move |_| {
        let counted = counted.clone();
        let chunk = move |_| {
            counted.fetch_add(1 << 16, Ordering::SeqCst);
            Ok::<_, std::io::Error>(Bytes::from(vec![b' '; 1 << 16]))
        };
        let endless = futures::stream::iter(0..1 << 14).map(chunk);
        async move { Body::from_stream(endless).into_response() }
    })
    .await;
    let why = writer(&[&url]).write(&request()).await.unwrap_err();
    assert!(why.to_string().contains("more than 4194304 bytes"), "{why}");
    // A gigabyte was on offer; sockets buffer some of what is never read.
    assert!(sent.load(Ordering::SeqCst) < 100 << 20);
    let announced = serve(|_| async { vec![b' '; 10 << 20].into_response() }).await;
    let why = writer(&[&announced]).write(&request()).await.unwrap_err();
    assert!(matches!(why, SearchError::Garbled { .. }), "{why}");
}

#[tokio::test]
async fn replies_that_are_no_completions_are_named() {
    for (body, part) in [
        ("hello", "not the JSON"),
        ("{}", "without choices"),
        (r#"{"choices":[{"message":{"content":null}}]}"#, "null content"),
    ] {
        let url = serve(move |_| async move { body.into_response() }).await;
        let why = writer(&[&url]).write(&request()).await.unwrap_err();
        assert!(matches!(why, SearchError::Garbled { .. }) && why.to_string().contains(part), "{why}");
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (other, count) = serve_after(0, || StatusCode::OK.into_response()).await;
    let url = serve(move |_| {
        let target = format!("{other}/v1/chat/completions");
        async move { (StatusCode::TEMPORARY_REDIRECT, [("location", target)]).into_response() }
    })
    .await;
    let why = writer(&[&url]).write(&request()).await.unwrap_err();
    assert!(why.to_string().contains("307: it points to http://"), "{why}");
    assert_eq!(count.load(Ordering::SeqCst), 0);
}

/// The server answers four at a time, so all forty get through only if four are in flight; a fifth would show.
#[tokio::test]
async fn as_many_calls_are_in_flight_as_allowed_and_no_more() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (peak, four) = (most.clone(), Arc::new(Barrier::new(4)));
    let url = serve(move |_| {
        let (now, peak, four) = (now.clone(), peak.clone(), four.clone());
        async move {
            peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            four.wait().await;
            now.fetch_sub(1, Ordering::SeqCst);
            GOOD.into_response()
        }
    })
    .await;
    let narrow = OpenAiWriter::new(OpenAiSettings { concurrency: 4, ..settings(&[&url]) }).unwrap();
    let request = request();
    let all = join_all((0..40).map(|_| narrow.write(&request))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(most.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn a_dropped_call_is_cancelled_at_the_server() {
    struct Gone(Arc<Notify>);
    impl Drop for Gone {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }
    let (arrived, gone) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (arrives, goes) = (arrived.clone(), gone.clone());
    let url = serve(move |_| {
        let (arrives, guard) = (arrives.clone(), Gone(goes.clone()));
        async move {
            let _guard = guard;
            arrives.notify_one();
            std::future::pending().await
        }
    })
    .await;
    let lone = OpenAiWriter::new(OpenAiSettings { concurrency: 1, ..settings(&[&url]) }).unwrap();
    let request = request();
    tokio::select! {
        _ = lone.write(&request) => panic!("the server never answers"),
        () = arrived.notified() => {}
    }
    tokio::time::timeout(Duration::from_secs(5), gone.notified()).await.expect("the server's work goes on");
    // Its place is free again: the next call gets through to the server.
    tokio::select! {
        _ = lone.write(&request) => panic!("the server never answers"),
        () = arrived.notified() => {}
    }
}

#[tokio::test]
async fn the_check_finds_what_would_fail_later() {
    let good = serve(|_| async { r#"{"choices":[{"message":{"content":null}}]}"#.into_response() }).await;
    assert!(writer(&[&good]).check().await.is_ok(), "one token of a reasoning model may be no content");
    let dead = dead_url().await;
    let why = writer(&[&good, &dead]).check().await.unwrap_err();
    assert!(why.to_string().starts_with(&format!("{dead}/v1 could not be reached: ")), "{why}");
    let unknown = serve(|_| async { (StatusCode::NOT_FOUND, "no model m").into_response() }).await;
    let why = writer(&[&unknown]).check().await.unwrap_err();
    assert!(why.to_string().ends_with("404: no model m"), "{why}");
    let (starting, _) = serve_after(2, || StatusCode::SERVICE_UNAVAILABLE.into_response()).await;
    assert!(writer(&[&starting]).check().await.is_ok(), "a server may take a moment to start");
}

#[tokio::test]
async fn the_key_shows_nowhere() {
    let echo = serve(|request| async move {
        let sent: &HeaderMap = request.headers();
        let key = sent["authorization"].to_str().unwrap_or_default().to_owned();
        (StatusCode::UNAUTHORIZED, format!("bad key: {key}")).into_response()
    })
    .await;
    let keyed = OpenAiSettings { key: Some(Key::new(HUSH).unwrap()), ..settings(&[&echo]) };
    assert!(!format!("{keyed:?}").contains("hush"));
    let keyed = OpenAiWriter::new(keyed).unwrap();
    assert!(!format!("{keyed:?}").contains("hush"));
    let why = keyed.write(&request()).await.unwrap_err();
    assert!(why.to_string().ends_with("bad key: Bearer [key]"), "{why}");
    assert!(!format!("{why:?}").contains("hush"));
}
