//! What was asked: the JSON of a request, or why it is none.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use serde::de::DeserializeOwned;

use super::refusal::Refusal;

/// How long a body may be; it comes along with every request.
#[derive(Clone, Copy)]
pub(super) struct LongestBody {
    pub(super) bytes: usize,
}

/// The body of a request as `T`.
pub(super) struct Asked<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Asked<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let longest = request.extensions().get::<LongestBody>().copied();
        let read: Result<Json<T>, JsonRejection> = Json::from_request(request, state).await;
        read.map(|Json(asked)| Self(asked)).map_err(|it| refusal(it.status(), &it.body_text(), longest))
    }
}

/// What a client is told of a body that the framework rejected with `status`, saying `what`.
pub(super) fn refusal(status: StatusCode, what: &str, longest: Option<LongestBody>) -> Refusal {
    let what = what.rsplit_once("target type: ").map_or(what, |(_, what)| what);
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let most = longest.map_or_else(String::new, |it| format!(", which is {} MiB", it.bytes >> 20));
            let message = format!(
                "the body is longer than this server reads{most}; send fewer queries or prompts at once, or have it \
                 started with a larger --max-body-mib"
            );
            Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message).coded("body_too_long")
        }
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            let message = "the body must be JSON; send it with `Content-Type: application/json`";
            Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message)
        }
        status if status.is_client_error() => {
            Refusal::bad(format!("the body cannot be used: {}", plain(what))).coded("bad_body")
        }
        status => Refusal::new(status, what),
    }
}

/// What the reader of JSON says, without the names of Rust's types.
pub(super) fn plain(why: &str) -> String {
    let words = [
        ("expected usize", "expected a whole number, 0 or more"),
        ("expected u64", "expected a whole number, 0 or more"),
        ("expected u32", "expected a whole number, 0 or more"),
        ("expected i64", "expected a whole number"),
        ("expected f64", "expected a number"),
        ("expected f32", "expected a number"),
    ];
    words.iter().fold(why.to_owned(), |told, (name, words)| told.replace(name, words))
}
