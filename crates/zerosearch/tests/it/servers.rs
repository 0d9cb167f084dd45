//! Several servers, in processes of their own: one is killed and comes back, one dies in the middle of a run.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use zerosearch::run::lines;
use zerosearch_search::{
    Dialect, Query, RetrieveEngine, RetrieveSettings, SearchEngine, SearchError, ServerCounts,
};

use serde_json::{Map, Value};

use crate::program::{Desk, questions, stderr};
use crate::resumes::{files, metrics, searchers_recipe};
use crate::server::{Bad, Manner, Simulator};
use crate::serving::{CORPUS, Served};

fn engine(urls: &[&str]) -> RetrieveEngine {
    let urls = urls.iter().map(|&url| url.to_owned()).collect();
    let settings = RetrieveSettings {
        pause: Duration::from_millis(5),
        tries: 1,
        timeout: Duration::from_secs(20),
        ..RetrieveSettings::new(urls, Dialect::SearchR1)
    };
    RetrieveEngine::new(settings).unwrap()
}

async fn search(engine: &RetrieveEngine) -> Result<String, SearchError> {
    let query = Query { text: "who wrote Emma".into(), k: 1, labels: None, seed: 0, context: None };
    engine.search(&query).await.map(|found| found[0].title.clone())
}

/// Calls that are under way when the process dies are answered by the other server: each has a single try.
#[test]
fn a_server_that_is_killed_is_passed_over_and_asked_again_when_it_is_back() {
    let desk = Desk::new();
    desk.write("corpus.jsonl", CORPUS.as_bytes());
    let words = "search --engine bm25 --corpus corpus.jsonl";
    let (mut one, other) = (Served::start(&desk, words), Served::start(&desk, words));
    let address = one.url().to_owned();
    let both = Arc::new(engine(&[&address, other.url()]));
    let calls = |count: usize| {
        let both = Arc::clone(&both);
        async move {
            for found in join_all((0..count).map(|_| search(&both))).await {
                assert_eq!(found.unwrap(), "Emma");
            }
        }
    };
    other.block_on(async {
        both.check().await.unwrap();
        calls(20).await;
        let under_way = tokio::spawn(calls(200));
        one.kill();
        under_way.await.unwrap();
        calls(20).await;
    });
    assert_eq!(both.servers().counts(), ServerCounts { all: 2, up: 1, removed: 1, returned: 0 });

    let port = address.rsplit(':').next().unwrap();
    let again = Served::on_port(&desk, words, port);
    let answered =
        |server: &Served| server.figure("zerosearch_requests_total{route=\"/retrieve\",status=\"200\"}");
    other.block_on(async {
        let returned = async {
            while both.servers().counts().returned == 0 {
                calls(1).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), returned).await.expect("it rests for 30 s at most");
        calls(20).await;
    });
    assert_eq!(both.servers().counts(), ServerCounts { all: 2, up: 2, removed: 1, returned: 1 });
    assert!(answered(&again) >= 10.0, "it takes its share again: {}", answered(&again));

    drop((again, other));
    let told = tokio::runtime::Runtime::new().unwrap().block_on(search(&both)).unwrap_err().to_string();
    assert!(told.starts_with("none of 2 servers answered, 2 tries: "), "{told}");
    assert!(told.matches("could not be reached").count() == 2 && told.contains(&address), "{told}");
}

/// No two replies of these servers are alike. The first dies in the middle; what it said stays said when the run goes on
/// with a third server, which is asked for nothing.
#[test]
fn a_run_whose_server_dies_loses_nothing_and_is_the_same_when_it_is_played_again() {
    let desk = Desk::new();
    desk.write("questions.jsonl", questions());
    let (dying, well) = (Simulator::with(Manner::WellUntil(12, Bad::Down)), Simulator::start());
    let servers = format!(
        "urls = [\"{}\", \"{}=0.5\"]\nmodel_name = \"sim\"\ntimeout_s = 5.0\nretries = 0\n",
        dying.url(),
        well.url()
    );
    desk.write("recipe.toml", searchers_recipe(&desk, "simulated", &servers, 6));
    let output = desk.run(&["train", "recipe.toml", "--run", "run"]);
    let told = stderr(&output);
    assert!(
        output.status.success() && told.contains("is set aside until it is well again, 1 of 2 go on"),
        "{told}"
    );
    let rows: Vec<Map<String, Value>> = lines(&desk.path("run/metrics.jsonl")).unwrap();
    assert!(rows.iter().all(|row| row["endings/broken"] == 0.0), "{rows:?}");
    assert_eq!((&rows[5]["perf/servers_up"], &rows[5]["perf/servers_removed"]), (&1.0.into(), &1.0.into()));
    assert!(dying.calls() > 12 && well.calls() > 1);

    let before = (metrics(&desk, "run"), files(&desk.path("run/checkpoints/000006")));
    std::fs::remove_dir_all(desk.path("run/checkpoints/000006")).unwrap();
    let third = Simulator::start();
    desk.succeed(&["train", "--resume", "run", "--set", &format!("simulator.urls=[\"{}\"]", third.url())]);
    assert_eq!(third.calls(), 1, "only the call that sees whether the server is there");
    assert!(before == (metrics(&desk, "run"), files(&desk.path("run/checkpoints/000006"))));
}
