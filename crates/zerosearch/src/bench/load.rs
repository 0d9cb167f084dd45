//! Load: many clients at once against a search server, each asking again as soon as it is answered.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Client, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::problem::{Problem, problem};

/// Who asks what, and how often.
#[derive(Clone, Debug)]
pub struct Load {
    /// The server's address, without a path.
    pub url: String,
    /// What the server wants to be shown as `Authorization`.
    pub authorization: Option<HeaderValue>,
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

/// What a server said.
struct Reply {
    status: StatusCode,
    body: Vec<u8>,
    ms: f64,
}

/// Letters of a server's own words that are shown.
const SHOWN: usize = 300;

impl Reply {
    fn outcome(&self) -> Outcome {
        if matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            return Outcome::TurnedAway;
        }
        let documents = self.json()["result"][0].as_array().map(Vec::len);
        match (self.status, documents) {
            (StatusCode::OK, Some(documents)) => Outcome::Answered { documents, ms: self.ms },
            _ => Outcome::Lost,
        }
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Why the server at `url` is not measured.
    fn problem(&self, url: &str) -> Problem {
        let told = self.json();
        let message = [&told["error"]["message"], &told["detail"]].into_iter().find_map(Value::as_str);
        let words = message.map_or_else(|| String::from_utf8_lossy(&self.body), Into::into);
        let words: String = words.trim().chars().take(SHOWN).collect();
        let what = match self.status {
            StatusCode::OK => "answers a first request with no list of documents".to_owned(),
            status => format!("refuses a first request: {status}"),
        };
        let hint = match self.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                "`--token-env VARIABLE` names the environment variable with the token"
            }
            StatusCode::OK | StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
                "`--url` is the address of a search server, such as http://localhost:8000, which answers POST /retrieve"
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                "wait until the server has time, or start it with other limits"
            }
            _ => "ask for what the server gives: `--k`, `--queries`",
        };
        problem(format!("{url} {what}: {words}")).hint(hint)
    }
}

/// Measures a server under `load`.
///
/// # Errors
/// A server that does not answer a first request with documents: then nothing is measured.
pub async fn load(load: &Load) -> Result<LoadFigures> {
    let headers: HeaderMap = load.authorization.iter().map(|shown| (AUTHORIZATION, shown.clone())).collect();
    let client = Client::builder().no_proxy().default_headers(headers);
    let client = client.pool_max_idle_per_host(load.clients).timeout(load.patience).build()?;
    let refused = || format!("{} does not answer as a search server", load.url);
    let first = ask(&client, load, 0).await.with_context(refused)?;
    if !matches!(first.outcome(), Outcome::Answered { .. }) {
        return Err(first.problem(&load.url).into());
    }
    let began = Instant::now();
    let mut clients = JoinSet::new();
    for number in 0..load.clients {
        let (client, load) = (client.clone(), load.clone());
        clients.spawn(async move {
            let mut outcomes = Vec::with_capacity(load.requests);
            for request in 0..load.requests {
                let asked = ask(&client, &load, number * load.requests + request).await;
                outcomes.push(asked.map_or(Outcome::Lost, |reply| reply.outcome()));
            }
            outcomes
        });
    }
    let outcomes: Vec<Outcome> = clients.join_all().await.into_iter().flatten().collect();
    Ok(figures(load, &outcomes, began.elapsed().as_secs_f64()))
}

/// One request in the dialect of Search-R1.
async fn ask(client: &Client, load: &Load, number: usize) -> reqwest::Result<Reply> {
    let query = &load.queries[number % load.queries.len()];
    let body = json!({"queries": [query], "topk": load.k, "return_scores": true});
    let began = Instant::now();
    let response = client.post(format!("{}/retrieve", load.url)).json(&body).send().await?;
    let status = response.status();
    let body = response.bytes().await?.to_vec();
    Ok(Reply { status, body, ms: began.elapsed().as_secs_f64() * 1e3 })
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
