//! Prefill: reading prompts, without writing more than one token.

use anyhow::Result;
use serde::Serialize;
use zerosearch_learner::seed::Seed;
use zerosearch_local::LocalPolicy;

use super::rows::tokens;
use super::sample::replies;
use super::subject::{About, Subject};
use super::times::{Rounds, timed};

/// What is read.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// Rows at once.
    pub rows: usize,
    /// Tokens of each row.
    pub tokens: usize,
    /// How many of them all rows begin with, fewer than `tokens`.
    pub shared: usize,
    /// How often it is measured.
    pub repeats: usize,
}

/// What reading reaches.
#[derive(Debug, Serialize)]
pub struct PrefillFigures {
    #[serde(flatten)]
    about: About,
    rows: usize,
    tokens: usize,
    shared: usize,
    repeats: usize,
    /// The tokens of all rows, shared ones counted in each, over all seconds.
    tokens_per_second: f64,
    seconds: f64,
}

/// Measures `reading`: every row is continued by one token. Every round has new rows and an empty cache.
pub async fn prefill(subject: &Subject<LocalPolicy>, reading: Reading) -> Result<PrefillFigures> {
    let Reading { rows, tokens: length, shared, repeats } = reading;
    let vocabulary = subject.config.vocabulary;
    let mut rounds = Rounds::<1>::default();
    for round in Rounds::<1>::numbers(repeats) {
        let seed = Seed::run(round);
        let beginning = tokens(seed.purpose("beginning"), shared, vocabulary);
        let row = |row| [&beginning[..], &tokens(seed.index(row), length - shared, vocabulary)].concat();
        let prompts: Vec<_> = (0..rows as u64).map(row).collect();
        let (read, seconds) = timed(replies(&subject.model.anew(), &prompts, 1)).await;
        read?;
        rounds.push([seconds]);
    }
    let [seconds] = rounds.medians();
    Ok(PrefillFigures {
        about: subject.about.clone(),
        rows,
        tokens: length,
        shared,
        repeats,
        tokens_per_second: (rows * length) as f64 / seconds,
        seconds,
    })
}
