//! SwiGLU (arXiv 2002.05202) and its gradient: `out = gate * sigmoid(gate) * up`.

use super::exp::exp;
use super::isa::{Isa, for_each_isa};
use super::stored::Stored;
use super::strip::LANES;
use super::threads::Threads;

/// Rows of one item of work.
const ROWS: usize = 16;

/// `fused` is `[rows][2 * width]`: gates, then ups; `out` is `[rows][width]`.
pub(crate) fn swiglu((isa, threads): (Isa, &Threads), fused: &[f32], width: usize, out: &mut [f32]) {
    threads.each_chunk(out, ROWS * width, |index, out| {
        let fused = &fused[index * ROWS * 2 * width..][..2 * out.len()];
        forward_rows(isa, fused, width, out);
    });
}

/// The way back from gates and ups as they were put away: writes the gradient with respect to them into `gradient`, given that of
/// the result, and the result once more into `out`, for which most of the work is done anyway.
pub(crate) fn swiglu_backward(
    (isa, threads): (Isa, &Threads),
    fused: &Stored,
    out_gradient: &[f32],
    (gradient, out): (&mut [f32], &mut [f32]),
    width: usize,
) {
    assert_eq!(gradient.len(), 2 * out.len(), "the gradient has another size");
    assert_eq!(out.len(), out_gradient.len(), "the gradient of the result has another size");
    let (gradients, outs) = ((gradient, ROWS * 2 * width), (out, ROWS * width));
    threads.each_chunk_of_two(gradients, outs, |index, gradient, out| {
        let rows = gradient.chunks_exact_mut(2 * width).zip(out.chunks_exact_mut(width));
        for (row, (gradient, out)) in rows.enumerate() {
            let first = (index * ROWS + row) * width;
            fused.read(isa, 2 * first, gradient);
            backward_row(isa, gradient, &out_gradient[first..][..width], out);
        }
    });
}

for_each_isa! {
    fn forward_rows(fused: &[f32], width: usize, out: &mut [f32]) = forward_rows_body;
}
for_each_isa! {
    fn backward_row(fused: &mut [f32], out_gradient: &[f32], out: &mut [f32]) = backward_row_body;
}

#[inline(always)]
fn forward_rows_body<const FUSED: bool>(fused: &[f32], width: usize, out: &mut [f32]) {
    for (fused, out) in fused.chunks_exact(2 * width).zip(out.chunks_exact_mut(width)) {
        let (gates, ups) = fused.split_at(width);
        for ((out, &gate), &up) in out.iter_mut().zip(gates).zip(ups) {
            *out = gate * sigmoid(gate) * up;
        }
    }
}

/// Replaces gates and ups by their gradients.
#[inline(always)]
fn backward_row_body<const FUSED: bool>(fused: &mut [f32], out_gradient: &[f32], out: &mut [f32]) {
    let (gates, ups) = fused.split_at_mut(out.len());
    let ((gates, last_gates), (ups, last_ups)) =
        (gates.as_chunks_mut::<LANES>(), ups.as_chunks_mut::<LANES>());
    let (gradients, last_gradients) = out_gradient.as_chunks::<LANES>();
    let (outs, last_outs) = out.as_chunks_mut::<LANES>();
    for ((gates, ups), (gradients, outs)) in gates.iter_mut().zip(ups).zip(gradients.iter().zip(outs)) {
        // Copies, because the compiler cannot see that they are apart.
        let (mut new_gates, mut new_ups, mut new_outs) = (*gates, *ups, *outs);
        backward_lanes((&mut new_gates, &mut new_ups), gradients, &mut new_outs);
        (*gates, *ups, *outs) = (new_gates, new_ups, new_outs);
    }
    backward_lanes((last_gates, last_ups), last_gradients, last_outs);
}

#[inline(always)]
fn backward_lanes((gates, ups): (&mut [f32], &mut [f32]), gradients: &[f32], outs: &mut [f32]) {
    for ((gate, up), (&gradient, out)) in gates.iter_mut().zip(ups).zip(gradients.iter().zip(outs)) {
        let sigmoid = sigmoid(*gate);
        let silu = *gate * sigmoid;
        let slope = sigmoid * (1.0 + *gate * (1.0 - sigmoid));
        *out = silu * *up;
        *gate = gradient * *up * slope;
        *up = gradient * silu;
    }
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    let negative = if -x < 80.0 { -x } else { 80.0 };
    1.0 / (1.0 + exp(negative))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: silu(2) = 2 / (1 + e^-2) = 1.7615942.
    #[test]
    fn matches_hand_arithmetic() {
        let threads = Threads::new(1);
        let mut out = [0.0];
        swiglu((Isa::detect(), &threads), &[2.0, 3.0], 1, &mut out);
        assert!((out[0] - 5.284_782_5).abs() < 1e-5);
        swiglu((Isa::detect(), &threads), &[-1e4, 3.0], 1, &mut out);
        assert!(out[0].abs() < 1e-25, "no overflow far out");
    }

    #[test]
    fn the_gradient_is_the_slope() {
        let threads = Threads::new(2);
        let width = 21;
        let fused: Vec<f32> = (0..19 * 2 * width).map(|i| ((i * 31 % 83) as f32 - 41.0) / 15.0).collect();
        let dy: Vec<f32> = (0..19 * width).map(|i| ((i * 29 % 71) as f32 - 35.0) / 30.0).collect();
        for isa in Isa::ALL.into_iter().filter(|isa| isa.available()) {
            let loss = |fused: &[f32]| -> f64 {
                let mut out = vec![0.0; dy.len()];
                swiglu((isa, &threads), fused, width, &mut out);
                out.iter().zip(&dy).map(|(&y, &dy)| f64::from(y) * f64::from(dy)).sum()
            };
            let (mut gradient, mut out) = (vec![0.0; fused.len()], vec![0.0; dy.len()]);
            let stored = Stored::Exact(threads.workspace().copy_of(&fused));
            swiglu_backward((isa, &threads), &stored, &dy, (&mut gradient, &mut out), width);
            let mut again = vec![0.0; dy.len()];
            swiglu((isa, &threads), &fused, width, &mut again);
            assert_eq!(out, again, "{isa}: the bits of the way there");
            for at in (0..fused.len()).step_by(13) {
                let (mut up, mut down) = (fused.clone(), fused.clone());
                up[at] += 5e-3;
                down[at] -= 5e-3;
                let slope = (loss(&up) - loss(&down)) / 1e-2;
                assert!((slope - f64::from(gradient[at])).abs() < 2e-3, "{isa} [{at}]");
            }
        }
    }
}
