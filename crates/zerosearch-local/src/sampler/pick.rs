//! Choosing the next token from a row of logits.

use rand::RngExt;
use zerosearch_learner::seed::Seed;
use zerosearch_learner::{SamplingRequest, TokenId};

use crate::kernels::{Isa, LogSoftmax, probabilities};

/// The temperature whose softmax the log-probabilities belong to: greedy sampling reports temperature 1.
pub(super) fn inverse_temperature(request: &SamplingRequest) -> f32 {
    if request.temperature > 0.0 { 1.0 / request.temperature } else { 1.0 }
}

/// The `index`-th new token of a request and its log-probability. `sum` belongs to `logits`.
pub(super) fn pick(
    isa: Isa,
    logits: &[f32],
    sum: LogSoftmax,
    request: &SamplingRequest,
    index: usize,
) -> (TokenId, f32) {
    let inverse = inverse_temperature(request);
    if request.temperature == 0.0 {
        let best = likeliest(logits);
        return (best as TokenId, sum.logprob(logits[best] * inverse));
    }
    let draw: f64 = Seed::run(request.seed).index(index as u64).generator().random();
    let mut weights = logits.to_vec();
    probabilities(isa, &mut weights, inverse, sum);
    let whole = request.top_p >= 1.0 && request.top_k == 0;
    let chosen = if whole {
        draw_from(weights.iter().copied().enumerate(), draw)
    } else {
        draw_from(head_of(&weights, request).into_iter(), draw)
    };
    (chosen as TokenId, sum.logprob(logits[chosen] * inverse))
}

/// The first of the largest.
fn likeliest(logits: &[f32]) -> usize {
    let mut best = 0;
    for (index, &logit) in logits.iter().enumerate() {
        if logit > logits[best] {
            best = index;
        }
    }
    best
}

/// The likeliest entries that top-k and top-p leave, likeliest first.
fn head_of(weights: &[f32], request: &SamplingRequest) -> Vec<(usize, f32)> {
    let mut entries: Vec<(usize, f32)> = weights.iter().copied().enumerate().collect();
    let order = |a: &(usize, f32), b: &(usize, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    if request.top_k > 0 && request.top_k < entries.len() {
        entries.select_nth_unstable_by(request.top_k - 1, order);
        entries.truncate(request.top_k);
    }
    entries.sort_unstable_by(order);
    let total: f64 = entries.iter().map(|entry| f64::from(entry.1)).sum();
    let mut reached = 0.0;
    let kept = entries.iter().take_while(|entry| {
        let wanted = reached < f64::from(request.top_p) * total;
        reached += f64::from(entry.1);
        wanted
    });
    let kept = kept.count().max(1);
    entries.truncate(kept);
    entries
}

/// The entry at which the running sum passes `draw` (in [0, 1)) of the total.
fn draw_from(weights: impl Iterator<Item = (usize, f32)> + Clone, draw: f64) -> usize {
    let total: f64 = weights.clone().map(|(_, weight)| f64::from(weight)).sum();
    let mut left = draw * total;
    let mut last = 0;
    for (index, weight) in weights {
        if weight > 0.0 {
            last = index;
            left -= f64::from(weight);
            if left < 0.0 {
                break;
            }
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{Threads, log_softmax_rows};

    fn request(temperature: f32, top_p: f32, top_k: usize, seed: u64) -> SamplingRequest {
        SamplingRequest {
            prompt: vec![0],
            max_tokens: 1,
            temperature,
            top_p,
            top_k,
            stop_strings: Vec::new(),
            stop_tokens: Vec::new(),
            seed,
        }
    }

    fn draws(probabilities: &[f32], make: impl Fn(u64) -> SamplingRequest) -> Vec<f64> {
        let logits: Vec<f32> = probabilities.iter().map(|p| p.ln()).collect();
        let mut counts = vec![0.0; logits.len()];
        for seed in 0..4000 {
            let request = make(seed);
            let mut sum = [LogSoftmax::default()];
            let threads = Threads::new(1);
            log_softmax_rows((Isa::detect(), &threads), &logits, &[inverse_temperature(&request)], &mut sum);
            let (token, _) = pick(Isa::detect(), &logits, sum[0], &request, 3);
            counts[token as usize] += 1.0 / 4000.0;
        }
        counts
    }

    fn close(got: &[f64], expected: &[f64]) {
        // Four standard errors of a share at n = 4000 are at most 0.032.
        assert!(got.iter().zip(expected).all(|(g, e)| (g - e).abs() < 0.032), "{got:?} for {expected:?}");
    }

    #[test]
    fn draws_follow_the_distribution() {
        close(&draws(&[0.1, 0.2, 0.7], |seed| request(1.0, 1.0, 0, seed)), &[0.1, 0.2, 0.7]);
        // Temperature 1/2 squares: 0.01, 0.04, 0.49 over 0.54.
        close(&draws(&[0.1, 0.2, 0.7], |seed| request(0.5, 1.0, 0, seed)), &[0.0185, 0.0741, 0.9074]);
    }

    #[test]
    fn top_k_and_top_p_cut_the_tail() {
        close(&draws(&[0.1, 0.3, 0.6], |seed| request(1.0, 1.0, 2, seed)), &[0.0, 1.0 / 3.0, 2.0 / 3.0]);
        close(&draws(&[0.1, 0.3, 0.6], |seed| request(1.0, 0.5, 0, seed)), &[0.0, 0.0, 1.0]);
        close(&draws(&[0.1, 0.3, 0.6], |seed| request(1.0, 0.7, 0, seed)), &[0.0, 1.0 / 3.0, 2.0 / 3.0]);
    }

    #[test]
    fn greedy_takes_the_first_of_the_likeliest() {
        let got = draws(&[0.2, 0.4, 0.4], |seed| request(0.0, 1.0, 0, seed));
        assert_eq!(got.iter().map(|share| share.round()).collect::<Vec<_>>(), [0.0, 1.0, 0.0]);
    }
}
