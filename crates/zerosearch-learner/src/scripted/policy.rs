//! The bigram policy: frozen weights that sample and score.

use std::sync::Arc;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::bigram::{Table, pick};
use super::writing::{Writing, check_row};
use crate::text::Text;
use crate::{Boxed, LearnerError, Policy, Result, Sample, SamplingRequest, TokenId};

/// The weights of a [`super::BigramLearner`] as they were when it was asked for them.
pub struct BigramPolicy {
    pub(super) text: Arc<Text>,
    pub(super) table: Arc<Table>,
    pub(super) context_length: usize,
}

impl BigramPolicy {
    fn reply(&self, request: &SamplingRequest) -> Result<Sample> {
        check_settings(request)?;
        let mut writing = Writing::begin(&self.text, request, self.context_length)?;
        let mut generator = ChaCha8Rng::seed_from_u64(request.seed);
        let temperature = if request.temperature == 0.0 { 1.0 } else { request.temperature };
        while writing.has_room() {
            let logprobs = self.table.logprobs(writing.last(), temperature);
            let token = pick(&logprobs, request, &mut generator);
            if writing.push(token, logprobs[token as usize]) {
                break;
            }
        }
        Ok(writing.finish())
    }

    fn score_row(&self, row: &[TokenId], temperature: f32) -> Result<Vec<f32>> {
        check_row(&self.text, row, self.context_length)?;
        let rest = row.windows(2).map(|pair| self.table.logprobs(pair[0], temperature)[pair[1] as usize]);
        Ok(row.first().map(|_| 0.0).into_iter().chain(rest).collect())
    }
}

impl Policy for BigramPolicy {
    fn sample(&self, request: SamplingRequest) -> Boxed<'_, Result<Sample>> {
        Box::pin(async move { self.reply(&request) })
    }

    fn score<'a>(&'a self, rows: &'a [Vec<TokenId>], temperature: f32) -> Boxed<'a, Result<Vec<Vec<f32>>>> {
        Box::pin(async move {
            if !(temperature.is_finite() && temperature > 0.0) {
                return Err(bad("temperature", f64::from(temperature), "above 0"));
            }
            rows.iter().map(|row| self.score_row(row, temperature)).collect()
        })
    }

    fn context_length(&self) -> usize {
        self.context_length
    }
}

fn check_settings(request: &SamplingRequest) -> Result<()> {
    if !(request.temperature.is_finite() && request.temperature >= 0.0) {
        return Err(bad("temperature", f64::from(request.temperature), "0 or above"));
    }
    if !(request.top_p > 0.0 && request.top_p <= 1.0) {
        return Err(bad("top_p", f64::from(request.top_p), "above 0 and at most 1"));
    }
    if request.stop_strings.iter().any(String::is_empty) {
        return Err(LearnerError::BadRequest("a stop string is empty; leave it out".into()));
    }
    Ok(())
}

fn bad(name: &str, value: f64, range: &str) -> LearnerError {
    LearnerError::BadRequest(format!("`{name}` is {value}; it must be {range}"))
}
