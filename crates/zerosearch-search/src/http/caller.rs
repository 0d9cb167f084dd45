//! The caller: bounded tries of one request, spread over the servers, at most so many at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Client;
use tokio::sync::Semaphore;

use super::address::is_local;
use super::exchange::{Fault, Wire, exchange};
use super::health::{self, Signs};
use super::patience::Tries;
use super::servers::{Call, Servers};
use super::{Credential, Patience, Request, Share};
use crate::{SearchError, clean};

/// How much is shown of what is wrong with a reply, in characters: it may quote the reply.
const MOST_PROBLEM_CHARS: usize = 500;

/// Who we are: some servers answer nobody without a name.
const USER_AGENT: &str = concat!("zerosearch/", env!("CARGO_PKG_VERSION"));

/// The longest wait for a connection: a machine that is gone does not even refuse.
const LONGEST_CONNECT: Duration = Duration::from_secs(10);

/// Asks servers that all give the same service.
///
/// A try that times out, breaks, is refused with 408, 425, 429 or 5xx, or brings something that cannot be read is
/// made again: at once on another server that works, else after a pause that doubles each time and varies by half
/// (the variation is drawn from the request's seed), or when a server comes back. 3xx, 401, 403, 404 and 405 concern the
/// server that said so, and others are asked; any other refusal, and a reply over the size limit, is final.
///
/// A request fails when it was tried `tries` times and each server was asked at least once: it is not lost while one of
/// them works. So it takes at most `timeout` times the larger of `tries` and the servers, plus the pauses, once it has its
/// turn. Redirects are not followed: the key goes to the named servers only.
#[derive(Debug)]
pub(crate) struct Caller {
    wire: Wire,
    servers: Arc<Servers>,
    signs: Signs,
    turns: Semaphore,
}

/// What a server replied, as it was read.
pub(crate) struct Replied<T> {
    pub(crate) reply: T,
    /// How often it was tried: 1 when the first try succeeded.
    pub(crate) tries: u32,
}

impl Caller {
    /// A caller of `servers`, which tell by `signs` whether they are well. Nothing is sent yet.
    pub(crate) fn new(
        servers: Vec<Share>,
        signs: Signs,
        patience: Patience,
        credential: Option<Credential>,
    ) -> Result<Self, SearchError> {
        patience.check()?;
        let mut client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(patience.timeout.min(LONGEST_CONNECT))
            .user_agent(USER_AGENT);
        if servers.iter().all(|server| is_local(&server.url)) {
            // A proxy for the outside world cannot reach a server on this machine.
            client = client.no_proxy();
        }
        let client =
            client.build().map_err(|why| SearchError::setting("the HTTP client", why.to_string()))?;
        Ok(Self {
            servers: Arc::new(Servers::new(servers, patience.pause, patience.longest_pause)),
            signs,
            turns: Semaphore::new(patience.concurrency),
            wire: Wire { client, patience, credential },
        })
    }

    /// The servers, to see how they fare.
    pub(crate) fn servers(&self) -> Arc<Servers> {
        Arc::clone(&self.servers)
    }

    /// Asks every server, in turn; the first that does not give what `read` takes is the error.
    pub(crate) async fn ask_each<T>(
        &self,
        request: Request<'_>,
        read: fn(&[u8]) -> Result<T, String>,
    ) -> Result<(), SearchError> {
        for index in 0..self.servers.len() {
            let mut tries = Tries::new(&self.wire.patience, 0, 1);
            while let Err(fault) = self.try_once(&self.servers.call(index), request, read).await {
                let pause = tries.after(0, fault)?;
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
        let mut tries = Tries::new(&self.wire.patience, seed, self.servers.len());
        loop {
            let (index, outcome) = self.try_somewhere(&tries, request, read).await;
            let fault = match outcome {
                Ok(reply) => return Ok(Replied { reply, tries: tries.made + 1 }),
                Err(fault) => fault,
            };
            let pause = tries.after(index, fault)?;
            if !self.servers.any_ready(&tries.attempts, tries.may()) {
                self.servers.wait(pause).await;
            }
        }
    }

    /// One try on the best server; also which one it was.
    async fn try_somewhere<T>(
        &self,
        tries: &Tries<'_>,
        request: Request<'_>,
        read: fn(&[u8]) -> Result<T, String>,
    ) -> (usize, Result<T, Fault>) {
        // The semaphore is never closed; an error would mean no limit, not no answer.
        let _turn = self.turns.acquire().await.ok();
        let call = self.servers.pick(&tries.attempts, tries.may());
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
        let begins = match &outcome {
            // A request that is wrong says nothing against the server.
            Ok(_) | Err(Fault::Final(_)) => {
                call.succeeded();
                false
            }
            Err(Fault::Elsewhere(why)) => call.failed(why, None, Instant::now()),
            Err(Fault::Passing(why, asked)) => call.failed(why, *asked, Instant::now()),
        };
        if begins {
            health::watch(&self.servers, &self.wire, self.signs, call.index);
        }
        outcome
    }
}
