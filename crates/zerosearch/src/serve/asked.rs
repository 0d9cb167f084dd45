//! What was asked: the JSON of a request, or why it is none.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use serde::de::DeserializeOwned;

use super::refusal::Refusal;

/// The body of a request as `T`.
pub(super) struct Asked<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Asked<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let read: Result<Json<T>, JsonRejection> = Json::from_request(request, state).await;
        read.map(|Json(asked)| Self(asked)).map_err(|rejection| refusal(&rejection))
    }
}

fn refusal(rejection: &JsonRejection) -> Refusal {
    let what = rejection.body_text();
    let what = what.rsplit_once("target type: ").map_or(what.as_str(), |(_, what)| what);
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let message = "the body is longer than this server reads; send fewer queries or prompts at once";
            Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message).coded("body_too_long")
        }
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            let message = "the body must be JSON; send it with `Content-Type: application/json`";
            Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message)
        }
        status if status.is_client_error() => {
            Refusal::bad(format!("the body cannot be used: {what}")).coded("bad_body")
        }
        status => Refusal::new(status, what),
    }
}
