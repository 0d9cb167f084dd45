//! Servers in tests: who is asked, who is set aside, and who comes back.

use super::*;

fn servers(weights: &[f64]) -> Servers {
    let share = |(i, &weight): (usize, &f64)| Share {
        url: Url::parse(&format!("http://h:{}", i + 1)).unwrap(),
        weight,
    };
    Servers::new(weights.iter().enumerate().map(share).collect(), seconds(1), seconds(8))
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn why() -> SearchError {
    SearchError::Unreachable { url: "http://h".into(), problem: "refused".into() }
}

/// A call of one that was not made before.
fn pick(servers: &Servers) -> Call<'_> {
    servers.pick(&vec![Attempt::default(); servers.len()], |_| true)
}

/// How many of `calls` go to each server.
fn shares(servers: &Servers, calls: &[Call<'_>]) -> Vec<usize> {
    (0..servers.len()).map(|index| calls.iter().filter(|call| call.index == index).count()).collect()
}

/// Calls that are made one after another and stay: 3 to 1 of 12 are 9 and 3; calls that end at once are shared alike.
#[test]
fn calls_are_shared_by_weight_whether_they_stay_or_end() {
    let even = servers(&[1.0, 1.0, 1.0]);
    let calls: Vec<Call<'_>> = (0..9).map(|_| pick(&even)).collect();
    assert_eq!(shares(&even, &calls), [3, 3, 3]);
    let uneven = servers(&[1.0, 3.0]);
    let calls: Vec<Call<'_>> = (0..12).map(|_| pick(&uneven)).collect();
    assert_eq!(shares(&uneven, &calls), [3, 9]);
    drop(calls);
    assert!(uneven.lock().standings.iter().all(|standing| standing.in_flight == 0));
    let mut asked = [0, 0];
    (0..12).for_each(|_| asked[pick(&uneven).index] += 1);
    assert_eq!(asked, [3, 9]);
}

#[test]
fn the_least_loaded_for_its_weight_is_asked() {
    let servers = servers(&[2.0, 1.0]);
    // Loads 2/2 and 0/1, then 2/2 and 1/1 with the second served last, so 3/2 and 1/1, so the second again.
    let _busy = [servers.call(0), servers.call(0)];
    let order: Vec<Call<'_>> = (0..3).map(|_| pick(&servers)).collect();
    assert_eq!(order.iter().map(|call| call.index).collect::<Vec<_>>(), [1, 0, 1]);
}

#[test]
fn a_failing_server_is_asked_when_it_says_that_it_is_well_and_then_once() {
    let (servers, start) = (servers(&[1.0, 1.0]), Instant::now());
    assert!(servers.call(0).failed(&why(), None, start), "nobody checks it yet");
    assert_eq!(servers.next_check(0), Some(start + seconds(1)));
    let asked = || (0..4).filter(|_| pick(&servers).index == 0).count();
    assert_eq!(asked(), 0);
    servers.probed(0, false, start + seconds(1));
    assert_eq!(servers.next_check(0), Some(start + seconds(3)), "it rests twice as long each time");
    servers.probed(0, true, start + seconds(3));
    assert_eq!(servers.next_check(0), None);
    let trial = pick(&servers);
    assert_eq!((trial.index, asked()), (0, 0), "one call at a time until one has come back");
    trial.succeeded();
    drop(trial);
    assert!((2..=3).contains(&asked()), "about half of four");
    assert_eq!(servers.counts(), ServerCounts { all: 2, up: 2, removed: 1, returned: 1 });
}

#[test]
fn a_server_that_fails_its_trial_was_removed_once_and_is_checked_again() {
    let (servers, start) = (servers(&[1.0, 1.0]), Instant::now());
    servers.call(0).failed(&why(), None, start);
    servers.probed(0, true, start + seconds(1));
    assert_eq!(servers.next_check(0), None);
    assert!(servers.call(0).failed(&why(), None, start + seconds(2)));
    assert_eq!(servers.next_check(0), Some(start + seconds(4)), "it rests twice as long");
    assert_eq!(servers.counts(), ServerCounts { all: 2, up: 1, removed: 1, returned: 0 });
}

/// Ten calls that were under way when a server died count once; a rest that is asked for is kept, within the longest.
#[test]
fn failures_at_the_same_time_count_once_and_rests_are_bounded() {
    let (servers, start) = (servers(&[1.0, 1.0]), Instant::now());
    let begun = (0..10).filter(|_| servers.call(0).failed(&why(), None, start)).count();
    assert_eq!((begun, servers.counts().removed), (1, 1));
    assert_eq!(servers.next_check(0), Some(start + seconds(1)));
    servers.call(0).failed(&why(), Some(seconds(3600)), start);
    assert_eq!(servers.next_check(0), Some(start + seconds(8)));
}

#[test]
fn where_all_are_aside_those_that_the_call_has_not_failed_on_come_first() {
    let (servers, start) = (servers(&[1.0, 1.0, 1.0]), Instant::now());
    for (index, rest) in [(0, 5), (1, 2), (2, 3)] {
        servers.call(index).failed(&why(), Some(seconds(rest)), start);
    }
    let mut attempts = vec![Attempt::default(); 3];
    assert!(!servers.any_ready(&attempts, |_| true));
    assert_eq!(servers.pick(&attempts, |_| true).index, 1, "the one whose rest ends first");
    attempts[1].failed = 1;
    assert_eq!(servers.pick(&attempts, |_| true).index, 2);
    assert_eq!(servers.pick(&attempts, |attempt| attempt.failed > 0).index, 1);
}

/// A server that was away for a hundred calls gets about half of the next, not all of them.
#[test]
fn who_was_away_does_not_make_up_for_it() {
    let (servers, start) = (servers(&[1.0, 1.0]), Instant::now());
    servers.call(0).failed(&why(), None, start);
    (0..100).for_each(|_| assert_eq!(pick(&servers).index, 1));
    servers.call(0).succeeded();
    let asked = (0..10).filter(|_| pick(&servers).index == 0).count();
    assert!((5..=6).contains(&asked), "{asked} of 10");
}
