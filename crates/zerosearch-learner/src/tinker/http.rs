//! A call: one request to a server, and the result that it is asked for until it is there.

use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use reqwest::redirect::Policy as Redirects;
use reqwest::{Method, Response, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::Instant;

use super::trouble::Trouble;
use super::wire::{Future, JSON, PROTOBUF, RetrieveFuture};
use crate::{LearnerError, Result};

/// The largest answer that is kept in memory.
const MOST_BYTES: usize = 1 << 30;
/// The longest that one question for a result is left open; then it is put again.
const LONGEST_POLL: Duration = Duration::from_secs(45);
/// The longest rest between two tries.
const LONGEST_REST: Duration = Duration::from_secs(30);

/// How long servers are waited for, and how often they are asked again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Patience {
    /// For the answer to one request.
    pub answer: Duration,
    /// For a result, from the moment that it was asked for.
    pub result: Duration,
    /// Tries after the first, where a request may be sent again.
    pub retries: u32,
    /// Before the second try; it doubles with each.
    pub rest: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { answer: seconds(60), result: seconds(1800), retries: 5, rest: Duration::from_millis(500) }
    }
}

/// A body to send.
pub(super) struct Body {
    media: &'static str,
    bytes: Vec<u8>,
}

impl Body {
    /// As JSON.
    pub(super) fn json(body: &impl Serialize) -> Result<Self> {
        let bytes = serde_json::to_vec(body).map_err(|error| LearnerError::BadRequest(error.to_string()))?;
        Ok(Self { media: JSON, bytes })
    }

    /// As protobuf.
    pub(super) fn protobuf(bytes: Vec<u8>) -> Self {
        Self { media: PROTOBUF, bytes }
    }
}

/// What a server answered with success.
pub(super) struct Reply {
    /// Whether it is protobuf; else it is JSON.
    pub(super) is_protobuf: bool,
    pub(super) bytes: Vec<u8>,
}

impl Reply {
    /// Its JSON.
    fn read<T: DeserializeOwned>(&self) -> Result<T, Trouble> {
        serde_json::from_slice(&self.bytes).map_err(|error| Trouble::Garbled(error.to_string()))
    }
}

/// One server.
pub(super) struct Server {
    client: reqwest::Client,
    base: Url,
    key: Option<String>,
    patience: Patience,
}

impl Server {
    /// The server at `url`, which is asked with `key`.
    pub(super) fn new(url: &str, key: Option<String>, patience: Patience) -> Result<Self> {
        let bad = |problem: String| LearnerError::BadRequest(format!("tinker.url = \"{url}\": {problem}"));
        let base = Url::parse(url.trim_end_matches('/')).map_err(|error| bad(error.to_string()))?;
        if !["http", "https"].contains(&base.scheme()) || base.host().is_none() {
            return Err(bad("it must begin with http:// or https://".into()));
        }
        if key.as_ref().is_some_and(|key| reqwest::header::HeaderValue::from_str(key).is_err()) {
            return Err(LearnerError::BadRequest(
                "the key of the server holds characters that no key has".into(),
            ));
        }
        let client = reqwest::Client::builder()
            .connect_timeout(patience.answer.min(Duration::from_secs(10)))
            // A key goes to the server that it is for, and not where that one points.
            .redirect(Redirects::none())
            .user_agent(concat!("zerosearch/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| bad(error.to_string()))?;
        Ok(Self { client, base, key, patience })
    }

    /// Its address, without what may be secret.
    pub(super) fn name(&self) -> String {
        let mut shown = self.base.clone();
        // Neither fails for an address with a host.
        let _ = (shown.set_username(""), shown.set_password(None));
        shown.to_string().trim_end_matches('/').to_owned()
    }

    /// What went wrong with `route`, for people.
    pub(super) fn error(&self, route: &str, trouble: &Trouble) -> LearnerError {
        let problem = trouble.to_string();
        let problem = match &self.key {
            Some(key) if !key.is_empty() => problem.replace(key.as_str(), "[key]"),
            _ => problem,
        };
        LearnerError::Remote { url: self.name(), route: route.to_owned(), problem }
    }

    /// What `route` answers at once. `twice_is_once` as for [`Trouble::may_pass`].
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        route: &str,
        body: &Body,
        twice_is_once: bool,
    ) -> Result<T> {
        let reply = self.post(route, body, twice_is_once).await;
        reply.and_then(|reply| reply.read()).map_err(|trouble| self.error(route, &trouble))
    }

    /// What `route` answers to a request without a body.
    pub(super) async fn look<T: DeserializeOwned>(&self, route: &str) -> Result<T> {
        let url = self.address(route);
        let reply = self
            .tried(true, || async { taken(self.send(Method::GET, url.clone(), None).await?).await })
            .await;
        reply.and_then(|reply| reply.read()).map_err(|trouble| self.error(route, &trouble))
    }

    /// Hands `body` to `route`; gives the name of the result to come.
    pub(super) async fn submit(&self, route: &str, body: &Body, twice_is_once: bool) -> Result<Future> {
        self.ask(route, body, twice_is_once).await
    }

    /// The result named `future`, of `route`, in the form `media`.
    pub(super) async fn result(&self, route: &str, future: &Future, media: &'static str) -> Result<Reply> {
        self.awaited(&future.request_id, media).await.map_err(|trouble| self.error(route, &trouble))
    }

    /// [`Server::result`], of JSON.
    pub(super) async fn outcome<T: DeserializeOwned>(&self, route: &str, future: &Future) -> Result<T> {
        let reply = self.result(route, future, JSON).await?;
        reply.read().map_err(|trouble| self.error(route, &trouble))
    }

    /// Asks until there is a result or the time is up. What is too early is asked for again at once; a server that is busy or down
    /// is given a rest, and no more tries than it may have in a row.
    async fn awaited(&self, request: &str, media: &'static str) -> Result<Reply, Trouble> {
        let order = RetrieveFuture { request_id: request.to_owned(), allow_metadata_only: false };
        let body = serde_json::to_vec(&order).map_err(|error| Trouble::Garbled(error.to_string()))?;
        let end = Instant::now() + self.patience.result;
        let (mut rest, mut failures) = (Duration::from_millis(50), 0);
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Trouble::Late(self.patience.result));
            }
            let trouble = match self.poll(&body, media, left.min(LONGEST_POLL)).await {
                Ok(Some(reply)) => return Ok(reply),
                Ok(None) => None,
                Err(trouble) if trouble.may_pass(true) => Some(trouble),
                Err(trouble) => return Err(trouble),
            };
            match trouble {
                None => {
                    failures = 0;
                    rest = rest.min(Duration::from_secs(1));
                }
                Some(trouble) => {
                    failures += 1;
                    if failures > self.patience.retries {
                        return Err(trouble);
                    }
                    rest = self.rest(failures, trouble.wait());
                }
            }
            tokio::time::sleep(rest.min(left)).await;
            rest = (rest * 2).min(LONGEST_REST);
        }
    }

    /// The result, or nothing where it is not there yet.
    async fn poll(&self, body: &[u8], media: &'static str, wait: Duration) -> Result<Option<Reply>, Trouble> {
        let request = self
            .client
            .post(self.address("retrieve_future"))
            .header(CONTENT_TYPE, JSON)
            .header(ACCEPT, media)
            .timeout(wait)
            .body(body.to_owned());
        let response = match self.keyed(request).send().await {
            Ok(response) => response,
            Err(error) if error.is_timeout() && !error.is_connect() => return Ok(None),
            Err(error) => return Err(lost(&error)),
        };
        if response.status().as_u16() == 408 {
            return Ok(None);
        }
        let reply = taken(response).await.map_err(|trouble| match trouble {
            // Some servers tell a failed request so.
            Trouble::Unusable(said) => Trouble::Failed(said),
            other => other,
        })?;
        if reply.is_protobuf { Ok(Some(reply)) } else { finished(reply) }
    }

    /// Sends `body` to `route`, again where that may help.
    async fn post(&self, route: &str, body: &Body, twice_is_once: bool) -> Result<Reply, Trouble> {
        let url = self.address(route);
        let once = || async { taken(self.send(Method::POST, url.clone(), Some(body)).await?).await };
        self.tried(twice_is_once, once).await
    }

    /// The response to `GET` of `route`, its body still to come. It is followed to where it points, without the key if that is
    /// another server.
    pub(super) async fn fetch(&self, route: &str) -> Result<Response> {
        let mut url = self.address(route);
        for _ in 0..5 {
            let once = || async { self.send(Method::GET, url.clone(), None).await };
            let response = self.tried(true, once).await.map_err(|trouble| self.error(route, &trouble))?;
            let place = response.headers().get(LOCATION).and_then(|place| place.to_str().ok());
            match place.and_then(|place| url.join(place).ok()) {
                Some(next) if response.status().is_redirection() => url = next,
                _ if response.status().is_success() => return Ok(response),
                _ => {
                    let trouble = taken(response).await.err();
                    let trouble = trouble.unwrap_or_else(|| Trouble::Garbled("it points nowhere".into()));
                    return Err(self.error(route, &trouble));
                }
            }
        }
        Err(self.error(route, &Trouble::Garbled("it points from place to place".into())))
    }

    async fn send(&self, method: Method, url: Url, body: Option<&Body>) -> Result<Response, Trouble> {
        let is_own = url.origin() == self.base.origin();
        let mut request = self.client.request(method, url).timeout(self.patience.answer);
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, body.media).body(body.bytes.clone());
        }
        let request = if is_own { self.keyed(request) } else { request };
        request.send().await.map_err(|error| lost(&error))
    }

    fn keyed(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match &self.key {
            Some(key) => request.header("X-API-Key", key),
            None => request,
        }
    }

    /// What `once` gives, tried again where that may help.
    async fn tried<T, F: std::future::Future<Output = Result<T, Trouble>>>(
        &self,
        twice_is_once: bool,
        once: impl Fn() -> F,
    ) -> Result<T, Trouble> {
        let mut failures = 0;
        loop {
            let trouble = match once().await {
                Ok(reply) => return Ok(reply),
                Err(trouble) => trouble,
            };
            failures += 1;
            if failures > self.patience.retries || !trouble.may_pass(twice_is_once) {
                return Err(trouble);
            }
            tokio::time::sleep(self.rest(failures, trouble.wait())).await;
        }
    }

    fn rest(&self, failures: u32, asked: Option<Duration>) -> Duration {
        let usual = self.patience.rest.saturating_mul(1 << (failures - 1).min(10));
        asked.unwrap_or(usual).clamp(self.patience.rest.min(LONGEST_REST), LONGEST_REST)
    }

    fn address(&self, route: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}/api/v1/{route}", self.base.path().trim_end_matches('/')));
        url
    }
}

/// The body of a success; what any other status means.
async fn taken(mut response: Response) -> Result<Reply, Trouble> {
    let status = response.status();
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    let wait = header(RETRY_AFTER).and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
    let is_protobuf = header(CONTENT_TYPE).is_some_and(|media| media.starts_with(PROTOBUF));
    let mut bytes = Vec::new();
    while let Some(part) = response.chunk().await.map_err(|error| lost(&error))? {
        bytes.extend_from_slice(&part);
        if bytes.len() > MOST_BYTES {
            return Err(Trouble::Garbled(format!("it has more than {} MiB", MOST_BYTES >> 20)));
        }
    }
    if status.is_success() {
        return Ok(Reply { is_protobuf, bytes });
    }
    Err(Trouble::of_status(status.as_u16(), wait, &bytes))
}

/// The result, unless what came with success says that there is none yet, or never will be.
fn finished(reply: Reply) -> Result<Option<Reply>, Trouble> {
    #[derive(serde::Deserialize)]
    struct Glance {
        #[serde(default, rename = "type")]
        kind: Option<Value>,
        #[serde(default)]
        error: Option<Value>,
        #[serde(default)]
        category: Option<String>,
        #[serde(default)]
        status: Option<Value>,
    }
    let glance: Glance = reply.read()?;
    if let Some(error) = glance.error {
        let words = error.as_str().map_or_else(|| error.to_string(), str::to_owned);
        let whose = glance.category.unwrap_or_else(|| "unknown".into());
        return Err(Trouble::Failed(format!(
            "{} (category: {whose})",
            super::trouble::said(words.as_bytes())
        )));
    }
    if glance.status.is_some_and(|status| status == "complete_metadata") {
        return Err(Trouble::Garbled("it holds back the result and tells only its size".into()));
    }
    Ok((glance.kind.is_none_or(|kind| kind != "try_again")).then_some(reply))
}

/// What a request met that got no answer.
fn lost(error: &reqwest::Error) -> Trouble {
    let mut words = if error.is_timeout() { "the time is up".to_owned() } else { String::new() };
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        words = inner.to_string();
        cause = inner.source();
    }
    if words.is_empty() {
        words = error.to_string();
    }
    if error.is_connect() { Trouble::Unreachable(words) } else { Trouble::Silent(words) }
}
