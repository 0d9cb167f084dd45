//! Choosing the next token from a row of logits.

use std::cmp::Ordering;

use rand::RngExt;
use zerosearch_learner::seed::Seed;
use zerosearch_learner::{SamplingRequest, TokenId};

use crate::kernels::{Isa, LogSoftmax, STRETCH, log_softmax_and_sums, weights};

/// How far below the likeliest entry, in nats, the entries that top-k and top-p leave are looked for, nearest first.
const DEPTHS: [f32; 4] = [4.0, 8.0, 16.0, f32::INFINITY];

/// An index of the vocabulary and its weight.
type Entry = (usize, f32);

/// The `index`-th new token of a request and its log-probability under softmax(logits / temperature), where greedy
/// sampling reports temperature 1; NaN where the logits are not finite.
pub(super) fn pick(isa: Isa, logits: &[f32], request: &SamplingRequest, index: usize) -> (TokenId, f32) {
    let inverse = if request.temperature > 0.0 { 1.0 / request.temperature } else { 1.0 };
    let (softmax, sums) = log_softmax_and_sums(isa, logits, inverse);
    if !softmax.log_sum.is_finite() {
        return (0, f32::NAN);
    }
    let row = Row { isa, logits, inverse, softmax, sums };
    let chosen = if request.temperature == 0.0 {
        row.likeliest()
    } else {
        let draw: f64 = Seed::run(request.seed).index(index as u64).generator().random();
        if request.top_p >= 1.0 && request.top_k == 0 {
            row.draw(draw)
        } else {
            draw_from(&row.head(request), draw)
        }
    };
    (chosen as TokenId, softmax.logprob(logits[chosen] * inverse))
}

/// A row of logits and what it sums to.
struct Row<'a> {
    isa: Isa,
    logits: &'a [f32],
    inverse: f32,
    softmax: LogSoftmax,
    /// Of each stretch.
    sums: Vec<f32>,
}

impl Row<'_> {
    /// The first of the largest.
    fn likeliest(&self) -> usize {
        let is_largest = |logit: &f32| *logit * self.inverse == self.softmax.maximum;
        self.logits.iter().position(is_largest).unwrap_or(0)
    }

    /// The stretch, and the entry in it, at which the running sum passes `draw` (in [0, 1)) of the total.
    fn draw(&self, draw: f64) -> usize {
        let mut left = draw * total(self.sums.iter().copied());
        let stretch = passes(self.sums.iter().copied(), &mut left);
        let from = stretch * STRETCH;
        let logits = &self.logits[from..(from + STRETCH).min(self.logits.len())];
        from + passes(self.weights(logits).into_iter(), &mut left)
    }

    fn weights(&self, logits: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; logits.len()];
        weights(self.isa, logits, self.inverse, self.softmax.maximum, &mut out);
        out
    }

    /// The entries that top-k and, of these, top-p leave.
    fn head(&self, request: &SamplingRequest) -> Vec<Entry> {
        let share = f64::from(request.top_p);
        if request.top_k == 0 {
            let wanted = share * total(self.sums.iter().copied());
            let mut entries = self.nearest(|entries| weight_of(entries) >= wanted);
            keep_nucleus(&mut entries, wanted);
            return entries;
        }
        let mut entries = self.nearest(|entries| entries.len() >= request.top_k);
        keep_likeliest(&mut entries, request.top_k);
        if request.top_p < 1.0 {
            let wanted = share * weight_of(&entries);
            keep_nucleus(&mut entries, wanted);
        }
        entries
    }

    /// The entries near the likeliest: as many as it takes, or all.
    fn nearest(&self, enough: impl Fn(&[Entry]) -> bool) -> Vec<Entry> {
        let mut entries = Vec::new();
        for depth in DEPTHS {
            entries = self.above(depth);
            if enough(&entries) {
                break;
            }
        }
        entries
    }

    /// The entries at most `depth` below the likeliest.
    fn above(&self, depth: f32) -> Vec<Entry> {
        let least = self.softmax.maximum - depth;
        let near = |&(_, &logit): &(usize, &f32)| logit * self.inverse >= least;
        let (indices, logits): (Vec<usize>, Vec<f32>) = self.logits.iter().enumerate().filter(near).unzip();
        indices.into_iter().zip(self.weights(&logits)).collect()
    }
}

fn total(weights: impl Iterator<Item = f32>) -> f64 {
    weights.map(f64::from).sum()
}

fn weight_of(entries: &[Entry]) -> f64 {
    total(entries.iter().map(|entry| entry.1))
}

/// Where the running sum passes `left`, which becomes what is left of it there.
fn passes(weights: impl Iterator<Item = f32>, left: &mut f64) -> usize {
    let mut last = 0;
    for (index, weight) in weights.enumerate().filter(|entry| entry.1 > 0.0) {
        last = index;
        if *left < f64::from(weight) {
            break;
        }
        *left -= f64::from(weight);
    }
    last
}

fn draw_from(entries: &[Entry], draw: f64) -> usize {
    let mut left = draw * weight_of(entries);
    entries[passes(entries.iter().map(|entry| entry.1), &mut left)].0
}

/// Likeliest first; of equals, the first.
fn order(a: &Entry, b: &Entry) -> Ordering {
    b.1.total_cmp(&a.1).then(a.0.cmp(&b.0))
}

/// Keeps the `count` likeliest, in the order of the vocabulary.
fn keep_likeliest(entries: &mut Vec<Entry>, count: usize) {
    if count < entries.len() {
        let mut ranked = entries.clone();
        let last = *ranked.select_nth_unstable_by(count - 1, order).1;
        entries.retain(|entry| order(entry, &last).is_le());
    }
}

/// Keeps the likeliest that weigh `wanted` together, at least one.
fn keep_nucleus(entries: &mut Vec<Entry>, mut wanted: f64) {
    let mut ranked = entries.clone();
    let (mut from, mut to) = (0, ranked.len());
    while to - from > 1 {
        let middle = from.midpoint(to);
        ranked[from..to].select_nth_unstable_by(middle - from, order);
        let weight = weight_of(&ranked[from..middle]);
        if weight >= wanted {
            to = middle;
        } else {
            wanted -= weight;
            from = middle;
        }
    }
    keep_likeliest(entries, to);
}

#[cfg(test)]
mod tests {
    use super::*;

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
            let (token, _) = pick(Isa::detect(), &logits, &request, 3);
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

    /// Logits of a vocabulary of several stretches, the last not whole, with equals among them.
    fn many() -> Vec<f32> {
        (0..3 * STRETCH + 37).map(|at| ((at * 7919) % 1009) as f32 / 100.0).collect()
    }

    fn draw_of(request: &SamplingRequest) -> f64 {
        Seed::run(request.seed).index(3).generator().random()
    }

    /// By walking along the whole vocabulary in f64.
    #[test]
    fn a_draw_is_where_the_running_sum_passes_it() {
        let logits = many();
        for seed in 0..200 {
            let request = request(1.0, 1.0, 0, seed);
            let mut left =
                draw_of(&request) * logits.iter().map(|&logit| f64::from(logit).exp()).sum::<f64>();
            let expected = logits.iter().position(|&logit| {
                left -= f64::from(logit).exp();
                left < 0.0
            });
            let (token, logprob) = pick(Isa::detect(), &logits, &request, 3);
            assert_eq!(Some(token as usize), expected, "seed {seed}");
            let sum: f64 = logits.iter().map(|&logit| f64::from(logit).exp()).sum();
            assert!((f64::from(logits[token as usize]) - sum.ln() - f64::from(logprob)).abs() < 1e-5);
        }
    }

    /// By sorting the whole vocabulary in f64.
    #[test]
    fn the_head_is_what_sorting_leaves() {
        let logits = many();
        for (top_p, top_k) in [(0.01, 0), (0.3, 0), (0.999, 0), (1.0, 7), (1.0, 2500), (0.5, 40), (1.0, 9999)]
        {
            let mut ranked: Vec<usize> = (0..logits.len()).collect();
            ranked.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
            ranked.truncate(if top_k == 0 { logits.len() } else { top_k });
            let sum: f64 = ranked.iter().map(|&at| f64::from(logits[at]).exp()).sum();
            let mut reached = 0.0;
            ranked.retain(|&at| {
                let wanted = reached < f64::from(top_p) * sum;
                reached += f64::from(logits[at]).exp();
                wanted
            });
            ranked.sort_unstable();
            let (softmax, sums) = log_softmax_and_sums(Isa::detect(), &logits, 1.0);
            let row = Row { isa: Isa::detect(), logits: &logits, inverse: 1.0, softmax, sums };
            let head = row.head(&request(1.0, top_p, top_k, 0));
            let head: Vec<usize> = head.into_iter().map(|entry| entry.0).collect();
            assert!(head == ranked, "top_p {top_p}, top_k {top_k}: {} for {}", head.len(), ranked.len());
        }
    }

    #[test]
    fn logits_that_are_not_finite_are_told() {
        for bad in [f32::NAN, f32::INFINITY] {
            for top_p in [0.5, 1.0] {
                assert!(pick(Isa::detect(), &[0.0, bad, 1.0], &request(1.0, top_p, 0, 1), 0).1.is_nan());
            }
        }
    }
}
