//! One AdamW update (arXiv 1711.05101, algorithm 2) of a stretch of weights.

use super::isa::{Isa, for_each_isa};
use super::threads::{SharedPointer, Threads};

/// Weights of one item of work.
const CHUNK: usize = 1 << 14;

/// The numbers of one update.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AdamwTerms {
    /// What gradients are multiplied by before anything else (clipping).
    pub(crate) gradient_scale: f32,
    /// Learning rate.
    pub(crate) learning_rate: f32,
    /// Decays of the moments.
    pub(crate) betas: (f32, f32),
    /// `1 - beta^step` of each.
    pub(crate) corrections: (f32, f32),
    /// Added to the root.
    pub(crate) epsilon: f32,
    /// Decoupled decay of these weights.
    pub(crate) weight_decay: f32,
}

/// Updates weights and moments in place and sets the gradients to zero; `m` and `v` are the first and second moments.
pub(crate) fn adamw(
    (isa, threads): (Isa, &Threads),
    terms: AdamwTerms,
    weights: &mut [f32],
    gradients: &mut [f32],
    (m, v): (&mut [f32], &mut [f32]),
) {
    let [m_start, v_start] = [&mut *m, &mut *v].map(|moment| SharedPointer(moment.as_mut_ptr()));
    let gradients_start = SharedPointer(gradients.as_mut_ptr());
    assert!(m.len() == weights.len() && v.len() == weights.len() && gradients.len() == weights.len());
    threads.each_chunk(weights, CHUNK, |index, weights| {
        let from = index * CHUNK;
        // SAFETY: all have the weights' length, so this stretch exists; stretches do not overlap.
        let stretch = |start: SharedPointer<f32>| unsafe {
            std::slice::from_raw_parts_mut(start.get().add(from), weights.len())
        };
        let (gradients, moments) = (stretch(gradients_start), (stretch(m_start), stretch(v_start)));
        update(isa, terms, weights, gradients, moments);
    });
}

for_each_isa! {
    fn update(terms: AdamwTerms, weights: &mut [f32], gradients: &mut [f32], moments: (&mut [f32], &mut [f32])) = update_body;
}

#[inline(always)]
fn update_body<const FUSED: bool>(
    terms: AdamwTerms,
    weights: &mut [f32],
    gradients: &mut [f32],
    (m, v): (&mut [f32], &mut [f32]),
) {
    let ((beta1, beta2), (correction1, correction2)) = (terms.betas, terms.corrections);
    let decay = terms.learning_rate * terms.weight_decay;
    let moments = m.iter_mut().zip(v.iter_mut());
    for ((weight, slot), (m, v)) in weights.iter_mut().zip(gradients).zip(moments) {
        let gradient = std::mem::take(slot) * terms.gradient_scale;
        *m = beta1 * *m + (1.0 - beta1) * gradient;
        *v = beta2 * *v + (1.0 - beta2) * gradient * gradient;
        let root = (*v / correction2).sqrt() + terms.epsilon;
        *weight = *weight - decay * *weight - terms.learning_rate * (*m / correction1) / root;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: after the first step both moments are unbiased to g and g^2, so the update is lr * sign(g) + lr * wd * w.
    #[test]
    fn the_first_step_is_the_sign_of_the_gradient() {
        let threads = Threads::new(1);
        let terms = AdamwTerms {
            gradient_scale: 1.0,
            learning_rate: 0.1,
            betas: (0.9, 0.999),
            corrections: (0.1, 0.001),
            epsilon: 0.0,
            weight_decay: 0.5,
        };
        let (mut weights, mut m, mut v) = ([1.0, 2.0], [0.0; 2], [0.0; 2]);
        adamw((Isa::detect(), &threads), terms, &mut weights, &mut [0.3, -4.0], (&mut m, &mut v));
        assert!((weights[0] - (1.0 - 0.05 - 0.1)).abs() < 1e-6, "{}", weights[0]);
        assert!((weights[1] - (2.0 - 0.1 + 0.1)).abs() < 1e-6, "{}", weights[1]);
    }
}
