//! Models of a hub on this machine.

use std::fs;
use std::path::Path;
use std::sync::Mutex;

use tempfile::TempDir;
use zerosearch_hub::Hub;
use zerosearch_hub::loopback::{COMMIT, Loopback, Play};

use crate::weights::checkpoint::Checkpoint;

const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/llama-tiny");

/// The files of the smallest fixture.
fn fixture() -> Play {
    let names = [
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
        "model.safetensors",
    ];
    Play::of(names.map(|name| (name, fs::read(Path::new(FIXTURE).join(name)).unwrap())))
}

fn begun(play: Play) -> (Loopback, TempDir) {
    (Loopback::start(play).unwrap(), TempDir::new().unwrap())
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
    let (server, cache) = begun(fixture());
    let hub = server.hub(cache.path());
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
    let play = Play { breaks: Mutex::new((10_000, 2)), ..fixture() };
    let (server, cache) = begun(play);
    let model = Checkpoint::open_with("org/model", &server.hub(cache.path())).unwrap();
    assert_eq!(model.tensor("model.norm.weight").unwrap().len(), 48);
    let ranges = server.play.ranges("cdn/model.safetensors");
    assert_eq!(ranges, [None, Some("bytes=10000-".into()), Some("bytes=20000-".into())]);
}

/// What an earlier process left behind is used by the next one.
#[test]
fn an_interrupted_process_is_continued_by_the_next() {
    let (server, cache) = begun(fixture());
    let blobs = repository(&cache).join("blobs");
    fs::create_dir_all(&blobs).unwrap();
    let hash = server.play.hash("model.safetensors");
    let begun = &server.play.files["model.safetensors"][..5000];
    fs::write(blobs.join(format!("{hash}.incomplete")), begun).unwrap();
    Checkpoint::open_with("org/model", &server.hub(cache.path())).unwrap();
    assert_eq!(server.play.ranges("cdn/model.safetensors"), [Some("bytes=5000-".into())]);
    assert!(!blobs.join(format!("{hash}.incomplete")).exists());
}

#[test]
fn contents_that_are_not_what_was_announced_are_thrown_away() {
    let play = Play { wrong_hash: Some("ab".repeat(32)), ..fixture() };
    let (server, cache) = begun(play);
    let message = message(&server.hub(cache.path()), "org/model");
    assert!(message.contains("`model.safetensors` arrived with other contents"), "{message}");
    let blobs = fs::read_dir(repository(&cache).join("blobs")).unwrap();
    assert!(blobs.flatten().all(|blob| !blob.file_name().to_string_lossy().starts_with("abab")));
}

#[test]
fn a_token_opens_gated_models_and_stays_with_the_hub() {
    let play = Play { token: Some("secret"), ..fixture() };
    let (server, cache) = begun(play);
    let stranger = message(&server.hub(cache.path()), "org/model");
    assert!(stranger.contains("401") && stranger.contains("set HF_TOKEN"), "{stranger}");
    let wrong = message(&server.hub(cache.path()).with_token("guess"), "org/model");
    assert!(wrong.contains("the token may not read it"), "{wrong}");
    assert!(Checkpoint::open_with("org/model", &server.hub(cache.path()).with_token("secret")).is_ok());
    let seen = server.play.requests();
    assert!(seen.iter().filter(|seen| seen.path.starts_with("cdn/")).all(|seen| !seen.authorized));
    assert!(seen.iter().any(|seen| seen.path.starts_with("cdn/")));
}

#[test]
fn a_repository_that_is_not_there_is_said_so() {
    let (server, cache) = begun(fixture());
    let message = message(&server.hub(cache.path()), "org/typo");
    assert!(
        message.starts_with("org/typo could not be fetched: the hub has no such repository"),
        "{message}"
    );
}

#[test]
fn no_request_is_made_for_what_is_no_id() {
    let (server, cache) = begun(fixture());
    for id in ["org/../model", "org/mo del", "org/model@../x", "a/b/c/d"] {
        let message = message(&server.hub(cache.path()), id);
        assert!(message.contains("is no id of the hub"), "{message}");
    }
    assert!(server.play.requests().is_empty());
}

#[test]
fn offline_uses_the_cache_and_asks_nobody() {
    let (server, cache) = begun(fixture());
    let offline = server.hub(cache.path()).offline();
    let absent = message(&offline, "org/model");
    assert!(absent.contains("HF_HUB_OFFLINE forbids"), "{absent}");
    assert!(server.play.requests().is_empty());
    Checkpoint::open_with("org/model", &server.hub(cache.path())).unwrap();
    let asked = server.play.requests().len();
    Checkpoint::open_with("org/model", &offline).unwrap();
    Checkpoint::open_with(&format!("org/model@{COMMIT}"), &offline).unwrap();
    assert_eq!(server.play.requests().len(), asked);
    fs::remove_file(repository(&cache).join("snapshots").join(COMMIT).join("model.safetensors")).unwrap();
    assert!(message(&offline, "org/model").contains("it is not (all) in"));
}

#[test]
fn an_unreachable_hub_is_no_obstacle_to_what_was_fetched() {
    let cache = TempDir::new().unwrap();
    let server = Loopback::start(fixture()).unwrap();
    let hub = server.hub(cache.path());
    Checkpoint::open_with("org/model", &hub).unwrap();
    drop(server);
    Checkpoint::open_with("org/model", &hub).unwrap();
    let other = message(&hub, "org/other");
    assert!(other.contains("does not answer") && other.contains("not in the cache"), "{other}");
}

#[test]
fn a_hub_in_trouble_is_not_a_missing_model() {
    let play = Play { status: Some(503), ..fixture() };
    let (server, cache) = begun(play);
    let message = message(&server.hub(cache.path()), "org/model");
    assert!(message.contains("503"), "{message}");
}

#[test]
fn a_repository_without_a_model_says_what_it_has() {
    let mut play = fixture();
    play.files.remove("config.json");
    play.files.insert("small.Q4_0.gguf".into(), b"no gguf".to_vec());
    let (server, cache) = begun(play);
    let hub = server.hub(cache.path());
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
    let mut play = fixture();
    let weights = play.files.remove("model.safetensors").unwrap();
    play.files.insert("model-00001-of-00001.safetensors".into(), weights);
    let tensors = Checkpoint::open_path(Path::new(FIXTURE)).unwrap().config.tensors();
    let place = |name: String| (name, "model-00001-of-00001.safetensors".into());
    let map: serde_json::Map<String, serde_json::Value> =
        tensors.into_iter().map(|(name, _)| place(name)).collect();
    let index = serde_json::json!({ "weight_map": map }).to_string();
    play.files.insert("model.safetensors.index.json".into(), index.into_bytes());
    let (server, cache) = begun(play);
    assert!(Checkpoint::open_with("org/model", &server.hub(cache.path())).is_ok());
}

/// What cannot be opened is said after a few kilobytes, not after the weights.
#[test]
fn a_model_that_cannot_be_used_is_refused_before_its_weights_are_fetched() {
    let config = |key: &str, value: serde_json::Value| {
        let mut play = fixture();
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
        let (server, cache) = begun(play);
        let message = message(&server.hub(cache.path()), "org/model");
        assert!(message.contains(expected), "{expected}: {message}");
        assert!(server.play.ranges("cdn/model.safetensors").is_empty());
        assert!(server.play.ranges("resolve/tokenizer.json").is_empty());
    }
}

/// A link that leads nowhere is replaced, and nothing is left beside it.
#[cfg(unix)]
#[test]
fn a_dead_link_is_replaced_in_one_step() {
    let (server, cache) = begun(fixture());
    let snapshot = repository(&cache).join("snapshots").join(COMMIT);
    fs::create_dir_all(&snapshot).unwrap();
    std::os::unix::fs::symlink("../../blobs/gone", snapshot.join("config.json")).unwrap();
    Checkpoint::open_with("org/model", &server.hub(cache.path())).unwrap();
    let names = fs::read_dir(&snapshot).unwrap().flatten().map(|entry| entry.file_name());
    assert!(names.into_iter().all(|name| !name.to_string_lossy().ends_with(".part")));
}

/// A fetch must not bring a runtime of its own into the caller's.
#[test]
fn fetching_works_inside_asynchronous_code() {
    let (server, cache) = begun(fixture());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let hub = server.hub(cache.path());
    assert!(runtime.block_on(async { Checkpoint::open_with("org/model", &hub).is_ok() }));
}
