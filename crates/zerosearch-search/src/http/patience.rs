//! Patience: how long a reply is waited for, how often a request is tried, and how many are under way.

use std::time::Duration;

use super::exchange::Fault;
use super::servers::Attempt;
use crate::SearchError;
use crate::seed::{Purpose, draw_unit};

/// The bounds of all requests to some servers.
#[derive(Clone, Debug)]
pub(crate) struct Patience {
    /// How long one try may take, from connecting to the last byte.
    pub(crate) timeout: Duration,
    /// How many tries may be in flight at once, over all servers.
    pub(crate) concurrency: usize,
    /// How often a request is tried in all.
    pub(crate) tries: u32,
    /// The pause before the second try on the same server; it doubles with every further one.
    pub(crate) pause: Duration,
    /// No pause is longer, whatever a server's `Retry-After` asks for.
    pub(crate) longest_pause: Duration,
    /// A reply with more bytes is refused before it is read to its end.
    pub(crate) reply_limit: usize,
}

const MOST_IN_FLIGHT: usize = 65_536;
const MOST_TRIES: u32 = 100;

impl Patience {
    /// Refuses bounds under which nothing could be asked.
    pub(super) fn check(&self) -> Result<(), SearchError> {
        let refuse = |what: &str, why: &str| Err(SearchError::setting(what, why));
        if self.concurrency == 0 || self.concurrency > MOST_IN_FLIGHT {
            return refuse(
                "concurrency",
                &format!("it is {}; choose 1 to {MOST_IN_FLIGHT}", self.concurrency),
            );
        }
        if self.tries == 0 || self.tries > MOST_TRIES {
            return refuse("tries", &format!("it is {}; choose 1 to {MOST_TRIES}", self.tries));
        }
        if self.timeout.is_zero() {
            return refuse("timeout", "it is 0 s; give a server at least the time to write a few documents");
        }
        if self.reply_limit == 0 {
            return refuse("reply_limit", "it is 0 bytes; the usual limit is 4 MiB");
        }
        Ok(())
    }
}

/// The tries of one request, server by server, and the pauses between them.
pub(super) struct Tries<'a> {
    patience: &'a Patience,
    seed: u64,
    pub(super) made: u32,
    pub(super) attempts: Vec<Attempt>,
}

impl<'a> Tries<'a> {
    /// None yet, of a request that any of so many servers may answer.
    pub(super) fn new(patience: &'a Patience, seed: u64, servers: usize) -> Self {
        Self { patience, seed, made: 0, attempts: vec![Attempt::default(); servers] }
    }

    /// Who may be asked next: when all tries are made, only those that were not asked yet.
    pub(super) fn may(&self) -> impl Fn(&Attempt) -> bool {
        let spent = self.made >= self.patience.tries;
        move |attempt| !attempt.refused && (attempt.failed == 0 || !spent)
    }

    /// Counts a failed try on `server`: how long to wait before the next, or the error where there is no next.
    pub(super) fn after(&mut self, server: usize, fault: Fault) -> Result<Duration, SearchError> {
        self.made += 1;
        let (error, asked, refused) = match fault {
            Fault::Final(error) => return Err(error),
            Fault::Elsewhere(error) => (error, None, true),
            Fault::Passing(error, asked) => (error, asked, false),
        };
        tracing::debug!("try {} of {} failed: {error}", self.made, self.patience.tries);
        let attempt = &mut self.attempts[server];
        *attempt = Attempt { failed: attempt.failed + 1, refused, reason: Some(error) };
        if self.attempts.iter().any(self.may()) { Ok(self.pause(asked)) } else { Err(self.failure()) }
    }

    /// Why the request failed: the last reason of each server.
    fn failure(&self) -> SearchError {
        let reason = |attempt: &Attempt| match attempt.reason.clone()? {
            SearchError::Silent { url, waited, .. } => {
                Some(SearchError::Silent { url, waited, tries: attempt.failed })
            }
            other => Some(other),
        };
        let mut reasons: Vec<SearchError> = self.attempts.iter().filter_map(reason).collect();
        if reasons.len() == 1 {
            return reasons.remove(0);
        }
        SearchError::NoServer { tries: self.made, reasons }
    }

    /// `pause * 2^(tries - 1)`, times 0.5 to 1.5; at least what the server asked for; at most the longest pause.
    fn pause(&self, asked: Option<Duration>) -> Duration {
        let doubled = self.patience.pause.saturating_mul(1 << (self.made - 1).min(20));
        let bounded = doubled.min(self.patience.longest_pause);
        let varied = bounded.mul_f64(0.5 + draw_unit(self.seed, Purpose::Pause, u64::from(self.made)));
        varied.max(asked.unwrap_or_default()).min(self.patience.longest_pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: 100 ms, 200 ms, 400 ms and then 500 ms at most, each times 0.5 to 1.5.
    #[test]
    fn pauses_double_vary_and_are_bounded() {
        let patience = Patience {
            timeout: Duration::from_secs(1),
            concurrency: 1,
            tries: 9,
            pause: Duration::from_millis(100),
            longest_pause: Duration::from_millis(500),
            reply_limit: 1,
        };
        for seed in 0..200 {
            for (made, middle) in [(1, 100), (2, 200), (3, 400), (9, 500)] {
                let pause = Tries { made, ..Tries::new(&patience, seed, 1) }.pause(None).as_millis() as u64;
                assert!(pause >= middle / 2 && pause <= (middle * 3 / 2).min(500), "{made}: {pause}");
            }
            let asked = Tries { made: 1, ..Tries::new(&patience, seed, 1) };
            assert_eq!(asked.pause(Some(Duration::from_secs(99))), patience.longest_pause);
        }
    }
}
