//! The caller: bounded tries of one request, spread over the servers, at most so many at once.

use std::time::Instant;

use reqwest::{Client, Url};
use tokio::sync::Semaphore;

use super::address::is_local;
use super::exchange::{Fault, Wire, exchange};
use super::patience::Tries;
use super::servers::{Call, Servers};
use super::{Credential, Patience, Request};
use crate::{SearchError, clean};

/// How much is shown of what is wrong with a reply, in characters: it may quote the reply.
const MOST_PROBLEM_CHARS: usize = 500;

/// Who we are: some servers answer nobody without a name.
const USER_AGENT: &str = concat!("zerosearch/", env!("CARGO_PKG_VERSION"));

/// Asks servers that all give the same service.
///
/// A try that times out, breaks, is refused with 408, 425, 429 or 5xx, or brings something that cannot be read is
/// made again: at once on another server that is awake, else after a pause that doubles each time and varies by half
/// (the variation is drawn from the request's seed). Any other refusal, and a reply over the size limit, is final.
/// One request so takes at most `tries` times `timeout` plus the pauses, once it has its turn. Redirects are not
/// followed: the key goes to the named servers only.
#[derive(Debug)]
pub(crate) struct Caller {
    wire: Wire,
    servers: Servers,
    turns: Semaphore,
}

/// What a server replied, as it was read.
pub(crate) struct Replied<T> {
    pub(crate) reply: T,
    /// How often it was tried: 1 when the first try succeeded.
    pub(crate) tries: u32,
}

impl Caller {
    /// A caller of the servers at `urls`. Nothing is sent yet.
    pub(crate) fn new(
        urls: Vec<Url>,
        patience: Patience,
        credential: Option<Credential>,
    ) -> Result<Self, SearchError> {
        patience.check()?;
        let mut client = Client::builder().redirect(reqwest::redirect::Policy::none()).user_agent(USER_AGENT);
        if urls.iter().all(is_local) {
            // A proxy for the outside world cannot reach a server on this machine.
            client = client.no_proxy();
        }
        let client =
            client.build().map_err(|why| SearchError::setting("the HTTP client", why.to_string()))?;
        Ok(Self {
            servers: Servers::new(urls, patience.pause, patience.longest_pause),
            turns: Semaphore::new(patience.concurrency),
            wire: Wire { client, patience, credential },
        })
    }

    /// Asks every server, in turn; the first that does not give what `read` takes is the error.
    pub(crate) async fn ask_each<T>(
        &self,
        request: Request<'_>,
        read: fn(&[u8]) -> Result<T, String>,
    ) -> Result<(), SearchError> {
        for index in 0..self.servers.len() {
            let mut tries = Tries::new(&self.wire.patience, 0);
            while let Err(fault) = self.try_once(&self.servers.call(index), request, read).await {
                let pause = tries.after(fault)?;
                tokio::time::sleep(pause).await;
            }
        }
        Ok(())
    }

    /// Sends `request` to a server and gives what `read` makes of the reply.
    pub(crate) async fn ask<T>(
        &self,
        request: Request<'_>,
        seed: u64,
        read: fn(&[u8]) -> Result<T, String>,
    ) -> Result<Replied<T>, SearchError> {
        let mut tries = Tries::new(&self.wire.patience, seed);
        let mut failed_on = None;
        loop {
            let (index, outcome) = self.try_somewhere(failed_on, request, read).await;
            let fault = match outcome {
                Ok(reply) => return Ok(Replied { reply, tries: tries.made + 1 }),
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
    async fn try_somewhere<T>(
        &self,
        failed_on: Option<usize>,
        request: Request<'_>,
        read: fn(&[u8]) -> Result<T, String>,
    ) -> (usize, Result<T, Fault>) {
        // The semaphore is never closed; an error would mean no limit, not no answer.
        let _turn = self.turns.acquire().await.ok();
        let call = self.servers.pick(failed_on, Instant::now());
        (call.index, self.try_once(&call, request, read).await)
    }

    /// One try on the server of `call`, whose health is noted.
    async fn try_once<T>(
        &self,
        call: &Call<'_>,
        request: Request<'_>,
        read: fn(&[u8]) -> Result<T, String>,
    ) -> Result<T, Fault> {
        let outcome = exchange(&self.wire, call.url(), request).await.and_then(|bytes| {
            let garbled = |problem: String| {
                let problem = clean(&self.wire.hide_in(&problem)).chars().take(MOST_PROBLEM_CHARS).collect();
                SearchError::Garbled { url: call.url().to_string(), problem }
            };
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
