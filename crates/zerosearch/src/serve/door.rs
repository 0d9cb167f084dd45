//! The door: it looks at every request before the service sees it, and counts it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::{ConnectInfo, DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::asked::LongestBody;
use super::open::Sign;
use super::quota::{Client, Quota};
use super::refusal::Refusal;
use super::terms::{Terms, Token};
use super::traffic::Traffic;

/// Whoever guards a server's routes.
pub(super) struct Door {
    token: Option<Token>,
    places: Arc<Semaphore>,
    max_in_flight: usize,
    quota: Option<Quota>,
    time_limit: Duration,
    traffic: Arc<Traffic>,
}

/// The route that is open to everybody, always: it says only that the server is there.
const HEALTH: &str = "/health";
/// Where clients of the Tinker API show their secret.
const API_KEY: &str = "x-api-key";

impl Door {
    /// The routes of `sign` behind a door on `terms`.
    pub(super) fn before(sign: &Sign, terms: &Terms) -> Router {
        let verb = sign.verb;
        let door = Self {
            token: terms.token.clone(),
            places: Arc::new(Semaphore::new(terms.max_in_flight)),
            max_in_flight: terms.max_in_flight,
            quota: terms.max_per_second.map(Quota::new),
            time_limit: terms.time_limit,
            traffic: Arc::clone(&sign.traffic),
        };
        let router = sign.router.clone();
        router
            .fallback(move |request| nowhere(request, verb))
            .method_not_allowed_fallback(move |request| otherwise(request, verb))
            .layer(Extension(LongestBody { bytes: terms.max_body_bytes }))
            .layer(DefaultBodyLimit::max(terms.max_body_bytes))
            .layer(from_fn_with_state(Arc::new(door), pass))
    }

    /// A place for `request`, or why it has none.
    fn let_in(&self, request: &Request) -> Result<OwnedSemaphorePermit, Refusal> {
        if !self.token.as_ref().is_none_or(|token| shown(request).is_some_and(|given| token.fits(given))) {
            let message = "this server asks for a token; send `Authorization: Bearer TOKEN`, or `X-API-Key: TOKEN`, with the right one";
            return Err(Refusal::new(StatusCode::UNAUTHORIZED, message).coded("wrong_token"));
        }
        if let Some(quota) = &self.quota
            && let Err(wait) = quota.count(&client(request))
        {
            let most = quota.per_second();
            let message = format!("this server takes {most} requests a second of a client; come back later");
            let refusal = Refusal::new(StatusCode::TOO_MANY_REQUESTS, message).coded("too_often");
            return Err(refusal.retry_after(wait.as_secs() + 1));
        }
        Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            let message =
                format!("this server answers {} requests at once; come back later", self.max_in_flight);
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, message).coded("too_many_at_once").retry_after(1)
        })
    }

    async fn answer(&self, request: Request, next: Next) -> (Response, Option<OwnedSemaphorePermit>) {
        if request.uri().path() == HEALTH {
            return (next.run(request).await, None);
        }
        let place = match self.let_in(&request) {
            Ok(place) => place,
            Err(refusal) => return (refusal.into_response(), None),
        };
        match tokio::time::timeout(self.time_limit, next.run(request)).await {
            Ok(response) => (response, Some(place)),
            Err(_) => (too_late(self.time_limit).into_response(), None),
        }
    }
}

/// The refusal of an answer that took longer than `limit`.
pub(super) fn too_late(limit: Duration) -> Refusal {
    let message = format!("no answer was ready within {} s; ask for less at once", limit.as_secs_f64());
    Refusal::new(StatusCode::GATEWAY_TIMEOUT, message).coded("too_late")
}

/// The secret that a request shows, in the header of OpenAI's clients or in that of Tinker's.
fn shown(request: &Request) -> Option<&[u8]> {
    let headers = request.headers();
    if let Some(key) = headers.get(API_KEY) {
        return Some(key.as_bytes().trim_ascii());
    }
    let (scheme, secret) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| secret.trim().as_bytes())
}

fn client(request: &Request) -> Client {
    let address = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0);
    Client::new(address, shown(request))
}

async fn pass(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response {
    // Not the path as it was written: whoever asks for a thousand paths must not make a thousand counters.
    let route = request.extensions().get::<MatchedPath>().map_or("other", MatchedPath::as_str).to_owned();
    let mut visit = door.traffic.enter(&route);
    let has_body = !request.body().is_end_stream();
    let (mut response, place) = door.answer(request, next).await;
    visit.answered(response.status());
    if has_body && (place.is_none() || response.status() == StatusCode::PAYLOAD_TOO_LARGE) {
        // The rest of the body is not read, so nothing more can come over this connection: the client has to know.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if let Some(length) = response.body().size_hint().exact() {
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    let held = (visit, place);
    // Both are given back with the last byte of the answer.
    response.map(|body| {
        Body::new(body.map_frame(move |frame| {
            let _ = &held;
            frame
        }))
    })
}

async fn nowhere(request: Request, verb: &'static str) -> Refusal {
    let path = request.uri().path();
    let message =
        format!("there is no {path}; GET /openapi.json or `zerosearch {verb} --help` tells what there is");
    Refusal::new(StatusCode::NOT_FOUND, message).coded("no_such_route")
}

async fn otherwise(request: Request, verb: &'static str) -> Refusal {
    let (path, method) = (request.uri().path(), request.method());
    let message = format!(
        "{path} does not answer {method}; GET /openapi.json or `zerosearch {verb} --help` tells what it answers"
    );
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, message).coded("wrong_method")
}
