//! Fetching a model: which of a repository's files it needs, and what to do when the hub does not answer.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::Value;
use zerosearch_learner::{LearnerError, Result};

use super::Hub;
use super::cache::{Repository, is_commit, is_whole};
use super::id::ModelId;
use crate::kernels::Arithmetic;
use crate::model::config::ModelConfig;
use crate::weights::directory::{CONFIG, GENERATION_CONFIG, object, read_json};
use crate::weights::memory::refuse_if_too_large;
use crate::weights::safetensors::{INDEX, SINGLE, shard_names};

/// Without these there is no model.
const NEEDED: [&str; 2] = [CONFIG, "tokenizer.json"];

/// Fetched if the repository has them: they are read, or handed on by an export.
const WELCOME: [&str; 8] = [
    GENERATION_CONFIG,
    "tokenizer_config.json",
    "chat_template.jinja",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
];

impl Hub {
    /// Makes sure that the model `id` is in the cache and returns its folder (or its GGUF file). Waits until it is
    /// there; may be called from asynchronous code, which then waits too.
    ///
    /// When the hub cannot be reached, what the cache holds is used, with a warning.
    pub(in crate::weights) fn fetch(&self, id: &ModelId) -> Result<PathBuf> {
        let repository = Repository::of(&self.cache, id);
        let cached = || {
            let commit = repository.commit_of(&id.revision)?;
            Some(repository.snapshot(&commit)).filter(|snapshot| is_whole(snapshot, id))
        };
        let snapshot = if self.offline {
            cached().ok_or_else(|| {
                let cache = self.cache.display();
                fetch_error(
                    id,
                    format!("it is not (all) in {cache}, and HF_HUB_OFFLINE forbids to ask the hub"),
                )
            })?
        } else {
            match self.fetch_on_own_thread(id, &repository) {
                Ok(snapshot) => snapshot,
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Unreachable(problem)) => match cached() {
                    Some(snapshot) => {
                        tracing::warn!(
                            "{} does not answer ({problem}); {id} is taken from the cache",
                            self.endpoint
                        );
                        snapshot
                    }
                    None => {
                        let problem = format!(
                            "{} does not answer ({problem}), and the model is not in the cache; behind a proxy or \
                             mirror set HTTPS_PROXY or HF_ENDPOINT",
                            self.endpoint
                        );
                        return Err(fetch_error(id, problem));
                    }
                },
            }
        };
        Ok(id.file.as_ref().map_or(snapshot.clone(), |file| snapshot.join(file)))
    }

    /// A runtime must not be waited for inside another, so this one has a thread of its own.
    fn fetch_on_own_thread(&self, id: &ModelId, repository: &Repository) -> Result<PathBuf, Failure> {
        let work = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| Failure::Final(fetch_error(id, error.to_string())))?;
            runtime.block_on(async { Session::new(self, id, repository)?.fetch().await })
        };
        std::thread::scope(|scope| scope.spawn(work).join())
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// Why a request came to nothing.
pub(super) enum Failure {
    /// Nobody answered: the cache may help.
    Unreachable(String),
    /// Asking again does not help.
    Final(LearnerError),
}

impl From<LearnerError> for Failure {
    fn from(error: LearnerError) -> Self {
        Self::Final(error)
    }
}

/// One model being fetched.
pub(super) struct Session<'a> {
    pub(super) hub: &'a Hub,
    pub(super) id: &'a ModelId,
    pub(super) repository: &'a Repository,
    /// Follows redirects; the token stays with the hub's own host.
    pub(super) client: Client,
    /// Does not: the first answer about a file carries its name in the cache.
    pub(super) direct: Client,
}

impl<'a> Session<'a> {
    fn new(hub: &'a Hub, id: &'a ModelId, repository: &'a Repository) -> Result<Self> {
        let build = |policy: Policy| {
            let mut builder = Client::builder()
                .user_agent(concat!("zerosearch/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(Duration::from_secs(10))
                .read_timeout(Duration::from_secs(60))
                .redirect(policy);
            if hub.endpoint.starts_with("http://127.0.0.1") || hub.endpoint.starts_with("http://localhost") {
                builder = builder.no_proxy();
            }
            builder.build().map_err(|error| fetch_error(id, error.to_string()))
        };
        Ok(Self { hub, id, repository, client: build(Policy::limited(10))?, direct: build(Policy::none())? })
    }

    async fn fetch(&self) -> Result<PathBuf, Failure> {
        let (commit, files) = self.look_up().await?;
        let has = |name: &str| files.iter().any(|file| file == name);
        if let Some(file) = &self.id.file {
            if !has(file) {
                return Err(self.refuse(format!("there is no `{file}` in it{}", gguf_files(&files))));
            }
            self.file(&commit, file).await?;
        } else {
            if let Some(missing) = NEEDED.into_iter().find(|name| !has(name)) {
                return Err(self.refuse(format!("there is no `{missing}` in it{}", gguf_files(&files))));
            }
            self.file(&commit, CONFIG).await?;
            self.judge(&commit)?;
            for name in NEEDED.into_iter().chain(WELCOME.into_iter().filter(|name| has(name))) {
                self.file(&commit, name).await?;
            }
            self.weights(&commit, &has).await?;
        }
        self.repository.note_commit(&self.id.revision, &commit)?;
        Ok(self.repository.snapshot(&commit))
    }

    /// Refuses what could not be opened anyway, before gigabytes of it are fetched: a family or format that is not known, or
    /// a model whose weights alone would not fit this machine.
    fn judge(&self, commit: &str) -> Result<(), Failure> {
        let path = self.repository.snapshot(commit).join(CONFIG);
        let config = ModelConfig::from_json(&path, &object(read_json(&path)?))?;
        let bytes = config.parameters().saturating_mul(Arithmetic::Bf16.bytes());
        Ok(refuse_if_too_large(&format!("the model {}", self.id), bytes as u64)?)
    }

    async fn weights(&self, commit: &str, has: &dyn Fn(&str) -> bool) -> Result<(), Failure> {
        if has(SINGLE) {
            return self.file(commit, SINGLE).await;
        }
        if !has(INDEX) {
            return Err(self.refuse(format!("it has neither `{SINGLE}` nor `{INDEX}`")));
        }
        self.file(commit, INDEX).await?;
        let index = self.repository.snapshot(commit).join(INDEX);
        for shard in shard_names(&index, &read_json(&index)?)? {
            self.file(commit, &shard).await?;
        }
        Ok(())
    }

    /// Asks which commit the revision is at and which files it has.
    async fn look_up(&self) -> Result<(String, Vec<String>), Failure> {
        let Hub { endpoint, .. } = self.hub;
        let ModelId { repository, revision, .. } = self.id;
        let url = format!("{endpoint}/api/models/{repository}/revision/{}", revision.replace('/', "%2F"));
        let response = self.authorized(self.client.get(&url)).send().await.map_err(unreachable)?;
        let status = response.status();
        if !status.is_success() {
            return Err(self.answered(status, "revision"));
        }
        let body = response.bytes().await.map_err(unreachable)?;
        let info: Value = serde_json::from_slice(&body).unwrap_or_default();
        let commit = info["sha"].as_str().filter(|commit| is_commit(commit));
        let Some((commit, siblings)) = commit.zip(info["siblings"].as_array()) else {
            return Err(self.refuse(format!("{url} does not answer as the hub does; is HF_ENDPOINT right?")));
        };
        let names = siblings.iter().filter_map(|file| file["rfilename"].as_str()).map(str::to_owned);
        Ok((commit.to_owned(), names.collect()))
    }

    pub(super) fn authorized(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.hub.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// What a status other than success means. `what` was asked for.
    pub(super) fn answered(&self, status: StatusCode, what: &str) -> Failure {
        let Hub { endpoint, token, .. } = self.hub;
        match status.as_u16() {
            401 | 403 if token.is_some() => self.refuse(format!(
                "the hub says {status}: it does not exist, or the token may not read it (for a gated model accept its \
                 terms at {endpoint}/{})",
                self.id.repository
            )),
            401 | 403 => self.refuse(format!(
                "the hub says {status}: it does not exist, or is private or gated; for those set HF_TOKEN"
            )),
            404 => self.refuse(format!("the hub has no such repository or {what} ({status}); is it spelled right?")),
            429 | 500..=599 => Failure::Unreachable(format!("it says {status}")),
            _ => self.refuse(format!("the hub says {status}")),
        }
    }

    pub(super) fn refuse(&self, problem: String) -> Failure {
        Failure::Final(fetch_error(self.id, problem))
    }
}

/// A request that got no answer, or half of one. The chain of causes says why.
pub(super) fn unreachable(error: reqwest::Error) -> Failure {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    Failure::Unreachable(text)
}

fn fetch_error(id: &ModelId, problem: String) -> LearnerError {
    LearnerError::Fetch { what: id.to_string(), problem }
}

fn gguf_files(files: &[String]) -> String {
    let names: Vec<&str> = files.iter().map(String::as_str).filter(|name| name.ends_with(".gguf")).collect();
    match names.as_slice() {
        [] => String::new(),
        names => format!("; for a GGUF file append its name: it has {}", names.join(", ")),
    }
}
