//! The writer over OpenAI-compatible servers: bounded tries, spread over the servers, at most so many at once.

use std::time::{Duration, Instant};

use reqwest::{Client, Url};
use serde_json::Value;
use tokio::sync::Semaphore;

use super::exchange::{Fault, post};
use super::servers::{Call, Servers};
use super::wire::{self, Reply};
use super::{OpenAiSettings, Route};
use crate::seed::{Purpose, draw_unit};
use crate::{Boxed, SearchError, WriteRequest, Writer, Written};

/// Writes with OpenAI-compatible servers.
///
/// A try that times out, breaks, is refused with 408, 425, 429 or 5xx, or brings something that is no completion is
/// made again: at once on another server that is awake, else after a pause that doubles each time and varies by half
/// (the variation is drawn from the request's seed). Any other refusal, and a reply over the size limit, is final.
/// One request so takes at most `tries` times `timeout` plus the pauses, once it has its turn. Redirects are not
/// followed: the key goes to the named servers only.
#[derive(Debug)]
pub struct OpenAiWriter {
    settings: OpenAiSettings,
    name: String,
    client: Client,
    servers: Servers,
    turns: Semaphore,
}

impl OpenAiWriter {
    /// A writer with `settings`, all of them checked. Nothing is sent yet; see [`OpenAiWriter::check`].
    pub fn new(settings: OpenAiSettings) -> Result<Self, SearchError> {
        let urls = settings.checked_urls()?;
        let mut client = Client::builder().redirect(reqwest::redirect::Policy::none());
        if urls.iter().all(is_local) {
            // A proxy for the outside world cannot reach a server on this machine.
            client = client.no_proxy();
        }
        let client =
            client.build().map_err(|why| SearchError::setting("the HTTP client", why.to_string()))?;
        Ok(Self {
            name: format!("openai:{}", settings.model),
            servers: Servers::new(urls, settings.pause, settings.longest_pause),
            turns: Semaphore::new(settings.concurrency),
            client,
            settings,
        })
    }

    /// Asks every server for one token; the first that cannot give it is the error. Meant for the start of a run,
    /// where it finds dead servers, wrong keys and unknown models before anything depends on them.
    pub async fn check(&self) -> Result<(), SearchError> {
        let request = WriteRequest {
            prompt: "Hello".into(),
            max_tokens: 1,
            temperature: 1.0,
            top_p: 1.0,
            ..WriteRequest::default()
        };
        let body = wire::body(&self.settings, &request);
        for index in 0..self.servers.len() {
            let mut tries = Tries::new(&self.settings, request.seed);
            while let Err(fault) = self.try_once(&self.servers.call(index), &body, wire::recognise).await {
                let pause = tries.after(fault)?;
                tokio::time::sleep(pause).await;
            }
        }
        Ok(())
    }

    async fn write_with_tries(&self, request: &WriteRequest) -> Result<Written, SearchError> {
        if self.settings.route == Route::Chat && !request.reply_prefix.is_empty() {
            let why = "a chat server cannot continue a reply that was begun for it; use /v1/completions";
            return Err(SearchError::Writer(why.into()));
        }
        let started = Instant::now();
        let body = wire::body(&self.settings, request);
        let mut tries = Tries::new(&self.settings, request.seed);
        let mut failed_on = None;
        loop {
            let (index, outcome) = self.try_somewhere(&body, failed_on).await;
            let fault = match outcome {
                Ok(reply) => return Ok(written(reply, tries.made + 1, started.elapsed())),
                Err(fault) => fault,
            };
            let pause = tries.after(fault)?;
            failed_on = Some(index);
            if !self.servers.has_other_awake(index, Instant::now()) {
                tokio::time::sleep(pause).await;
            }
        }
    }

    /// One try on the best server; also which one it was.
    async fn try_somewhere(&self, body: &Value, failed_on: Option<usize>) -> (usize, Result<Reply, Fault>) {
        // The semaphore is never closed; an error would mean no limit, not no answer.
        let _turn = self.turns.acquire().await.ok();
        let call = self.servers.pick(failed_on, Instant::now());
        (call.index, self.try_once(&call, body, wire::read).await)
    }

    /// One try on the server of `call`, whose health is noted.
    async fn try_once<T>(
        &self,
        call: &Call<'_>,
        body: &Value,
        read: fn(&[u8]) -> Result<T, String>,
    ) -> Result<T, Fault> {
        let outcome = post(&self.client, &self.settings, call.url(), body).await.and_then(|bytes| {
            let garbled = |problem| SearchError::Garbled { url: call.url().to_string(), problem };
            read(&bytes).map_err(|problem| Fault::Passing(garbled(problem), None))
        });
        match &outcome {
            // A refused request says nothing against the server.
            Ok(_) | Err(Fault::Final(_)) => call.succeeded(),
            Err(Fault::Passing(_, asked)) => call.failed(*asked, Instant::now()),
        }
        outcome
    }
}

impl Writer for OpenAiWriter {
    fn write<'a>(&'a self, request: &'a WriteRequest) -> Boxed<'a, Result<Written, SearchError>> {
        Box::pin(self.write_with_tries(request))
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn can_continue(&self) -> bool {
        self.settings.route == Route::Completions
    }
}

/// The tries of one request, and the pauses between them.
struct Tries<'a> {
    settings: &'a OpenAiSettings,
    seed: u64,
    made: u32,
}

impl<'a> Tries<'a> {
    fn new(settings: &'a OpenAiSettings, seed: u64) -> Self {
        Self { settings, seed, made: 0 }
    }

    /// Counts a failed try: how long to wait before the next, or the error where there is no next.
    fn after(&mut self, fault: Fault) -> Result<Duration, SearchError> {
        self.made += 1;
        match fault {
            Fault::Final(error) => Err(error),
            Fault::Passing(error, asked) if self.made < self.settings.tries => {
                tracing::debug!("try {} of {} failed: {error}", self.made, self.settings.tries);
                Ok(self.pause(asked))
            }
            Fault::Passing(SearchError::Silent { url, waited, .. }, _) => {
                Err(SearchError::Silent { url, waited, tries: self.made })
            }
            Fault::Passing(error, _) => Err(error),
        }
    }

    /// `pause * 2^(tries - 1)`, times 0.5 to 1.5; at least what the server asked for; at most the longest pause.
    fn pause(&self, asked: Option<Duration>) -> Duration {
        let doubled = self.settings.pause.saturating_mul(1 << (self.made - 1).min(20));
        let bounded = doubled.min(self.settings.longest_pause);
        let varied = bounded.mul_f64(0.5 + draw_unit(self.seed, Purpose::Pause, u64::from(self.made)));
        varied.max(asked.unwrap_or_default()).min(self.settings.longest_pause)
    }
}

fn written(reply: Reply, tries: u32, latency: Duration) -> Written {
    Written { text: reply.text, finished: reply.finished, tokens: reply.tokens, tries, latency }
}

fn is_local(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address: Option<std::net::IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    host == "localhost" || address.is_some_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: 100 ms, 200 ms, 400 ms and then 500 ms at most, each times 0.5 to 1.5.
    #[test]
    fn pauses_double_vary_and_are_bounded() {
        let mut settings = OpenAiSettings::new(vec![], "m");
        settings.pause = Duration::from_millis(100);
        settings.longest_pause = Duration::from_millis(500);
        for seed in 0..200 {
            for (made, middle) in [(1, 100), (2, 200), (3, 400), (9, 500)] {
                let pause = Tries { settings: &settings, seed, made }.pause(None).as_millis() as u64;
                assert!(pause >= middle / 2 && pause <= (middle * 3 / 2).min(500), "{made}: {pause}");
            }
            let asked = Tries { settings: &settings, seed, made: 1 };
            assert_eq!(asked.pause(Some(Duration::from_secs(99))), settings.longest_pause);
        }
    }
}
