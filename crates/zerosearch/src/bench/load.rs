//! Load: many clients at once against a search server, each asking again as soon as it is answered.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use reqwest::{Client, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// Who asks what, and how often.
#[derive(Clone, Debug)]
pub struct Load {
    /// The server's address, without a path.
    pub url: String,
    /// Clients at once, each with a connection of its own.
    pub clients: usize,
    /// Requests of each.
    pub requests: usize,
    /// Documents of each request.
    pub k: usize,
    /// What is searched for, in turn.
    pub queries: Vec<String>,
    /// How long an answer is waited for.
    pub patience: Duration,
}

/// What a server reached under a load.
#[derive(Debug, Serialize)]
pub struct LoadFigures {
    clients: usize,
    requests: usize,
    /// Requests with no answer, one that is no list of documents, or a status other than 200, 429 and 503.
    lost: usize,
    /// Requests that were told to come back (429, 503).
    turned_away: usize,
    documents: usize,
    /// From the first request to the last answer; connections are made anew.
    seconds: f64,
    requests_per_second: f64,
    /// Milliseconds from a request to its whole answer, over all that were answered.
    p50_ms: f64,
    p90_ms: f64,
    p99_ms: f64,
    max_ms: f64,
}

/// What became of one request.
enum Outcome {
    Answered { documents: usize, ms: f64 },
    TurnedAway,
    Lost,
}

/// Measures a server under `load`.
///
/// # Errors
/// A server that does not answer a first request: then nothing is measured.
pub async fn load(load: &Load) -> Result<LoadFigures> {
    let client =
        Client::builder().no_proxy().pool_max_idle_per_host(load.clients).timeout(load.patience).build()?;
    let refused = || format!("{} does not answer as a search server", load.url);
    let first = ask(&client, load, 0).await.with_context(refused)?;
    anyhow::ensure!(matches!(first, Outcome::Answered { .. }), "{} refuses requests of one client", load.url);
    let began = Instant::now();
    let mut clients = JoinSet::new();
    for number in 0..load.clients {
        let (client, load) = (client.clone(), load.clone());
        clients.spawn(async move {
            let mut outcomes = Vec::with_capacity(load.requests);
            for request in 0..load.requests {
                let asked = ask(&client, &load, number * load.requests + request).await;
                outcomes.push(asked.unwrap_or(Outcome::Lost));
            }
            outcomes
        });
    }
    let outcomes: Vec<Outcome> = clients.join_all().await.into_iter().flatten().collect();
    Ok(figures(load, &outcomes, began.elapsed().as_secs_f64()))
}

/// One request in the dialect of Search-R1.
async fn ask(client: &Client, load: &Load, number: usize) -> Result<Outcome> {
    let query = &load.queries[number % load.queries.len()];
    let body = json!({"queries": [query], "topk": load.k, "return_scores": true});
    let began = Instant::now();
    let response = client.post(format!("{}/retrieve", load.url)).json(&body).send().await?;
    let status = response.status();
    let bytes = response.bytes().await?;
    let ms = began.elapsed().as_secs_f64() * 1e3;
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        return Ok(Outcome::TurnedAway);
    }
    let reply: Value = serde_json::from_slice(&bytes)?;
    let documents = reply["result"][0].as_array().map(Vec::len);
    Ok(match (status, documents) {
        (StatusCode::OK, Some(documents)) => Outcome::Answered { documents, ms },
        _ => Outcome::Lost,
    })
}

fn figures(load: &Load, outcomes: &[Outcome], seconds: f64) -> LoadFigures {
    let (mut lost, mut turned_away, mut found, mut times) = (0, 0, 0, Vec::new());
    for outcome in outcomes {
        match outcome {
            Outcome::Answered { documents, ms } => {
                found += documents;
                times.push(*ms);
            }
            Outcome::TurnedAway => turned_away += 1,
            Outcome::Lost => lost += 1,
        }
    }
    times.sort_by(f64::total_cmp);
    // Nearest rank.
    let percentile = |percent: usize| {
        let rank = (times.len() * percent).div_ceil(100).max(1);
        times.get(rank - 1).copied().unwrap_or(f64::NAN)
    };
    LoadFigures {
        clients: load.clients,
        requests: outcomes.len(),
        lost,
        turned_away,
        documents: found,
        seconds,
        requests_per_second: times.len() as f64 / seconds,
        p50_ms: percentile(50),
        p90_ms: percentile(90),
        p99_ms: percentile(99),
        max_ms: percentile(100),
    }
}
