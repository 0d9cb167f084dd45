//! A hub on this machine, for tests: one repository, and what is to go wrong.
//!
//! Addresses, headers and redirects are those of the hub's public interface: `/api/models/ID/revision/REV`,
//! `/ID/resolve/COMMIT/FILE`, `X-Linked-Etag`, `X-Linked-Size`.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::response::Builder;
use axum::http::{HeaderMap, Method, Response, StatusCode};
use futures::{StreamExt, stream};
use sha2::{Digest, Sha256};

use crate::Hub;

/// The commit that every loopback hub is at.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What the server has, does and saw.
pub struct Play {
    /// The repository's address on the site: `org/model`, or `datasets/org/data`.
    pub repository: &'static str,
    /// Its revisions besides [`COMMIT`] itself.
    pub revisions: Vec<&'static str>,
    /// Its files. Those whose names end in `.safetensors` or `.parquet` are large: they lie on another host.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Breaks the connection after this many bytes of a large file, so often.
    pub breaks: Mutex<(usize, u32)>,
    /// Asks for this token.
    pub token: Option<&'static str>,
    /// Announces this instead of the SHA-256 of large files.
    pub wrong_hash: Option<String>,
    /// Answers everything with this status.
    pub status: Option<u16>,
    /// The requests that came in.
    pub seen: Mutex<Vec<Seen>>,
}

/// A request as it came in.
#[derive(Clone, Debug)]
pub struct Seen {
    /// `GET` or `HEAD`.
    pub method: String,
    /// `api/org/name/revision`, `resolve/FILE` or `cdn/FILE`.
    pub path: String,
    /// Its `Range`.
    pub range: Option<String>,
    /// Whether it carried a key.
    pub authorized: bool,
}

impl Default for Play {
    fn default() -> Self {
        Self {
            repository: "org/model",
            revisions: vec!["main"],
            files: BTreeMap::new(),
            breaks: Mutex::default(),
            token: None,
            wrong_hash: None,
            status: None,
            seen: Mutex::default(),
        }
    }
}

impl Play {
    /// A repository of these files.
    pub fn of(files: impl IntoIterator<Item = (&'static str, Vec<u8>)>) -> Self {
        let files = files.into_iter().map(|(name, content)| (name.to_owned(), content)).collect();
        Self { files, ..Self::default() }
    }

    /// The name of a file's contents: their SHA-256.
    pub fn hash(&self, name: &str) -> String {
        match &self.wrong_hash {
            Some(hash) if is_large(name) => hash.clone(),
            _ => Sha256::digest(&self.files[name]).iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }

    /// The requests that came in so far.
    pub fn requests(&self) -> Vec<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The `Range` of every request for contents on `path`.
    pub fn ranges(&self, path: &str) -> Vec<Option<String>> {
        let wanted = self.requests().into_iter().filter(|seen| seen.method == "GET" && seen.path == path);
        wanted.map(|seen| seen.range).collect()
    }

    fn note(&self, method: &Method, path: String, headers: &HeaderMap) {
        let range = headers.get("range").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let authorized = headers.contains_key("authorization");
        let seen = Seen { method: method.to_string(), path, range, authorized };
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
    }

    /// Why a request is not answered, if it is not.
    fn refusal(&self, headers: &HeaderMap) -> Option<StatusCode> {
        let given = headers.get("authorization").and_then(|value| value.to_str().ok());
        let wanted = self.token.map(|token| format!("Bearer {token}"));
        let stranger = wanted.is_some() && wanted.as_deref() != given;
        let status = self.status.and_then(|status| StatusCode::from_u16(status).ok());
        status.or(stranger.then_some(StatusCode::UNAUTHORIZED))
    }

    fn look_up(&self, name: &str, revision: &str) -> Response<Body> {
        let known = revision == COMMIT || self.revisions.contains(&revision);
        if name != self.repository.trim_start_matches("datasets/") || !known {
            return empty(StatusCode::NOT_FOUND);
        }
        let siblings: Vec<_> =
            self.files.keys().map(|file| serde_json::json!({ "rfilename": file })).collect();
        Response::new(Body::from(serde_json::json!({ "sha": COMMIT, "siblings": siblings }).to_string()))
    }

    /// Small files are sent; large ones are a redirect to another host.
    fn resolve(&self, commit: &str, file: &str, headers: &HeaderMap) -> Response<Body> {
        let Some(content) = self.files.get(file).filter(|_| commit == COMMIT) else {
            return empty(StatusCode::NOT_FOUND);
        };
        let head = Response::builder().header("x-repo-commit", COMMIT);
        if !is_large(file) {
            // A weak tag of 40 digits, as the hub gives small files.
            let etag = format!("W/\"{}\"", &self.hash(file)[..40]);
            return built(head.header("etag", etag), Body::from(content.clone()));
        }
        let host = headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or_default();
        let elsewhere = host.replace("127.0.0.1", "localhost");
        let head = head
            .status(StatusCode::FOUND)
            .header("location", format!("http://{elsewhere}/cdn/{file}"))
            .header("x-linked-etag", format!("\"{}\"", self.hash(file)))
            .header("x-linked-size", content.len());
        built(head, Body::empty())
    }

    /// The other host: knows ranges, and breaks off when told to.
    fn send(&self, file: &str, headers: &HeaderMap) -> Response<Body> {
        let Some(content) = self.files.get(file) else { return empty(StatusCode::NOT_FOUND) };
        let range = headers.get("range").and_then(|range| range.to_str().ok());
        let start = range.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
        let start: usize = start.unwrap_or_default();
        let mut rest = content[start..].to_vec();
        let mut response = Response::builder();
        if start > 0 {
            let range = format!("bytes {start}-{}/{}", content.len() - 1, content.len());
            response = response.status(StatusCode::PARTIAL_CONTENT).header("content-range", range);
        }
        let mut breaks = self.breaks.lock().unwrap_or_else(PoisonError::into_inner);
        if breaks.1 == 0 {
            return built(response, Body::from(rest));
        }
        breaks.1 -= 1;
        rest.truncate(breaks.0);
        let dead = async {
            // Lets what was sent get out before the connection goes.
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            Err(io::Error::other("the line went dead"))
        };
        built(response, Body::from_stream(stream::once(async { Ok(rest) }).chain(stream::once(dead))))
    }
}

/// A server that plays; it ends with this.
pub struct Loopback {
    /// What it has, does and saw.
    pub play: Arc<Play>,
    address: SocketAddr,
    _runtime: tokio::runtime::Runtime,
}

impl Loopback {
    /// A server on a free port.
    ///
    /// # Errors
    /// When the machine has none.
    pub fn start(play: Play) -> io::Result<Self> {
        let play = Arc::new(play);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let router = Router::new().fallback(answer).with_state(Arc::clone(&play));
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        runtime.spawn(async move { axum::serve(listener, router).await });
        Ok(Self { play, address, _runtime: runtime })
    }

    /// Its address, for `HF_ENDPOINT`.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// A client that keeps its files in `cache`.
    pub fn hub(&self, cache: &Path) -> Hub {
        Hub::new(&self.url(), cache)
    }
}

async fn answer(State(play): State<Arc<Play>>, request: Request) -> Response<Body> {
    let (method, headers) = (request.method(), request.headers());
    let path = request.uri().path().trim_start_matches('/').replace("%2F", "/").replace("%20", " ");
    if let Some(file) = path.strip_prefix("cdn/") {
        play.note(method, format!("cdn/{file}"), headers);
        return play.send(file, headers);
    }
    if let Some((repository, revision)) =
        path.strip_prefix("api/").and_then(|rest| rest.split_once("/revision/"))
    {
        let name = repository.split_once('/').map_or(repository, |(_, name)| name);
        play.note(method, format!("api/{name}/{revision}"), headers);
        return play.refusal(headers).map_or_else(|| play.look_up(name, revision), empty);
    }
    let asked = path.strip_prefix(play.repository).and_then(|rest| rest.strip_prefix("/resolve/"));
    let (commit, file) = asked.and_then(|rest| rest.split_once('/')).unwrap_or(("", &path));
    play.note(method, format!("resolve/{file}"), headers);
    play.refusal(headers).map_or_else(|| play.resolve(commit, file, headers), empty)
}

fn is_large(name: &str) -> bool {
    name.ends_with(".safetensors") || name.ends_with(".parquet")
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

fn built(head: Builder, body: Body) -> Response<Body> {
    head.body(body).unwrap_or_else(|_| empty(StatusCode::INTERNAL_SERVER_ERROR))
}
