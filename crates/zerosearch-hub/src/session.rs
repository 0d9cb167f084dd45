//! A session: what the hub says about one repository.

use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, StatusCode, Url};
use serde_json::Value;

use super::cache::is_commit;
use super::error::Failure;
use super::{Hub, HubError, Repository};

/// A repository that is being asked for.
pub(crate) struct Session<'a> {
    pub(crate) hub: &'a Hub,
    pub(crate) repository: &'a Repository,
    site: Url,
    /// Follows redirects; the token stays with the hub's own host.
    pub(crate) client: Client,
    /// Does not: the first answer about a file carries its name in the cache.
    pub(crate) direct: Client,
}

impl<'a> Session<'a> {
    pub(crate) fn new(hub: &'a Hub, repository: &'a Repository) -> Result<Self, HubError> {
        let failed = |problem: String| HubError::Fetch { what: repository.to_string(), problem };
        let build = |policy: Policy| {
            let mut builder = Client::builder()
                .user_agent(concat!("zerosearch/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(Duration::from_secs(10))
                .read_timeout(Duration::from_secs(60))
                .redirect(policy);
            if hub.endpoint.starts_with("http://127.0.0.1") || hub.endpoint.starts_with("http://localhost") {
                builder = builder.no_proxy();
            }
            builder.build().map_err(|error| failed(error.to_string()))
        };
        let site = Url::parse(&hub.endpoint).ok().filter(|site| !site.cannot_be_a_base());
        let site = site.ok_or_else(|| {
            failed(format!("the hub's address `{}` is none; is HF_ENDPOINT right?", hub.endpoint))
        })?;
        Ok(Self {
            hub,
            repository,
            site,
            client: build(Policy::limited(10))?,
            direct: build(Policy::none())?,
        })
    }

    /// The address of these parts on the hub; each is a part even with a slash in it.
    pub(crate) fn address<'b>(&self, parts: impl Iterator<Item = &'b str>) -> Url {
        let mut address = self.site.clone();
        if let Ok(mut path) = address.path_segments_mut() {
            path.pop_if_empty().extend(parts);
        }
        address
    }

    /// Asks which commit the revision is at and which files it has.
    pub(crate) async fn look_up(&self) -> Result<(String, Vec<String>), Failure> {
        let revision = ["revision", self.repository.revision()];
        let url = self.address(self.repository.interface().chain(revision));
        let response = self.authorized(self.client.get(url.clone())).send().await.map_err(silent)?;
        let status = response.status();
        if !status.is_success() {
            return Err(self.answered(status, "revision"));
        }
        let body = response.bytes().await.map_err(silent)?;
        let info: Value = serde_json::from_slice(&body).unwrap_or_default();
        let commit = info["sha"].as_str().filter(|commit| is_commit(commit));
        let Some((commit, siblings)) = commit.zip(info["siblings"].as_array()) else {
            return Err(self.refuse(format!("{url} does not answer as the hub does; is HF_ENDPOINT right?")));
        };
        let names = siblings.iter().filter_map(|file| file["rfilename"].as_str()).map(str::to_owned);
        Ok((commit.to_owned(), names.collect()))
    }

    pub(crate) fn authorized(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.hub.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// What a status other than success means. `what` was asked for.
    pub(crate) fn answered(&self, status: StatusCode, what: &str) -> Failure {
        let Hub { token, .. } = self.hub;
        match status.as_u16() {
            401 | 403 if token.is_some() => self.refuse(format!(
                "the hub says {status}: it does not exist, or the token may not read it (for a gated one accept its \
                 terms at {})",
                self.address(self.repository.site())
            )),
            401 | 403 => self.refuse(format!(
                "the hub says {status}: it does not exist, or is private or gated; for those set HF_TOKEN"
            )),
            404 => self.refuse(format!("the hub has no such repository or {what} ({status}); is it spelled right?")),
            429 | 500..=599 => Failure::Silent(format!("it says {status}")),
            _ => self.refuse(format!("the hub says {status}")),
        }
    }

    pub(crate) fn refuse(&self, problem: String) -> Failure {
        Failure::Final(HubError::Fetch { what: self.repository.to_string(), problem })
    }
}

/// A request that got no answer, or half of one. The chain of causes says why.
pub(crate) fn silent(error: reqwest::Error) -> Failure {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    Failure::Silent(text)
}
