//! Servers: several addresses with the same service, the least loaded first, the failing ones set aside.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use reqwest::Url;
use tokio::sync::Notify;

use super::Share;
use crate::SearchError;

/// All servers of one service, and how each of them stands.
///
/// A server takes calls in proportion to its weight. One that fails is set aside: it is asked again only where no other
/// is left, or when it was found well. Then it has one call to show that it works.
#[derive(Debug)]
pub struct Servers {
    all: Vec<Share>,
    state: Mutex<State>,
    first_rest: Duration,
    longest_rest: Duration,
    /// Told when a server may be asked again.
    returned: Notify,
}

/// How many servers there are, and how often one went and came back since the program was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerCounts {
    /// Servers in all.
    pub all: usize,
    /// Servers that work, as far as is known.
    pub up: usize,
    /// How often one that worked was set aside.
    pub removed: u64,
    /// How often one that was set aside worked again.
    pub returned: u64,
}

#[derive(Debug)]
struct State {
    standings: Vec<Standing>,
    /// When the last call began, counted in calls to a server of weight 1: who was away has no claim to what it missed.
    clock: f64,
    removed: u64,
    returned: u64,
}

#[derive(Debug, Default)]
struct Standing {
    health: Health,
    in_flight: usize,
    /// When its next call is due, on the clock of all.
    due: f64,
    failures_in_a_row: u32,
    /// Whether somebody checks its health already.
    watched: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Health {
    /// It works, as far as is known.
    #[default]
    Up,
    /// It says that it is well and has one call to show it.
    OnTrial,
    /// It failed. Its health is checked then.
    Aside(Instant),
}

/// How one call has fared with one server.
#[derive(Clone, Debug, Default)]
pub(super) struct Attempt {
    /// How often it failed there.
    pub(super) failed: u32,
    /// Whether it will not be served there, however often it asks.
    pub(super) refused: bool,
    /// Why it failed last.
    pub(super) reason: Option<SearchError>,
}

impl Servers {
    /// Servers at `all`. One that fails rests for `first_rest` before its health is checked, doubling while it goes on failing.
    pub(super) fn new(all: Vec<Share>, first_rest: Duration, longest_rest: Duration) -> Self {
        let standings = all.iter().map(|_| Standing::default()).collect();
        let state = State { standings, clock: 0.0, removed: 0, returned: 0 };
        Self { all, state: Mutex::new(state), first_rest, longest_rest, returned: Notify::new() }
    }

    /// How many there are, and how they fared.
    pub fn counts(&self) -> ServerCounts {
        let state = self.lock();
        let up = state.standings.iter().filter(|standing| standing.health == Health::Up).count();
        ServerCounts { all: self.all.len(), up, removed: state.removed, returned: state.returned }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn url(&self, index: usize) -> &Url {
        &self.all[index].url
    }

    /// The server to ask next among those that `may` be asked: one that works before one set aside, one that this call
    /// has not failed on before others, then the least loaded for its weight, then the one whose turn it is.
    pub(super) fn pick(&self, attempts: &[Attempt], may: impl Fn(&Attempt) -> bool) -> Call<'_> {
        let mut state = self.lock();
        let rank = |&index: &usize| {
            let (standing, weight) = (&state.standings[index], self.all[index].weight);
            let class = match standing.health {
                Health::Up => (0, None),
                Health::OnTrial => (u8::from(standing.in_flight > 0), None),
                Health::Aside(until) => (2, Some(until)),
            };
            let (load, due) = (standing.in_flight as f64 / weight, standing.due.max(state.clock));
            // Neither is negative or not a number, so their bits order as they do.
            (class.0, attempts[index].failed, class.1, load.to_bits(), due.to_bits())
        };
        let index = (0..self.all.len()).filter(|&index| may(&attempts[index])).min_by_key(rank).unwrap_or(0);
        let due = state.standings[index].due.max(state.clock);
        state.clock = due;
        let standing = &mut state.standings[index];
        standing.due = due + 1.0 / self.all[index].weight;
        standing.in_flight += 1;
        Call { servers: self, index }
    }

    /// A call to the server at `index`.
    pub(super) fn call(&self, index: usize) -> Call<'_> {
        self.lock().standings[index].in_flight += 1;
        Call { servers: self, index }
    }

    /// Whether a server that `may` be asked works, or has its call free to show that it does.
    pub(super) fn any_ready(&self, attempts: &[Attempt], may: impl Fn(&Attempt) -> bool) -> bool {
        let ready = |standing: &Standing| match standing.health {
            Health::Up => true,
            Health::OnTrial => standing.in_flight == 0,
            Health::Aside(_) => false,
        };
        let state = self.lock();
        state.standings.iter().zip(attempts).any(|(standing, attempt)| may(attempt) && ready(standing))
    }

    /// Waits for `pause`, or until a server comes back.
    pub(super) async fn wait(&self, pause: Duration) {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.returned.notified() => {}
        }
    }

    /// When the health of the server at `index` is to be checked; nothing where it is no more set aside, and whoever asks
    /// has to check it no longer.
    pub(super) fn next_check(&self, index: usize) -> Option<Instant> {
        let mut state = self.lock();
        let standing = &mut state.standings[index];
        match standing.health {
            Health::Aside(until) => Some(until),
            Health::Up | Health::OnTrial => {
                standing.watched = false;
                None
            }
        }
    }

    /// The health of a server that was set aside was checked at `now`.
    pub(super) fn probed(&self, index: usize, well: bool, now: Instant) {
        let mut state = self.lock();
        let standing = &mut state.standings[index];
        if !matches!(standing.health, Health::Aside(_)) {
            return;
        }
        if well {
            standing.health = Health::OnTrial;
            tracing::debug!("{} says that it is well: one call will show", self.url(index));
            self.returned.notify_waiters();
        } else {
            standing.health = Health::Aside(now + self.rest(standing, None));
            standing.failures_in_a_row += 1;
        }
    }

    /// How long a server rests after one more failure, or as long as it `asked` for.
    fn rest(&self, standing: &Standing, asked: Option<Duration>) -> Duration {
        let doubled = self.first_rest.saturating_mul(1 << standing.failures_in_a_row.min(20));
        doubled.max(asked.unwrap_or_default()).min(self.longest_rest)
    }

    /// A panic elsewhere cannot leave it half changed.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One call in flight; it counts until it is dropped.
#[derive(Debug)]
pub(super) struct Call<'a> {
    servers: &'a Servers,
    pub(super) index: usize,
}

impl Call<'_> {
    pub(super) fn url(&self) -> &Url {
        self.servers.url(self.index)
    }

    /// The server answered: it works.
    pub(super) fn succeeded(&self) {
        let mut state = self.servers.lock();
        let standing = &mut state.standings[self.index];
        standing.failures_in_a_row = 0;
        if std::mem::take(&mut standing.health) == Health::Up {
            return;
        }
        state.returned += 1;
        self.servers.returned.notify_waiters();
        if self.servers.len() > 1 {
            tracing::warn!("{} answers again and is asked again", self.url());
        }
    }

    /// The server failed at `now` with `why`: it is set aside, for at least as long as it `asked` for, within the longest rest.
    /// Calls that fail while it is aside already were made before it was known; they do not make its rest longer by
    /// themselves. Says whether somebody has to check its health from now on.
    pub(super) fn failed(&self, why: &SearchError, asked: Option<Duration>, now: Instant) -> bool {
        let mut state = self.servers.lock();
        let standing = &mut state.standings[self.index];
        let was = standing.health;
        if let Health::Aside(until) = was {
            let longest = now + asked.unwrap_or_default().min(self.servers.longest_rest);
            standing.health = Health::Aside(until.max(longest));
            return false;
        }
        standing.health = Health::Aside(now + self.servers.rest(standing, asked));
        standing.failures_in_a_row += 1;
        let several = self.servers.len() > 1;
        let begins = several && !std::mem::replace(&mut standing.watched, several);
        if was == Health::Up {
            state.removed += 1;
            let left = state.standings.iter().filter(|standing| standing.health == Health::Up).count();
            if several {
                tracing::warn!(
                    "a server is set aside until it is well again, {left} of {} go on: {why}",
                    self.servers.len()
                );
            }
        }
        begins
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.servers.lock().standings[self.index].in_flight -= 1;
    }
}

#[cfg(test)]
mod tests;
