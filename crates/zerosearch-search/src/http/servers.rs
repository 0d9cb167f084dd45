//! Servers: several addresses with the same model, the least busy first, the failing ones resting.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use reqwest::Url;

/// All servers of one writer.
#[derive(Debug)]
pub(super) struct Servers {
    all: Vec<Server>,
    /// Where the next search for a server starts, so that equals take turns.
    turn: AtomicUsize,
    first_rest: Duration,
    longest_rest: Duration,
}

#[derive(Debug)]
struct Server {
    url: Url,
    in_flight: AtomicUsize,
    health: Mutex<Health>,
}

#[derive(Debug, Default)]
struct Health {
    failures_in_a_row: u32,
    rests_until: Option<Instant>,
}

impl Servers {
    /// Servers at `urls`. One that fails rests for `first_rest`, doubling while it goes on failing.
    pub(super) fn new(urls: Vec<Url>, first_rest: Duration, longest_rest: Duration) -> Self {
        let server = |url| Server { url, in_flight: AtomicUsize::new(0), health: Mutex::default() };
        Self {
            all: urls.into_iter().map(server).collect(),
            turn: AtomicUsize::new(0),
            first_rest,
            longest_rest,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// The server to ask next: awake before resting, not `failed_on` before it, then the least busy. Where all rest,
    /// the one that wakes first.
    pub(super) fn pick(&self, failed_on: Option<usize>, now: Instant) -> Call<'_> {
        let start = self.turn.fetch_add(1, Ordering::Relaxed);
        let rank = |index: usize| {
            let server = &self.all[index];
            let rest = server.health().rests_until.filter(|&until| until > now);
            (rest, failed_on == Some(index), server.in_flight.load(Ordering::Relaxed))
        };
        let count = self.all.len();
        let index =
            (0..count).map(|offset| start.wrapping_add(offset) % count).min_by_key(|&i| rank(i)).unwrap_or(0);
        self.call(index)
    }

    /// A call to the server at `index`.
    pub(super) fn call(&self, index: usize) -> Call<'_> {
        self.all[index].in_flight.fetch_add(1, Ordering::Relaxed);
        Call { servers: self, index }
    }

    /// Whether a server other than `index` is awake at `now`.
    pub(super) fn has_other_awake(&self, index: usize, now: Instant) -> bool {
        let awake = |server: &Server| server.health().rests_until.is_none_or(|until| until <= now);
        self.all.iter().enumerate().any(|(i, server)| i != index && awake(server))
    }
}

impl Server {
    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
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
        &self.servers.all[self.index].url
    }

    /// The server answered: it is awake.
    pub(super) fn succeeded(&self) {
        *self.servers.all[self.index].health() = Health::default();
    }

    /// The server failed at `now`: it rests, for at least `asked` where it said how long, within the longest rest. Calls that
    /// fail while it already rests were made before it was known; they do not make the rest longer by themselves.
    pub(super) fn failed(&self, asked: Option<Duration>, now: Instant) {
        let mut health = self.servers.all[self.index].health();
        let resting = health.rests_until.filter(|&until| until > now);
        let doubled = match resting {
            Some(until) => until - now,
            None => self.servers.first_rest.saturating_mul(1 << health.failures_in_a_row.min(20)),
        };
        health.failures_in_a_row += u32::from(resting.is_none());
        let rest = doubled.max(asked.unwrap_or_default()).min(self.servers.longest_rest);
        health.rests_until = Some(now + rest);
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.servers.all[self.index].in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(count: usize) -> Servers {
        let url = |i| Url::parse(&format!("http://h:{}", i + 1)).unwrap();
        Servers::new((0..count).map(url).collect(), seconds(1), seconds(8))
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn calls_spread_evenly_and_stop_counting_when_dropped() {
        let servers = servers(3);
        let calls: Vec<Call<'_>> = (0..9).map(|_| servers.pick(None, Instant::now())).collect();
        for index in 0..3 {
            assert_eq!(calls.iter().filter(|call| call.index == index).count(), 3);
        }
        drop(calls);
        assert!(servers.all.iter().all(|server| server.in_flight.load(Ordering::Relaxed) == 0));
    }

    #[test]
    fn a_failing_server_rests_twice_as_long_each_time_and_comes_back() {
        let (servers, start) = (servers(2), Instant::now());
        let asked_at = |now| (0..4).any(|_| servers.pick(None, now).index == 0);
        servers.call(0).failed(None, start);
        assert!(!asked_at(start) && !asked_at(start + seconds(1) / 2) && asked_at(start + seconds(1)));
        servers.call(0).failed(None, start + seconds(1));
        assert!(!asked_at(start + seconds(2)) && asked_at(start + seconds(3)));
        servers.call(0).succeeded();
        servers.call(0).failed(None, start + seconds(3));
        assert!(asked_at(start + seconds(4)), "success forgets earlier failures");
    }

    #[test]
    fn failures_at_the_same_time_count_once() {
        let (servers, start) = (servers(2), Instant::now());
        (0..10).for_each(|_| servers.call(0).failed(None, start));
        assert!(!servers.has_other_awake(1, start));
        assert!(servers.has_other_awake(1, start + seconds(1)));
    }

    #[test]
    fn a_rest_asked_for_is_kept_within_the_longest() {
        let (servers, start) = (servers(2), Instant::now());
        servers.call(0).failed(Some(seconds(3600)), start);
        assert!(!servers.has_other_awake(1, start + seconds(7)));
        assert!(servers.has_other_awake(1, start + seconds(8)));
    }

    #[test]
    fn where_all_rest_the_first_to_wake_is_asked() {
        let (servers, start) = (servers(2), Instant::now());
        servers.call(0).failed(Some(seconds(5)), start);
        servers.call(1).failed(Some(seconds(2)), start);
        assert_eq!(servers.pick(Some(1), start).index, 1);
    }
}
