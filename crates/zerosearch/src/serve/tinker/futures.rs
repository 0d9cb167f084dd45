//! Futures: what came of each request, kept until its client has asked for it, and not much longer.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::watch;
use zerosearch_learner::LearnerError;
use zerosearch_learner::tinker::wire::{ForwardBackwardReply, HostedFailure, SampleReply, Tensor};

use super::super::refusal::Refusal;

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Requests that wait or are being carried out.
    pub(super) pending: usize,
    /// Bytes of their bodies.
    pub(super) pending_bytes: usize,
    /// Results, whether they were asked for or not.
    pub(super) kept: usize,
    /// Their bytes, but for the newest one.
    pub(super) kept_bytes: usize,
    /// How long a result is kept.
    pub(super) kept_for: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            pending: 16 << 10,
            pending_bytes: 1 << 30,
            kept: 16 << 10,
            kept_bytes: 256 << 20,
            kept_for: Duration::from_secs(600),
        }
    }
}

/// What came of a request.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Numbers about rows.
    Rows(ForwardBackwardReply),
    /// Samples.
    Samples(SampleReply),
    /// Anything small.
    Told(Value),
    /// Nothing.
    Failed(HostedFailure),
}

/// All requests whose results may still be asked for.
#[derive(Clone)]
pub(super) struct Futures(Arc<Mutex<Book>>);

struct Book {
    bounds: Bounds,
    /// Told apart from those of another server at the same address.
    prefix: String,
    next: u64,
    entries: HashMap<String, Entry>,
    finished: VecDeque<(Instant, String)>,
    pending_bytes: usize,
    kept_bytes: usize,
}

struct Entry {
    outcome: watch::Receiver<Option<Arc<Outcome>>>,
    bytes: usize,
}

/// Whoever carries out a request has its ticket, and gives it back with what came of it.
pub(super) struct Ticket {
    id: String,
    futures: Futures,
    outcome: watch::Sender<Option<Arc<Outcome>>>,
}

impl Outcome {
    /// A small one.
    pub(super) fn told(value: impl Serialize) -> Self {
        serde_json::to_value(value).map_or_else(|why| Self::failed(why.to_string(), "server"), Self::Told)
    }

    /// None, and who could have helped it: `user` or `server`.
    pub(super) fn failed(error: impl Into<String>, category: &str) -> Self {
        Self::Failed(HostedFailure { error: error.into(), category: Some(category.to_owned()) })
    }

    /// None, because a learner could not.
    pub(super) fn broken(why: &LearnerError) -> Self {
        use LearnerError::{BadExample, BadRequest, NotFinite, TooLong, UnknownToken, Unsupported};
        let asked_for = matches!(
            why,
            BadExample(_)
                | BadRequest(_)
                | UnknownToken { .. }
                | TooLong { .. }
                | NotFinite(_)
                | Unsupported(_)
        );
        Self::failed(why.to_string(), if asked_for { "user" } else { "server" })
    }

    /// About how much memory it takes.
    fn bytes(&self) -> usize {
        256 + match self {
            Self::Rows(reply) => reply
                .loss_fn_outputs
                .iter()
                .flat_map(|row| row.values())
                .map(|it| 64 + 4 * Tensor::len(it))
                .sum(),
            Self::Samples(reply) => {
                let scores = reply.prompt_logprobs.as_ref().map_or(0, Vec::len);
                8 * scores + reply.sequences.iter().map(|it| 64 + 12 * it.tokens.len()).sum::<usize>()
            }
            Self::Told(_) | Self::Failed(_) => 0,
        }
    }
}

impl Futures {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self(Arc::new(Mutex::new(Book {
            bounds,
            prefix: format!("{:08x}", rand::random::<u32>()),
            next: 0,
            entries: HashMap::new(),
            finished: VecDeque::new(),
            pending_bytes: 0,
            kept_bytes: 0,
        })))
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A ticket for a request with a body of `bytes`; refused while too much waits.
    pub(super) fn open(&self, bytes: usize) -> Result<Ticket, Refusal> {
        let mut book = self.book();
        let waiting = book.entries.len() - book.finished.len();
        if waiting >= book.bounds.pending
            || (waiting > 0 && book.pending_bytes + bytes > book.bounds.pending_bytes)
        {
            let message =
                format!("{waiting} requests wait to be carried out, which is enough; come back later");
            let refusal = Refusal::new(StatusCode::TOO_MANY_REQUESTS, message);
            return Err(refusal.coded("too_many_waiting").retry_after(1));
        }
        let id = format!("{}-{}", book.prefix, book.next);
        book.next += 1;
        book.pending_bytes += bytes;
        let (sender, receiver) = watch::channel(None);
        book.entries.insert(id.clone(), Entry { outcome: receiver, bytes });
        Ok(Ticket { id, futures: self.clone(), outcome: sender })
    }

    /// Requests that wait or are being carried out.
    pub(super) fn pending(&self) -> usize {
        let book = self.book();
        book.entries.len() - book.finished.len()
    }

    /// What came of request `id`; nothing where nothing has come of it when `patience` is over.
    pub(super) async fn wait(
        &self,
        id: &str,
        patience: impl Future<Output = ()>,
    ) -> Result<Option<Arc<Outcome>>, Refusal> {
        let mut outcome = {
            let book = self.book();
            let entry = book.entries.get(id).ok_or_else(|| book.gone(id))?;
            entry.outcome.clone()
        };
        tokio::select! {
            biased;
            found = outcome.wait_for(Option::is_some) => Ok(found.ok().and_then(|it| it.clone())),
            () = patience => Ok(None),
        }
    }

    /// Forgets results that are too old.
    pub(super) fn sweep(&self) {
        self.book().forget();
    }
}

impl Book {
    fn gone(&self, id: &str) -> Refusal {
        let number = id.strip_prefix(&self.prefix).and_then(|rest| rest.strip_prefix('-'));
        let was_ours = number.and_then(|number| number.parse::<u64>().ok()).is_some_and(|it| it < self.next);
        let minutes = self.bounds.kept_for.as_secs() / 60;
        let (status, message) = if was_ours {
            let message = format!(
                "the result of request {id:?} is no longer kept: results are for {minutes} minutes, and only the latest of them"
            );
            (StatusCode::GONE, message)
        } else {
            (StatusCode::NOT_FOUND, format!("there is no request {id:?}; was the server started anew?"))
        };
        Refusal::new(status, message).about("request_id").coded("no_such_request")
    }

    fn finish(&mut self, id: &str, bytes: usize) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        self.pending_bytes -= entry.bytes;
        entry.bytes = bytes;
        self.kept_bytes += bytes;
        self.finished.push_back((Instant::now(), id.to_owned()));
        self.forget();
    }

    fn forget(&mut self) {
        let Bounds { kept, kept_bytes, kept_for, .. } = self.bounds;
        while let Some((since, id)) = self.finished.front() {
            let is_too_much =
                self.finished.len() > kept || (self.kept_bytes > kept_bytes && self.finished.len() > 1);
            if !is_too_much && since.elapsed() <= kept_for {
                break;
            }
            if let Some(entry) = self.entries.remove(id) {
                self.kept_bytes -= entry.bytes;
            }
            self.finished.pop_front();
        }
    }
}

impl Ticket {
    /// The name under which the result is asked for.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// What came of the request.
    pub(super) fn resolve(self, outcome: Outcome) {
        self.settle(outcome);
    }

    fn settle(&self, outcome: Outcome) {
        self.futures.book().finish(&self.id, outcome.bytes());
        self.outcome.send_replace(Some(Arc::new(outcome)));
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.outcome.borrow().is_none() {
            let why = "the request was not carried out: its model was unloaded, or its session ended, before its turn";
            self.settle(Outcome::failed(why, "user"));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const BOUNDS: Bounds = Bounds {
        pending: 3,
        pending_bytes: 100,
        kept: 2,
        kept_bytes: 10_000,
        kept_for: Duration::from_secs(3600),
    };

    async fn ask(futures: &Futures, id: &str) -> Result<Option<Arc<Outcome>>, Refusal> {
        futures.wait(id, async {}).await
    }

    #[tokio::test]
    async fn a_result_is_waited_for_and_may_be_asked_for_again() {
        let futures = Futures::new(BOUNDS);
        let ticket = futures.open(1).unwrap();
        let id = ticket.id().to_owned();
        assert!(ask(&futures, &id).await.unwrap().is_none());
        let waiting = futures.wait(&id, std::future::pending());
        let (found, ()) = tokio::join!(waiting, async { ticket.resolve(Outcome::told(json!({"a": 1}))) });
        assert!(matches!(&*found.unwrap().unwrap(), Outcome::Told(it) if *it == json!({"a": 1})));
        assert!(ask(&futures, &id).await.unwrap().is_some());
        assert_eq!(futures.pending(), 0);
    }

    #[tokio::test]
    async fn what_nobody_carries_out_has_failed() {
        let futures = Futures::new(BOUNDS);
        let ticket = futures.open(1).unwrap();
        let id = ticket.id().to_owned();
        drop(ticket);
        assert!(matches!(&*ask(&futures, &id).await.unwrap().unwrap(), Outcome::Failed(_)));
    }

    #[tokio::test]
    async fn only_so_many_wait_and_only_so_many_results_are_kept() {
        let futures = Futures::new(BOUNDS);
        let tickets: Vec<Ticket> = (0..3).map(|_| futures.open(30).unwrap()).collect();
        assert!(futures.open(0).is_err(), "too many");
        let ids: Vec<String> = tickets.iter().map(|ticket| ticket.id().to_owned()).collect();
        for ticket in tickets {
            ticket.resolve(Outcome::Told(Value::Null));
        }
        assert!(ask(&futures, &ids[0]).await.is_err(), "the first of three, where two are kept");
        assert!(ask(&futures, &ids[1]).await.is_ok() && ask(&futures, &ids[2]).await.is_ok());
        let large = futures.open(90).unwrap();
        assert!(futures.open(20).is_err(), "too many bytes");
        drop(large);
        assert!(futures.open(1000).is_ok(), "one alone may be as long as the server reads");
    }

    #[tokio::test]
    async fn results_that_were_kept_are_told_apart_from_those_that_never_were() {
        let futures = Futures::new(Bounds { kept_for: Duration::ZERO, ..BOUNDS });
        let ticket = futures.open(1).unwrap();
        let id = ticket.id().to_owned();
        ticket.resolve(Outcome::Told(Value::Null));
        std::thread::sleep(Duration::from_millis(1));
        futures.sweep();
        let gone = ask(&futures, &id).await.unwrap_err();
        let unknown = ask(&futures, "1").await.unwrap_err();
        assert_ne!(gone, unknown);
        assert_eq!(axum::response::IntoResponse::into_response(gone).status(), StatusCode::GONE);
        assert_eq!(axum::response::IntoResponse::into_response(unknown).status(), StatusCode::NOT_FOUND);
    }
}
