//! A line: the requests of one model in the order of their numbers, each carried out once.
//!
//! Clients send several requests at once, over connections of which none waits for another. Their numbers say in which
//! order they are meant, and that a request which comes again is the same request.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use sha2::{Digest as _, Sha256};

use super::super::refusal::Refusal;

/// How many of the latest requests are known again.
const MOST_KNOWN: usize = 4096;

/// What a request says, in a few bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Digest([u8; 32]);

impl Digest {
    /// Of a request to `route` with `body`.
    pub(super) fn of(route: &str, body: &[u8]) -> Self {
        Self(Sha256::new().chain_update(route).chain_update([0]).chain_update(body).finalize().into())
    }
}

/// What a request was answered, by its number.
pub(super) struct Known<A> {
    answers: BTreeMap<i64, (Digest, A)>,
}

/// Jobs that wait for those before them.
pub(super) struct Line<J, A> {
    known: Known<A>,
    next: i64,
    parked: BTreeMap<i64, (Instant, Option<J>)>,
}

impl<A: Clone> Known<A> {
    pub(super) fn new() -> Self {
        Self { answers: BTreeMap::new() }
    }

    /// What request `number` was answered, if it came before; another request of that number is refused.
    pub(super) fn answer(&self, number: i64, digest: Digest) -> Result<Option<A>, Refusal> {
        match self.answers.get(&number) {
            Some((known, answer)) if *known == digest => Ok(Some(answer.clone())),
            Some(_) => Err(taken(number)),
            None => Ok(None),
        }
    }

    /// Request `number` is answered `answer`.
    pub(super) fn note(&mut self, number: i64, digest: Digest, answer: A) {
        self.answers.insert(number, (digest, answer));
        while self.answers.len() > MOST_KNOWN {
            self.answers.pop_first();
        }
    }
}

fn taken(number: i64) -> Refusal {
    let message = format!(
        "seq_id {number} belongs to another request that came before; count every request on, and send the same body again only \
         to repeat one"
    );
    Refusal::new(StatusCode::CONFLICT, message).about("seq_id").coded("seq_id_taken")
}

impl<J, A: Clone> Line<J, A> {
    /// A line whose first request has the number 1.
    pub(super) fn new() -> Self {
        Self { known: Known::new(), next: 1, parked: BTreeMap::new() }
    }

    /// What request `number` was answered, if it came before. Another request of its number is refused, and so is one whose
    /// turn was over long ago.
    pub(super) fn answer(&self, number: Option<i64>, digest: Digest) -> Result<Option<A>, Refusal> {
        let Some(number) = number else { return Ok(None) };
        match self.known.answer(number, digest)? {
            None if number < self.next => Err(taken(number)),
            answer => Ok(answer),
        }
    }

    /// A new request, answered with `answer`; one that was refused has no job and is only counted. Gives the jobs whose turn it
    /// is now, in their order. A request without a number has its turn at once.
    pub(super) fn enter(
        &mut self,
        number: Option<i64>,
        (digest, answer): (Digest, A),
        job: Option<J>,
    ) -> Vec<J> {
        let Some(number) = number else { return job.into_iter().collect() };
        self.known.note(number, digest, answer);
        self.parked.insert(number, (Instant::now(), job));
        let mut due = Vec::new();
        while let Some((_, job)) = self.parked.remove(&self.next) {
            self.next += 1;
            due.extend(job);
        }
        due
    }

    /// If requests have waited longer than `limit` for one that never came: its number, and the jobs that are given up with it.
    pub(super) fn overdue(&mut self, limit: Duration) -> Option<(i64, Vec<J>)> {
        let is_late = self.parked.values().any(|(since, _)| since.elapsed() > limit);
        if !is_late {
            return None;
        }
        let missing = self.next;
        self.next = self.parked.keys().next_back().map_or(missing, |last| last + 1);
        let parked = std::mem::take(&mut self.parked);
        Some((missing, parked.into_values().filter_map(|(_, job)| job).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(body: &str) -> Digest {
        Digest::of("route", body.as_bytes())
    }

    fn enter(line: &mut Line<i64, String>, number: i64) -> Vec<i64> {
        let said = number.to_string();
        assert_eq!(line.answer(Some(number), digest(&said)), Ok(None));
        line.enter(Some(number), (digest(&said), said), Some(number))
    }

    #[test]
    fn requests_have_their_turn_by_their_numbers() {
        let mut line = Line::new();
        assert_eq!(enter(&mut line, 1), [1]);
        assert!(enter(&mut line, 3).is_empty());
        assert!(enter(&mut line, 4).is_empty());
        assert_eq!(enter(&mut line, 2), [2, 3, 4]);
        assert_eq!(line.enter(None, (digest(""), String::new()), Some(9)), [9]);
        assert_eq!(enter(&mut line, 5), [5]);
    }

    #[test]
    fn a_repeated_request_gets_its_answer_and_another_of_its_number_is_refused() {
        let mut line = Line::new();
        enter(&mut line, 1);
        assert_eq!(line.answer(Some(1), digest("1")), Ok(Some("1".to_owned())));
        assert!(line.answer(Some(1), digest("other")).is_err());
        assert!(line.answer(Some(1), Digest::of("elsewhere", b"1")).is_err());
        assert!(line.answer(Some(0), digest("0")).is_err(), "its turn is over");
        assert_eq!(line.answer(None, digest("1")), Ok(None));
    }

    /// A refused request takes its turn, so that those behind it do not wait for it.
    #[test]
    fn a_refused_request_is_counted_and_answered_the_same_again() {
        let mut line: Line<i64, String> = Line::new();
        assert!(line.enter(Some(1), (digest("1"), "no".to_owned()), None).is_empty());
        assert_eq!(line.answer(Some(1), digest("1")), Ok(Some("no".to_owned())));
        assert_eq!(enter(&mut line, 2), [2]);
    }

    #[test]
    fn who_waits_for_a_request_that_never_comes_is_told_and_the_line_goes_on() {
        let mut line = Line::new();
        enter(&mut line, 2);
        enter(&mut line, 4);
        assert_eq!(line.overdue(Duration::from_secs(3600)), None);
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!(line.overdue(Duration::from_millis(1)), Some((1, vec![2, 4])));
        assert!(line.answer(Some(3), digest("3")).is_err(), "its turn is over");
        assert_eq!(enter(&mut line, 5), [5]);
    }

    #[test]
    fn only_the_latest_requests_are_known_again() {
        let mut known = Known::new();
        for number in 0..=MOST_KNOWN as i64 {
            known.note(number, digest("a"), ());
        }
        assert_eq!(known.answer(0, digest("a")), Ok(None));
        assert_eq!(known.answer(1, digest("a")), Ok(Some(())));
    }
}
