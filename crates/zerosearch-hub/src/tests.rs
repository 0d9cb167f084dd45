//! The client against a hub on this machine.

use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;

use tempfile::TempDir;

use crate::loopback::{COMMIT, Loopback, Play};
use crate::{Hub, HubError, Kind, Repository};

/// A data set of one plain file and two shards.
fn data() -> Play {
    let shard = |byte: u8| vec![byte; 30_000];
    let files = [
        ("README.md", b"# Data".to_vec()),
        ("nq/test set.jsonl", b"{}\n".to_vec()),
        ("data/train-00000-of-00002.parquet", shard(1)),
        ("data/train-00001-of-00002.parquet", shard(2)),
    ];
    Play { repository: "datasets/org/data", revisions: vec!["main", "v1.0", "refs/pr/3"], ..Play::of(files) }
}

const SHARD: &str = "data/train-00000-of-00002.parquet";

fn begun(play: Play) -> (Loopback, TempDir) {
    (Loopback::start(play).unwrap(), TempDir::new().unwrap())
}

fn dataset(revision: &str) -> Repository {
    Repository::new(Kind::Dataset, "org/data", Some(revision)).unwrap()
}

/// Fetches one file.
fn fetch(hub: &Hub, repository: &Repository, name: &str) -> Result<PathBuf, HubError> {
    hub.take(repository, |snapshot| snapshot.file(name))
}

#[test]
fn a_file_of_a_data_set_lies_where_the_python_client_puts_it() {
    let (server, cache) = begun(data());
    let hub = server.hub(cache.path());
    let folder = cache.path().join("datasets--org--data");
    let small = fetch(&hub, &dataset("main"), "nq/test set.jsonl").unwrap();
    assert_eq!(small, folder.join("snapshots").join(COMMIT).join("nq/test set.jsonl"));
    assert_eq!(fs::read(small).unwrap(), b"{}\n");
    let shard = fetch(&hub, &dataset("main"), SHARD).unwrap();
    let blob = folder.join("blobs").join(server.play.hash(SHARD));
    assert_eq!(fs::canonicalize(shard).unwrap(), fs::canonicalize(blob).unwrap());
    assert_eq!(fs::read_to_string(folder.join("refs/main")).unwrap(), COMMIT);
    fetch(&hub, &dataset("main"), SHARD).unwrap();
    assert_eq!(server.play.ranges(&format!("cdn/{SHARD}")).len(), 1);
}

#[test]
fn a_revision_is_asked_for_and_remembered_by_its_name() {
    let (server, cache) = begun(data());
    let hub = server.hub(cache.path());
    for revision in ["v1.0", "refs/pr/3", COMMIT] {
        fetch(&hub, &dataset(revision), "README.md").unwrap();
        fetch(&hub.clone().offline(), &dataset(revision), "README.md").unwrap();
    }
    let asked: Vec<String> = server.play.requests().into_iter().map(|seen| seen.path).collect();
    assert!(asked.contains(&"api/org/data/refs/pr/3".to_owned()), "{asked:?}");
    let error = fetch(&hub, &dataset("v2.0"), "README.md").unwrap_err().to_string();
    assert!(error.starts_with("hf://datasets/org/data@v2.0 could not be fetched"), "{error}");
    assert!(error.contains("no such repository or revision (404"), "{error}");
}

/// Without the hub the listing of an earlier time tells the same files, fetched or not.
#[test]
fn the_listing_is_the_same_with_and_without_the_hub() {
    let (server, cache) = begun(data());
    let hub = server.hub(cache.path());
    let listed = |hub: &Hub| {
        hub.take(&dataset("main"), |snapshot| {
            snapshot.file("README.md")?;
            Ok::<_, HubError>((snapshot.is_complete(), snapshot.files().to_vec()))
        })
        .unwrap()
    };
    let now = listed(&hub);
    assert_eq!((now.0, now.1.len()), (true, 4));
    let offline = hub.offline();
    assert_eq!(listed(&offline), now);
    fs::remove_dir_all(cache.path().join("datasets--org--data/listings")).unwrap();
    assert_eq!(listed(&offline), (false, vec!["README.md".to_owned()]));
}

#[test]
fn off_line_the_cache_is_used_and_nobody_asked() {
    let (server, cache) = begun(data());
    let offline = server.hub(cache.path()).offline();
    let absent = fetch(&offline, &dataset("main"), "README.md").unwrap_err().to_string();
    assert!(absent.contains("HF_HUB_OFFLINE forbids"), "{absent}");
    assert!(server.play.requests().is_empty());
    fetch(&server.hub(cache.path()), &dataset("main"), "README.md").unwrap();
    let asked = server.play.requests().len();
    fetch(&offline, &dataset("main"), "README.md").unwrap();
    let other = fetch(&offline, &dataset("main"), SHARD).unwrap_err().to_string();
    assert!(other.contains("it is not (all) in"), "{other}");
    assert_eq!(server.play.requests().len(), asked);
}

#[test]
fn an_unreachable_hub_is_no_obstacle_to_what_was_fetched() {
    let (server, cache) = begun(data());
    let hub = server.hub(cache.path());
    fetch(&hub, &dataset("main"), SHARD).unwrap();
    drop(server);
    assert!(fetch(&hub, &dataset("main"), SHARD).unwrap().exists());
    let other = fetch(&hub, &dataset("main"), "README.md").unwrap_err().to_string();
    assert!(other.contains("does not answer") && other.contains("not in the cache"), "{other}");
}

/// What the caller finds wrong with a file is its own error, from the hub and from the cache.
#[test]
fn a_callers_own_refusal_is_handed_through() {
    let (server, cache) = begun(data());
    #[derive(Debug)]
    struct Own(String);
    impl From<HubError> for Own {
        fn from(error: HubError) -> Self {
            Self(error.to_string())
        }
    }
    let hub = server.hub(cache.path());
    fetch(&hub, &dataset("main"), "README.md").unwrap();
    for hub in [hub.clone(), hub.offline()] {
        let taken = hub.take(&dataset("main"), |snapshot| {
            snapshot.file("README.md")?;
            Err::<(), _>(Own("I do not like it".into()))
        });
        assert_eq!(taken.unwrap_err().0, "I do not like it");
    }
}

/// The connection breaks twice, each time 10,000 bytes further on; nothing is asked for twice.
#[test]
fn a_broken_download_goes_on_where_it_broke() {
    let (server, cache) = begun(Play { breaks: Mutex::new((10_000, 2)), ..data() });
    let path = fetch(&server.hub(cache.path()), &dataset("main"), SHARD).unwrap();
    assert_eq!(fs::read(path).unwrap(), server.play.files[SHARD]);
    let ranges = server.play.ranges(&format!("cdn/{SHARD}"));
    assert_eq!(ranges, [None, Some("bytes=10000-".into()), Some("bytes=20000-".into())]);
}

/// What an earlier process left behind is used by the next one.
#[test]
fn half_a_file_is_continued_by_the_next_process() {
    let (server, cache) = begun(data());
    let blobs = cache.path().join("datasets--org--data/blobs");
    fs::create_dir_all(&blobs).unwrap();
    let half = blobs.join(format!("{}.incomplete", server.play.hash(SHARD)));
    fs::write(&half, &server.play.files[SHARD][..5000]).unwrap();
    fetch(&server.hub(cache.path()), &dataset("main"), SHARD).unwrap();
    assert_eq!(server.play.ranges(&format!("cdn/{SHARD}")), [Some("bytes=5000-".into())]);
    assert!(!half.exists());
}

#[test]
fn contents_that_are_not_what_was_announced_are_thrown_away() {
    let (server, cache) = begun(Play { wrong_hash: Some("ab".repeat(32)), ..data() });
    let error = fetch(&server.hub(cache.path()), &dataset("main"), SHARD).unwrap_err().to_string();
    assert!(error.contains("arrived with other contents"), "{error}");
    let blobs = fs::read_dir(cache.path().join("datasets--org--data/blobs")).unwrap();
    assert!(blobs.flatten().all(|blob| !blob.file_name().to_string_lossy().starts_with("abab")));
}

#[test]
fn a_token_opens_private_data_and_stays_with_the_hub() {
    let (server, cache) = begun(Play { token: Some("secret"), ..data() });
    let hub = server.hub(cache.path());
    let told = |hub: &Hub| fetch(hub, &dataset("main"), SHARD).unwrap_err().to_string();
    let stranger = told(&hub);
    assert!(stranger.contains("401") && stranger.contains("set HF_TOKEN"), "{stranger}");
    let wrong = told(&hub.clone().with_token("guess"));
    assert!(wrong.contains("the token may not read it") && wrong.contains("/datasets/org/data"), "{wrong}");
    fetch(&hub.with_token("secret"), &dataset("main"), SHARD).unwrap();
    let seen = server.play.requests();
    let sent = seen.iter().filter(|seen| seen.path.starts_with("cdn/")).collect::<Vec<_>>();
    assert!(!sent.is_empty() && sent.iter().all(|seen| !seen.authorized));
}

#[test]
fn a_hub_in_trouble_is_not_a_missing_repository() {
    let (server, cache) = begun(Play { status: Some(503), ..data() });
    let error = fetch(&server.hub(cache.path()), &dataset("main"), SHARD).unwrap_err().to_string();
    assert!(error.contains("503") && error.contains("does not answer"), "{error}");
}

/// A name that a hostile hub might list.
#[test]
fn a_file_cannot_leave_the_cache() {
    let mut play = data();
    play.files.insert("../../../escaped".into(), b"x".to_vec());
    let (server, cache) = begun(play);
    let error =
        fetch(&server.hub(cache.path()), &dataset("main"), "../../../escaped").unwrap_err().to_string();
    assert!(error.contains("is no name of a file"), "{error}");
    assert!(server.play.requests().iter().all(|seen| seen.path.starts_with("api/")));
}

/// A fetch must not bring a runtime of its own into the caller's.
#[test]
fn fetching_works_inside_asynchronous_code() {
    let (server, cache) = begun(data());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let hub = server.hub(cache.path());
    assert!(runtime.block_on(async { fetch(&hub, &dataset("main"), SHARD).is_ok() }));
}
