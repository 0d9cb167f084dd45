//! A server under test: the program in a process of its own, asked over HTTP.

use std::io::{BufRead, BufReader};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::LazyLock;

use reqwest::{RequestBuilder, StatusCode};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::program::Desk;

/// `zerosearch serve ..` on a free port; it is killed with this handle.
pub(crate) struct Served {
    process: Child,
    url: String,
    client: reqwest::Client,
    runtime: Runtime,
}

impl Served {
    /// Starts `zerosearch serve` with these words, split at spaces, in the folder of `desk`, and waits for its address.
    #[track_caller]
    pub(crate) fn start(desk: &Desk, words: &str) -> Self {
        Self::with_environment(desk, words, &[])
    }

    #[track_caller]
    pub(crate) fn with_environment(desk: &Desk, words: &str, environment: &[(&str, &str)]) -> Self {
        Self::at(desk, words, "0", environment)
    }

    /// The same on a port that was free a moment ago.
    #[track_caller]
    pub(crate) fn on_port(desk: &Desk, words: &str, port: &str) -> Self {
        Self::at(desk, words, port, &[])
    }

    #[track_caller]
    fn at(desk: &Desk, words: &str, port: &str, environment: &[(&str, &str)]) -> Self {
        let words: Vec<&str> =
            ["serve"].into_iter().chain(words.split(' ')).chain(["--port", port]).collect();
        let mut command = desk.command(&words);
        let mut process = command.envs(environment.iter().copied()).stdout(Stdio::piped()).spawn().unwrap();
        let mut first = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut first).unwrap();
        let url = first.trim().rsplit(' ').next().unwrap().to_owned();
        assert!(url.starts_with("http://"), "the first line says {first:?}");
        Self { process, url, client: reqwest::Client::new(), runtime: Runtime::new().unwrap() }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.url)).json(body)
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.url))
    }

    /// The status and the text of the answer.
    pub(crate) fn text(&self, request: RequestBuilder) -> (StatusCode, String) {
        self.runtime.block_on(async {
            let response = request.send().await.unwrap();
            (response.status(), response.text().await.unwrap())
        })
    }

    /// The answer to a request that must succeed.
    #[track_caller]
    pub(crate) fn json(&self, request: RequestBuilder) -> Value {
        let (status, text) = self.text(request);
        assert_eq!(status, StatusCode::OK, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    /// The message of a request that must be refused with `status`.
    #[track_caller]
    pub(crate) fn refused(&self, request: RequestBuilder, status: u16) -> String {
        let (seen, text) = self.text(request);
        assert_eq!(seen.as_u16(), status, "{text}");
        let told: Value = serde_json::from_str(&text).unwrap();
        told["error"]["message"].as_str().unwrap_or_else(|| panic!("{text}")).to_owned()
    }

    /// A value of `/metrics`, by the beginning of its line; 0 where there is none.
    #[track_caller]
    pub(crate) fn figure(&self, line: &str) -> f64 {
        let (_, text) = self.text(self.get("/metrics"));
        let found = text.lines().find_map(|it| it.strip_prefix(line)?.trim().parse().ok());
        found.unwrap_or(0.0)
    }

    pub(crate) fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Asks the process to end, as `kill` does.
    pub(crate) fn ask_to_end(&self) {
        let id = self.process.id().to_string();
        assert!(std::process::Command::new("kill").arg(id).status().unwrap().success());
    }

    /// Kills the process at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.process.wait().unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A corpus of three passages.
pub(crate) static CORPUS: LazyLock<String> = LazyLock::new(|| {
    [
        r#"{"id": "7", "title": "Emma", "text": "Emma is a novel by Jane Austen."}"#,
        r#"{"id": "8", "title": "Middlemarch", "text": "Middlemarch is a novel by George Eliot."}"#,
        r#"{"id": "9", "contents": "\"Tea\"\nTea is a drink."}"#,
    ]
    .join("\n")
});
