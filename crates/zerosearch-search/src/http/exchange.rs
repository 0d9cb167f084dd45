//! One exchange with one server: a request goes out, a bounded reply comes back, or a reason why not.

use std::time::Duration;

use reqwest::header::{HeaderMap, LOCATION, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url};

use super::{Credential, Key, Patience, Request};
use crate::{SearchError, clean};

/// What all exchanges share.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    pub(super) client: Client,
    pub(super) patience: Patience,
    pub(super) credential: Option<Credential>,
}

impl Wire {
    /// `text` without the key, which a server may have echoed.
    pub(super) fn hide_in(&self, text: &str) -> String {
        self.key().map_or_else(|| text.to_owned(), |key| key.hide_in(text))
    }

    fn key(&self) -> Option<&Key> {
        self.credential.as_ref().map(|credential| &credential.key)
    }
}

/// Why a try gave nothing, and whether another may.
#[derive(Debug)]
pub(super) enum Fault {
    /// The request itself is at fault; asking again changes nothing.
    Final(SearchError),
    /// This server does not give the service to us; another may.
    Elsewhere(SearchError),
    /// The server or the way to it is at fault. A pause that the server asked for comes along.
    Passing(SearchError, Option<Duration>),
}

/// How much of a refusal is shown, in bytes read.
const REFUSAL_LIMIT: usize = 2_000;
/// And in characters shown.
const REFUSAL_CHARS: usize = 300;

/// Sends `request` to the server at `base` and gives the reply's bytes, within the time limit of one try.
pub(super) async fn exchange(wire: &Wire, base: &Url, request: Request<'_>) -> Result<Vec<u8>, Fault> {
    let waited = wire.patience.timeout;
    match tokio::time::timeout(waited, exchange_unlimited(wire, base, request)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Fault::Passing(SearchError::Silent { url: base.to_string(), waited, tries: 1 }, None)),
    }
}

async fn exchange_unlimited(wire: &Wire, base: &Url, request: Request<'_>) -> Result<Vec<u8>, Fault> {
    let request = request.build(&wire.client, base, wire.credential.as_ref());
    let response = request.send().await.map_err(|why| broken(base, why))?;
    if response.status().is_success() {
        return read_reply(response, wire.patience.reply_limit, base).await;
    }
    Err(refusal(response, wire.key(), base).await)
}

/// The whole reply, unless it is longer than `limit`: then it is abandoned as soon as that is known.
async fn read_reply(mut response: Response, limit: usize, base: &Url) -> Result<Vec<u8>, Fault> {
    let too_long = || {
        let problem = format!("a reply of more than {limit} bytes, which was not read to its end");
        Fault::Final(SearchError::Garbled { url: base.to_string(), problem })
    };
    if response.content_length().is_some_and(|length| length > limit as u64) {
        return Err(too_long());
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|why| broken(base, why))? {
        if bytes.len() + chunk.len() > limit {
            return Err(too_long());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// What a reply without success means: try again after an overload or a failure of the server, try elsewhere what this
/// server will not do for us, else give up.
async fn refusal(mut response: Response, key: Option<&Key>, base: &Url) -> Fault {
    let status = response.status();
    let asked = retry_after(response.headers());
    let target = response.headers().get(LOCATION).and_then(|value| value.to_str().ok().map(str::to_owned));
    let mut bytes = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        bytes.extend_from_slice(&chunk);
        if bytes.len() >= REFUSAL_LIMIT {
            break;
        }
    }
    let mut body = String::from_utf8_lossy(&bytes[..bytes.len().min(REFUSAL_LIMIT)]).into_owned();
    if let Some(target) = target.filter(|_| status.is_redirection()) {
        body = format!("it points to {target}; name that address if it is meant");
    }
    if let Some(key) = key {
        body = key.hide_in(&body);
    }
    let passing = status.is_server_error()
        || matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY
        );
    let mut body: String = clean(&body).chars().take(REFUSAL_CHARS).collect();
    if let Some(key) = key.filter(|_| !passing) {
        body.push_str(&key.origin());
    }
    let error = SearchError::Refused { url: base.to_string(), status: status.as_u16(), body };
    match status.as_u16() {
        _ if passing => Fault::Passing(error, asked),
        300..=399 | 401 | 403 | 404 | 405 => Fault::Elsewhere(error),
        _ => Fault::Final(error),
    }
}

/// `Retry-After` in seconds. Its other form, a date, is treated as if nothing was said.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// A connection that was not made or broke, told by its innermost cause: the outer ones repeat the address.
fn broken(base: &Url, why: reqwest::Error) -> Fault {
    // The whole address may hold a key.
    let why = why.without_url();
    let mut cause: &dyn std::error::Error = &why;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    Fault::Passing(SearchError::Unreachable { url: base.to_string(), problem: cause.to_string() }, None)
}
