//! What was posted: a body in JSON or protobuf, whose bytes also tell whether it came before.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header;
use serde::de::DeserializeOwned;
use zerosearch_learner::tinker::wire::{ForwardBackward, PROTOBUF};

use super::super::asked::{LongestBody, plain, refusal};
use super::super::refusal::Refusal;
use super::line::Digest;

/// The body of a request.
pub(super) struct Posted {
    bytes: Bytes,
    is_protobuf: bool,
}

impl<S: Send + Sync> FromRequest<S> for Posted {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let longest = request.extensions().get::<LongestBody>().copied();
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let is_protobuf = kind.is_some_and(|kind| kind.starts_with(PROTOBUF));
        let bytes = Bytes::from_request(request, state).await;
        let bytes = bytes.map_err(|it| refusal(it.status(), &it.body_text(), longest))?;
        Ok(Self { bytes, is_protobuf })
    }
}

impl Posted {
    /// Read as JSON.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        serde_json::from_slice(&self.bytes).map_err(|why| unusable(&plain(&why.to_string())))
    }

    /// Rows and a loss, in JSON or protobuf.
    pub(super) fn rows(&self) -> Result<ForwardBackward, Refusal> {
        if !self.is_protobuf {
            return self.json();
        }
        ForwardBackward::from_protobuf(&self.bytes).map_err(|why| unusable(&why.to_string()))
    }

    /// What it says to `route`, in a few bytes.
    pub(super) fn digest(&self, route: &str) -> Digest {
        Digest::of(route, &self.bytes)
    }

    /// How long it is.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }
}

fn unusable(why: &str) -> Refusal {
    Refusal::bad(format!("the body cannot be used: {why}")).coded("bad_body")
}
