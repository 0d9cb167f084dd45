//! The stub: a simulator's server in a process of its own that answers every call after the same time.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use axum::body::Bytes;
use axum::routing::post;
use axum::serve::ListenerExt;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::Semaphore;

/// How a stub answers.
#[derive(Clone, Copy, Debug)]
pub struct Answering {
    /// From the moment that a call has a slot to its answer.
    pub latency: Duration,
    /// Calls that are answered at once; a further one waits for a slot.
    pub slots: usize,
}

/// Serves chat completions on a free port of this machine until standard input ends, which it does when the process at its
/// other end is gone. `ready` is told the address.
pub async fn serve_stub(answering: Answering, ready: impl FnOnce(SocketAddr)) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("no port can be had")?;
    ready(listener.local_addr()?);
    let slots = Arc::new(Semaphore::new(answering.slots));
    let calls = Arc::new(AtomicU64::new(0));
    let reply = move |_: Bytes| {
        let (slots, call) = (Arc::clone(&slots), calls.fetch_add(1, Ordering::Relaxed));
        async move {
            let slot = slots.acquire().await;
            tokio::time::sleep(answering.latency).await;
            drop(slot);
            Json(completion(call))
        }
    };
    let router = Router::new().route("/v1/chat/completions", post(reply));
    let listener = listener.tap_io(|stream| {
        if let Err(why) = stream.set_nodelay(true) {
            tracing::warn!("answers may be held back: {why}");
        }
    });
    let parent_gone =
        tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
    tokio::select! {
        served = axum::serve(listener, router) => served.context("the stub cannot go on"),
        _ = parent_gone => Ok(()),
    }
}

/// Five documents of thirty words, no two of them alike.
fn completion(call: u64) -> Value {
    let words = "which tells of rivers and bridges, of the towns along them and of the people who built both, \
                 in as many words as a short result of a search usually has";
    let documents = (1..=5).map(|n| format!("Doc {n}: Result {n} of call {call}, {words}."));
    let content = documents.collect::<Vec<_>>().join("\n");
    json!({
        "object": "chat.completion",
        "choices": [{
            "index": 0,
            "message": { "role": "assistant", "content": content },
            "finish_reason": "stop",
        }],
    })
}

/// A stub in a process of its own, which ends with this handle and with the process that holds it.
pub(super) struct Stub {
    url: String,
    _process: Child,
}

impl Stub {
    /// Starts `program`, this program, as a stub.
    pub(super) async fn start(program: &Path, answering: Answering) -> Result<Self> {
        let failed = || format!("{} cannot be started as a stub of a server", program.display());
        let mut process = Command::new(program)
            .args(["bench", "stub-server", "--slots", &answering.slots.to_string()])
            .args(["--latency-ms", &answering.latency.as_millis().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(failed)?;
        let told = process.stdout.take().with_context(failed)?;
        let url =
            BufReader::new(told).lines().next_line().await.with_context(failed)?.with_context(failed)?;
        Ok(Self { url, _process: process })
    }

    /// Its address.
    pub(super) fn url(&self) -> &str {
        &self.url
    }
}
