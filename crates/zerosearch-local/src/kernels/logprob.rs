//! Log-probabilities of a row of logits, and the gradient that flows back into it.
//!
//! `lp_j = z_j - ln sum_i e^(z_i)` with `z = logits / temperature`. The vocabulary is cut into stretches of [`STRETCH`]; in each,
//! sixteen sums run side by side and are added in a fixed order at the end. The sums of the stretches are what a draw walks
//! along first.

use super::exp::exp;
use super::isa::{Isa, for_each_isa};
use super::strip::{LANES, Lanes};
use super::threads::Threads;

/// Entries of the vocabulary that are summed together.
pub(crate) const STRETCH: usize = 1024;

/// What a row of logits sums to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct LogSoftmax {
    /// The largest `z`.
    pub(crate) maximum: f32,
    /// `ln sum_i e^(z_i - maximum)`
    pub(crate) log_sum: f32,
    /// Entropy in nats; 0 where it was not asked for.
    pub(crate) entropy: f32,
}

impl LogSoftmax {
    /// The log-probability of an entry whose `z` is given.
    pub(crate) fn logprob(&self, z: f32) -> f32 {
        z - self.maximum - self.log_sum
    }
}

/// One sum for each row of `logits`, which is `[out.len()][vocabulary]`; each row has its own temperature.
pub(crate) fn log_softmax_rows(
    (isa, threads): (Isa, &Threads),
    logits: &[f32],
    inverse_temperatures: &[f32],
    out: &mut [LogSoftmax],
) {
    let vocabulary = logits.len() / out.len().max(1);
    threads.each_chunk(out, 1, |row, out| {
        let logits = &logits[row * vocabulary..][..vocabulary];
        let mut sums = vec![0.0; vocabulary.div_ceil(STRETCH)];
        sum_row(isa, logits, inverse_temperatures[row], (&mut sums, &mut out[0]), true);
    });
}

/// One row without its entropy, and the sum of `e^(z - maximum)` over each of its stretches.
pub(crate) fn log_softmax_and_sums(
    isa: Isa,
    logits: &[f32],
    inverse_temperature: f32,
) -> (LogSoftmax, Vec<f32>) {
    let mut sums = vec![0.0; logits.len().div_ceil(STRETCH)];
    let mut out = LogSoftmax::default();
    sum_row(isa, logits, inverse_temperature, (&mut sums, &mut out), false);
    (out, sums)
}

for_each_isa! {
    /// Writes `e^(z - maximum)` of each logit.
    pub(crate) fn weights(logits: &[f32], inverse_temperature: f32, maximum: f32, out: &mut [f32]) = weights_body;
}

#[inline(always)]
fn weights_body<const FUSED: bool>(logits: &[f32], inverse_temperature: f32, maximum: f32, out: &mut [f32]) {
    for (out, &logit) in out.iter_mut().zip(logits) {
        *out = exp(logit * inverse_temperature - maximum);
    }
}

for_each_isa! {
    fn sum_row(
        logits: &[f32],
        inverse_temperature: f32,
        out: (&mut [f32], &mut LogSoftmax),
        entropy: bool,
    ) = sum_row_body;
}

#[inline(always)]
fn sum_row_body<const FUSED: bool>(
    logits: &[f32],
    inverse_temperature: f32,
    (sums, out): (&mut [f32], &mut LogSoftmax),
    entropy: bool,
) {
    let maximum = largest(logits) * inverse_temperature;
    let (mut total, mut product) = (0.0, 0.0);
    for (logits, sum) in logits.chunks(STRETCH).zip(sums) {
        let (weights, products) = if entropy {
            sum_stretch::<true>(logits, inverse_temperature, maximum)
        } else {
            sum_stretch::<false>(logits, inverse_temperature, maximum)
        };
        *sum = weights;
        total += f64::from(weights);
        product += f64::from(products);
    }
    let log_sum = total.ln();
    let entropy = if entropy { (log_sum - product / total) as f32 } else { 0.0 };
    *out = LogSoftmax { maximum, log_sum: log_sum as f32, entropy };
}

#[inline(always)]
fn largest(logits: &[f32]) -> f32 {
    let (whole, rest) = logits.as_chunks::<{ 4 * LANES }>();
    let mut maxima = [f32::NEG_INFINITY; 4 * LANES];
    for chunk in whole {
        for (maximum, &logit) in maxima.iter_mut().zip(chunk) {
            *maximum = if logit > *maximum { logit } else { *maximum };
        }
    }
    maxima.into_iter().chain(rest.iter().copied()).fold(f32::NEG_INFINITY, f32::max)
}

/// The sums of `e^d` and, if wanted, of `e^d d` over one stretch, where `d = z - maximum`.
#[inline(always)]
fn sum_stretch<const ENTROPY: bool>(logits: &[f32], inverse_temperature: f32, maximum: f32) -> (f32, f32) {
    let (whole, rest) = logits.as_chunks::<LANES>();
    let (mut sums, mut products): (Lanes, Lanes) = ([0.0; LANES], [0.0; LANES]);
    let mut add = |lane: usize, logit: f32| {
        let below = logit * inverse_temperature - maximum;
        let weight = exp(below);
        sums[lane] += weight;
        if ENTROPY {
            products[lane] += weight * below;
        }
    };
    for chunk in whole {
        (0..LANES).for_each(|lane| add(lane, chunk[lane]));
    }
    rest.iter().enumerate().for_each(|(lane, &logit)| add(lane, logit));
    (sums.into_iter().sum(), products.into_iter().sum())
}

/// What one row's loss sends back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowGradient {
    /// The token whose log-probability the loss depends on.
    pub(crate) target: usize,
    /// d loss / d log-probability of the target.
    pub(crate) logprob: f32,
    /// d loss / d entropy.
    pub(crate) entropy: f32,
}

/// Replaces each row of logits by d loss / d logits:
/// `(g_lp * (1[j = target] - p_j) - g_H * p_j * (lp_j + H)) / temperature`.
pub(crate) fn logits_gradient(
    (isa, threads): (Isa, &Threads),
    logits: &mut [f32],
    inverse_temperature: f32,
    rows: &[(LogSoftmax, RowGradient)],
) {
    let vocabulary = logits.len() / rows.len().max(1);
    threads.each_chunk(logits, vocabulary, |row, logits| {
        gradient_row(isa, logits, inverse_temperature, rows[row]);
    });
}

for_each_isa! {
    fn gradient_row(logits: &mut [f32], inverse_temperature: f32, row: (LogSoftmax, RowGradient)) = gradient_row_body;
}

#[inline(always)]
fn gradient_row_body<const FUSED: bool>(
    logits: &mut [f32],
    inverse_temperature: f32,
    (softmax, gradient): (LogSoftmax, RowGradient),
) {
    for logit in logits.iter_mut() {
        let logprob = softmax.logprob(*logit * inverse_temperature);
        let slope = gradient.logprob + gradient.entropy * (logprob + softmax.entropy);
        *logit = -exp(logprob) * slope * inverse_temperature;
    }
    logits[gradient.target] += gradient.logprob * inverse_temperature;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: logits (ln 1, ln 2, ln 5) have probabilities 1/8, 2/8, 5/8.
    #[test]
    fn matches_hand_arithmetic() {
        let threads = Threads::new(1);
        let logits = [0.0, 2.0_f32.ln(), 5.0_f32.ln()];
        let mut out = [LogSoftmax::default()];
        log_softmax_rows((Isa::detect(), &threads), &logits, &[1.0], &mut out);
        let entropy = -(0.125_f32 * 0.125_f32.ln() + 0.25 * 0.25_f32.ln() + 0.625 * 0.625_f32.ln());
        assert!((out[0].logprob(logits[1]).exp() - 0.25).abs() < 1e-6);
        assert!((out[0].entropy - entropy).abs() < 1e-6);
    }

    #[test]
    fn the_gradient_is_the_slope() {
        let threads = Threads::new(2);
        let (vocabulary, target, inverse) = (37, 5, 1.0 / 0.7);
        let logits: Vec<f32> = (0..2 * vocabulary).map(|i| ((i * 31 % 61) as f32 - 30.0) / 12.0).collect();
        for isa in Isa::ALL.into_iter().filter(|isa| isa.available()) {
            let loss = |logits: &[f32]| -> f64 {
                let mut out = [LogSoftmax::default(); 2];
                log_softmax_rows((isa, &threads), logits, &[inverse; 2], &mut out);
                let row = |r: usize| {
                    let z = logits[r * vocabulary + target] * inverse;
                    1.3 * f64::from(out[r].logprob(z)) - 0.4 * f64::from(out[r].entropy)
                };
                row(0) + row(1)
            };
            let mut sums = [LogSoftmax::default(); 2];
            log_softmax_rows((isa, &threads), &logits, &[inverse; 2], &mut sums);
            let gradient = RowGradient { target, logprob: 1.3, entropy: -0.4 };
            let mut slopes = logits.clone();
            let rows = [(sums[0], gradient), (sums[1], gradient)];
            logits_gradient((isa, &threads), &mut slopes, inverse, &rows);
            for at in 0..logits.len() {
                let (mut up, mut down) = (logits.clone(), logits.clone());
                up[at] += 1e-2;
                down[at] -= 1e-2;
                let slope = (loss(&up) - loss(&down)) / 2e-2;
                assert!((slope - f64::from(slopes[at])).abs() < 1e-3, "{isa} [{at}] {slope} {}", slopes[at]);
            }
        }
    }
}
