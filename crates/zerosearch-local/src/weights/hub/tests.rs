//! The hub client against a server on this machine that plays the hub. Addresses, headers and redirects are those of
//! the hub's public interface: `/api/models/ID/revision/REV`, `/ID/resolve/COMMIT/FILE`, `X-Linked-Etag`,
//! `X-Linked-Size`.

use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path as Segments, State};
use axum::http::{HeaderMap, Method, Response, StatusCode};
use axum::routing::get;
use futures::{StreamExt, stream};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::Hub;
use crate::weights::checkpoint::Checkpoint;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/llama-tiny");

/// What the server has, does and saw.
#[derive(Default)]
struct Play {
    files: HashMap<String, Vec<u8>>,
    /// Breaks the connection after this many bytes of `model.safetensors`, so often.
    breaks: Mutex<(usize, u32)>,
    /// Asks for this token.
    token: Option<&'static str>,
    /// Announces this instead of the SHA-256 of `model.safetensors`.
    wrong_hash: Option<String>,
    /// Answers everything with this status.
    status: Option<StatusCode>,
    seen: Mutex<Vec<Seen>>,
}

/// A request as it came in.
struct Seen {
    method: Method,
    path: String,
    range: Option<String>,
    authorized: bool,
}

impl Play {
    /// The files of the smallest fixture.
    fn fixture() -> Self {
        let names = [
            "config.json",
            "generation_config.json",
            "tokenizer.json",
            "tokenizer_config.json",
            "chat_template.jinja",
            "model.safetensors",
        ];
        let read = |name: &str| (name.to_owned(), fs::read(Path::new(FIXTURE).join(name)).unwrap());
        Self { files: names.into_iter().map(read).collect(), ..Self::default() }
    }

    fn hash(&self, name: &str) -> String {
        match &self.wrong_hash {
            Some(hash) if name == "model.safetensors" => hash.clone(),
            _ => Sha256::digest(&self.files[name]).iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }

    fn note(&self, method: &Method, path: String, headers: &HeaderMap) {
        let range = headers.get("range").map(|value| value.to_str().unwrap().to_owned());
        let authorized = headers.contains_key("authorization");
        self.seen.lock().unwrap().push(Seen { method: method.clone(), path, range, authorized });
    }

    /// Why a request is not answered, if it is not.
    fn refusal(&self, headers: &HeaderMap) -> Option<Response<Body>> {
        let given = headers.get("authorization").and_then(|value| value.to_str().ok());
        let wanted = self.token.map(|token| format!("Bearer {token}"));
        let stranger = wanted.is_some() && wanted.as_deref() != given;
        self.status.or(stranger.then_some(StatusCode::UNAUTHORIZED)).map(empty)
    }

    /// The `Range` of every request for contents on `path`.
    fn ranges(&self, path: &str) -> Vec<Option<String>> {
        let seen = self.seen.lock().unwrap();
        let wanted = seen.iter().filter(|seen| seen.method == Method::GET && seen.path == path);
        wanted.map(|seen| seen.range.clone()).collect()
    }
}

/// A server that plays; it ends with its runtime.
struct Server {
    address: SocketAddr,
    play: Arc<Play>,
    _runtime: tokio::runtime::Runtime,
}

impl Server {
    fn start(play: Play) -> Self {
        let play = Arc::new(play);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let router = Router::new()
            .route("/api/models/{org}/{name}/revision/{revision}", get(look_up))
            .route("/{org}/{name}/resolve/{commit}/{file}", get(resolve))
            .route("/cdn/{file}", get(cdn))
            .with_state(Arc::clone(&play));
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { address, play, _runtime: runtime }
    }

    fn hub(&self, cache: &TempDir) -> Hub {
        Hub::new(&format!("http://{}/", self.address), cache.path())
    }
}

fn empty(status: StatusCode) -> Response<Body> {
    Response::builder().status(status).body(Body::empty()).unwrap()
}

async fn look_up(
    State(play): State<Arc<Play>>,
    method: Method,
    Segments((org, name, revision)): Segments<(String, String, String)>,
    headers: HeaderMap,
) -> Response<Body> {
    play.note(&method, format!("api/{org}/{name}/{revision}"), &headers);
    if let Some(refusal) = play.refusal(&headers) {
        return refusal;
    }
    if name != "model" {
        return empty(StatusCode::NOT_FOUND);
    }
    let siblings: Vec<_> = play.files.keys().map(|file| serde_json::json!({ "rfilename": file })).collect();
    Response::new(Body::from(serde_json::json!({ "sha": COMMIT, "siblings": siblings }).to_string()))
}

/// Small files are sent; the weights are a redirect to another host, as the hub does with large files.
async fn resolve(
    State(play): State<Arc<Play>>,
    method: Method,
    Segments((_, _, commit, file)): Segments<(String, String, String, String)>,
    headers: HeaderMap,
) -> Response<Body> {
    play.note(&method, format!("resolve/{file}"), &headers);
    if let Some(refusal) = play.refusal(&headers) {
        return refusal;
    }
    let Some(content) = play.files.get(&file).filter(|_| commit == COMMIT) else {
        return empty(StatusCode::NOT_FOUND);
    };
    let head = Response::builder().header("x-repo-commit", COMMIT);
    if !file.ends_with(".safetensors") {
        // A weak tag of 40 digits, as the hub gives small files.
        let etag = format!("W/\"{}\"", &play.hash(&file)[..40]);
        return head.header("etag", etag).body(Body::from(content.clone())).unwrap();
    }
    let elsewhere = headers["host"].to_str().unwrap().replace("127.0.0.1", "localhost");
    head.status(StatusCode::FOUND)
        .header("location", format!("http://{elsewhere}/cdn/{file}"))
        .header("x-linked-etag", format!("\"{}\"", play.hash(&file)))
        .header("x-linked-size", content.len())
        .body(Body::empty())
        .unwrap()
}

/// The other host: knows ranges, and breaks off when told to.
async fn cdn(
    State(play): State<Arc<Play>>,
    method: Method,
    Segments(file): Segments<String>,
    headers: HeaderMap,
) -> Response<Body> {
    play.note(&method, format!("cdn/{file}"), &headers);
    let content = play.files[&file].clone();
    let start = headers.get("range").map_or(0, |range| {
        range.to_str().unwrap().trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap()
    });
    let mut rest = content[start..].to_vec();
    let mut response = Response::builder();
    if start > 0 {
        let range = format!("bytes {start}-{}/{}", content.len() - 1, content.len());
        response = response.status(StatusCode::PARTIAL_CONTENT).header("content-range", range);
    }
    let mut breaks = play.breaks.lock().unwrap();
    if breaks.1 == 0 {
        return response.body(Body::from(rest)).unwrap();
    }
    breaks.1 -= 1;
    rest.truncate(breaks.0);
    let dead = async {
        // Lets what was sent get out before the connection goes.
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        Err(std::io::Error::other("the line went dead"))
    };
    let body = stream::once(async { Ok(rest) }).chain(stream::once(dead));
    response.body(Body::from_stream(body)).unwrap()
}

fn message(hub: &Hub, id: &str) -> String {
    match Checkpoint::open_with(id, hub) {
        Ok(_) => panic!("it was opened"),
        Err(error) => error.to_string(),
    }
}

fn repository(cache: &TempDir) -> std::path::PathBuf {
    cache.path().join("models--org--model")
}

#[test]
fn a_model_is_fetched_once_into_the_layout_of_the_python_client() {
    let (server, cache) = (Server::start(Play::fixture()), TempDir::new().unwrap());
    let hub = server.hub(&cache);
    let model = Checkpoint::open_with("org/model", &hub).unwrap();
    let local = Checkpoint::open_path(Path::new(FIXTURE)).unwrap();
    assert_eq!(model.config, local.config);
    assert_eq!(model.tensor("model.norm.weight").unwrap(), local.tensor("model.norm.weight").unwrap());
    let repository = repository(&cache);
    assert_eq!(fs::read_to_string(repository.join("refs/main")).unwrap(), COMMIT);
    let blob = repository.join("blobs").join(server.play.hash("model.safetensors"));
    assert!(blob.exists());
    let link = repository.join("snapshots").join(COMMIT).join("model.safetensors");
    assert_eq!(fs::canonicalize(&link).unwrap(), fs::canonicalize(&blob).unwrap());
    Checkpoint::open_with("org/model", &hub).unwrap();
    assert_eq!(server.play.ranges("cdn/model.safetensors").len(), 1);
    assert_eq!(server.play.ranges("resolve/config.json").len(), 1);
    assert_eq!(server.play.ranges("api/org/model/main").len(), 2);
}

/// The connection breaks twice, each time 10,000 bytes further on; nothing is asked for twice.
#[test]
fn a_broken_download_goes_on_where_it_broke() {
    let play = Play { breaks: Mutex::new((10_000, 2)), ..Play::fixture() };
    let (server, cache) = (Server::start(play), TempDir::new().unwrap());
    let model = Checkpoint::open_with("org/model", &server.hub(&cache)).unwrap();
    assert_eq!(model.tensor("model.norm.weight").unwrap().len(), 48);
    let ranges = server.play.ranges("cdn/model.safetensors");
    assert_eq!(ranges, [None, Some("bytes=10000-".into()), Some("bytes=20000-".into())]);
}

/// What an earlier process left behind is used by the next one.
#[test]
fn an_interrupted_process_is_continued_by_the_next() {
    let (server, cache) = (Server::start(Play::fixture()), TempDir::new().unwrap());
    let blobs = repository(&cache).join("blobs");
    fs::create_dir_all(&blobs).unwrap();
    let hash = server.play.hash("model.safetensors");
    let begun = &server.play.files["model.safetensors"][..5000];
    fs::write(blobs.join(format!("{hash}.incomplete")), begun).unwrap();
    Checkpoint::open_with("org/model", &server.hub(&cache)).unwrap();
    assert_eq!(server.play.ranges("cdn/model.safetensors"), [Some("bytes=5000-".into())]);
    assert!(!blobs.join(format!("{hash}.incomplete")).exists());
}

#[test]
fn contents_that_are_not_what_was_announced_are_thrown_away() {
    let play = Play { wrong_hash: Some("ab".repeat(32)), ..Play::fixture() };
    let (server, cache) = (Server::start(play), TempDir::new().unwrap());
    let message = message(&server.hub(&cache), "org/model");
    assert!(message.contains("`model.safetensors` arrived with other contents"), "{message}");
    let blobs = fs::read_dir(repository(&cache).join("blobs")).unwrap();
    assert!(blobs.flatten().all(|blob| !blob.file_name().to_string_lossy().starts_with("abab")));
}

#[test]
fn a_token_opens_gated_models_and_stays_with_the_hub() {
    let play = Play { token: Some("secret"), ..Play::fixture() };
    let (server, cache) = (Server::start(play), TempDir::new().unwrap());
    let stranger = message(&server.hub(&cache), "org/model");
    assert!(stranger.contains("401") && stranger.contains("set HF_TOKEN"), "{stranger}");
    let wrong = message(&server.hub(&cache).with_token("guess"), "org/model");
    assert!(wrong.contains("the token may not read it"), "{wrong}");
    assert!(Checkpoint::open_with("org/model", &server.hub(&cache).with_token("secret")).is_ok());
    let seen = server.play.seen.lock().unwrap();
    assert!(seen.iter().filter(|seen| seen.path.starts_with("cdn/")).all(|seen| !seen.authorized));
    assert!(seen.iter().any(|seen| seen.path.starts_with("cdn/")));
}

#[test]
fn a_repository_that_is_not_there_is_said_so() {
    let (server, cache) = (Server::start(Play::fixture()), TempDir::new().unwrap());
    let message = message(&server.hub(&cache), "org/typo");
    assert!(
        message.starts_with("org/typo could not be fetched: the hub has no such repository"),
        "{message}"
    );
}

#[test]
fn no_request_is_made_for_what_is_no_id() {
    let (server, cache) = (Server::start(Play::fixture()), TempDir::new().unwrap());
    for id in ["org/../model", "org/mo del", "org/model@../x", "a/b/c/d"] {
        let message = message(&server.hub(&cache), id);
        assert!(message.contains("is no id of the hub"), "{message}");
    }
    assert!(server.play.seen.lock().unwrap().is_empty());
}

#[test]
fn offline_uses_the_cache_and_asks_nobody() {
    let (server, cache) = (Server::start(Play::fixture()), TempDir::new().unwrap());
    let offline = server.hub(&cache).offline();
    let absent = message(&offline, "org/model");
    assert!(absent.contains("HF_HUB_OFFLINE forbids"), "{absent}");
    assert!(server.play.seen.lock().unwrap().is_empty());
    Checkpoint::open_with("org/model", &server.hub(&cache)).unwrap();
    let asked = server.play.seen.lock().unwrap().len();
    Checkpoint::open_with("org/model", &offline).unwrap();
    Checkpoint::open_with(&format!("org/model@{COMMIT}"), &offline).unwrap();
    assert_eq!(server.play.seen.lock().unwrap().len(), asked);
    fs::remove_file(repository(&cache).join("snapshots").join(COMMIT).join("model.safetensors")).unwrap();
    assert!(message(&offline, "org/model").contains("it is not (all) in"));
}

#[test]
fn an_unreachable_hub_is_no_obstacle_to_what_was_fetched() {
    let cache = TempDir::new().unwrap();
    let server = Server::start(Play::fixture());
    let hub = server.hub(&cache);
    Checkpoint::open_with("org/model", &hub).unwrap();
    drop(server);
    Checkpoint::open_with("org/model", &hub).unwrap();
    let other = message(&hub, "org/other");
    assert!(other.contains("does not answer") && other.contains("not in the cache"), "{other}");
}

#[test]
fn a_hub_in_trouble_is_not_a_missing_model() {
    let play = Play { status: Some(StatusCode::SERVICE_UNAVAILABLE), ..Play::fixture() };
    let (server, cache) = (Server::start(play), TempDir::new().unwrap());
    let message = message(&server.hub(&cache), "org/model");
    assert!(message.contains("503"), "{message}");
}

#[test]
fn a_repository_without_a_model_says_what_it_has() {
    let mut play = Play::fixture();
    play.files.remove("config.json");
    play.files.insert("small.Q4_0.gguf".into(), b"no gguf".to_vec());
    let (server, cache) = (Server::start(play), TempDir::new().unwrap());
    let hub = server.hub(&cache);
    let bare = message(&hub, "org/model");
    assert!(bare.contains("no `config.json`") && bare.contains("small.Q4_0.gguf"), "{bare}");
    let wrong = message(&hub, "org/model/large.gguf");
    assert!(wrong.contains("there is no `large.gguf`"), "{wrong}");
    // The file is fetched and then read as what it is: no GGUF.
    let read = message(&hub, "org/model/small.Q4_0.gguf");
    assert!(read.contains("small.Q4_0.gguf: "), "{read}");
    assert_eq!(server.play.ranges("resolve/small.Q4_0.gguf").len(), 1);
}

#[test]
fn several_weight_files_are_fetched_by_their_index() {
    let mut play = Play::fixture();
    let weights = play.files.remove("model.safetensors").unwrap();
    play.files.insert("model-00001-of-00001.safetensors".into(), weights);
    let tensors = Checkpoint::open_path(Path::new(FIXTURE)).unwrap().config.tensors();
    let place = |name: String| (name, "model-00001-of-00001.safetensors".into());
    let map: serde_json::Map<String, serde_json::Value> =
        tensors.into_iter().map(|(name, _)| place(name)).collect();
    let index = serde_json::json!({ "weight_map": map }).to_string();
    play.files.insert("model.safetensors.index.json".into(), index.into_bytes());
    let (server, cache) = (Server::start(play), TempDir::new().unwrap());
    assert!(Checkpoint::open_with("org/model", &server.hub(&cache)).is_ok());
}

/// What cannot be opened is said after a few kilobytes, not after the weights.
#[test]
fn a_model_that_cannot_be_used_is_refused_before_its_weights_are_fetched() {
    let config = |key: &str, value: serde_json::Value| {
        let mut play = Play::fixture();
        let mut json: serde_json::Value = serde_json::from_slice(&play.files["config.json"]).unwrap();
        json[key] = value;
        play.files.insert("config.json".into(), json.to_string().into_bytes());
        play
    };
    for (play, expected) in [
        (config("model_type", "mamba".into()), "models of type `mamba` are not supported"),
        (config("quantization_config", serde_json::json!({ "bits": 4 })), "quantised weights"),
        (config("intermediate_size", (1 << 30).into()), "GiB of memory"),
    ] {
        let (server, cache) = (Server::start(play), TempDir::new().unwrap());
        let message = message(&server.hub(&cache), "org/model");
        assert!(message.contains(expected), "{expected}: {message}");
        assert!(server.play.ranges("cdn/model.safetensors").is_empty());
        assert!(server.play.ranges("resolve/tokenizer.json").is_empty());
    }
}

/// A link that leads nowhere is replaced, and nothing is left beside it.
#[cfg(unix)]
#[test]
fn a_dead_link_is_replaced_in_one_step() {
    let (server, cache) = (Server::start(Play::fixture()), TempDir::new().unwrap());
    let snapshot = repository(&cache).join("snapshots").join(COMMIT);
    fs::create_dir_all(&snapshot).unwrap();
    std::os::unix::fs::symlink("../../blobs/gone", snapshot.join("config.json")).unwrap();
    Checkpoint::open_with("org/model", &server.hub(&cache)).unwrap();
    let names = fs::read_dir(&snapshot).unwrap().flatten().map(|entry| entry.file_name());
    assert!(names.into_iter().all(|name| !name.to_string_lossy().ends_with(".part")));
}

/// A fetch must not bring a runtime of its own into the caller's.
#[test]
fn fetching_works_inside_asynchronous_code() {
    let (server, cache) = (Server::start(Play::fixture()), TempDir::new().unwrap());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let hub = server.hub(&cache);
    assert!(runtime.block_on(async { Checkpoint::open_with("org/model", &hub).is_ok() }));
}
