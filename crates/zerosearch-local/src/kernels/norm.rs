//! RMSNorm (arXiv 1910.07467) and its gradient.
//!
//! `y = x / sqrt(mean(x^2) + epsilon) * weight`, row by row.

use super::isa::{Isa, for_each_isa};
use super::strip::LANES;
use super::threads::Threads;

/// Rows of one item of work.
const ROWS: usize = 32;

/// Normalises each row of `values`, which is `[rows][weight.len()]`, into `out`.
pub(crate) fn rms_norm(
    (isa, threads): (Isa, &Threads),
    values: &[f32],
    (weight, epsilon): (&[f32], f32),
    out: &mut [f32],
) {
    let width = weight.len();
    assert_eq!(values.len(), out.len(), "the result has another size");
    threads.each_chunk(out, ROWS * width, |index, out| {
        let values = &values[index * ROWS * width..][..out.len()];
        norm_rows(isa, values, weight, epsilon, out);
    });
}

for_each_isa! {
    fn norm_rows(values: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) = norm_rows_body;
}

#[inline(always)]
fn norm_rows_body<const FUSED: bool>(values: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) {
    let width = weight.len();
    for (row, out) in values.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
        let scale = inverse_root(row, row, epsilon).0;
        for ((out, &x), &weight) in out.iter_mut().zip(row).zip(weight) {
            *out = x * scale * weight;
        }
    }
}

/// Adds the gradient with respect to `values` to `gradient` and, for the rows of each item in turn, the gradient with
/// respect to the weight to `weight_gradient`, which may be empty: then nobody asks for it.
///
/// With `s = 1 / sqrt(mean(x^2) + epsilon)`: `dx = s * (w * dy) - x * s^3 / width * sum(x * w * dy)` and `dw = sum over rows of
/// dy * x * s`.
pub(crate) fn rms_norm_backward(
    (isa, threads): (Isa, &Threads),
    (values, out_gradient): (&[f32], &[f32]),
    (weight, epsilon): (&[f32], f32),
    (gradient, weight_gradient): (&mut [f32], &mut [f32]),
) {
    let width = weight.len();
    assert!(values.len().is_multiple_of(width), "rows are not whole");
    assert_eq!(values.len(), out_gradient.len(), "the gradient of the result has another size");
    assert_eq!(values.len(), gradient.len(), "the gradient has another size");
    assert!([0, width].contains(&weight_gradient.len()), "the gradient of the weight has another size");
    let items = (values.len() / width).div_ceil(ROWS);
    let mut partial = vec![0.0; items * width];
    let (rows, sums) = ((gradient, ROWS * width), (&mut *partial, width));
    threads.each_chunk_of_two(rows, sums, |index, gradient, weight_gradient| {
        let stretch = index * ROWS * width..index * ROWS * width + gradient.len();
        backward_rows(
            isa,
            (&values[stretch.clone()], &out_gradient[stretch]),
            (weight, epsilon),
            (gradient, weight_gradient),
        );
    });
    for partial in partial.chunks_exact(width) {
        weight_gradient.iter_mut().zip(partial).for_each(|(sum, part)| *sum += part);
    }
}

for_each_isa! {
    fn backward_rows(
        inputs: (&[f32], &[f32]),
        norm: (&[f32], f32),
        gradients: (&mut [f32], &mut [f32]),
    ) = backward_rows_body;
}

#[inline(always)]
fn backward_rows_body<const FUSED: bool>(
    (values, out_gradient): (&[f32], &[f32]),
    (weight, epsilon): (&[f32], f32),
    (gradient, weight_gradient): (&mut [f32], &mut [f32]),
) {
    let width = weight.len();
    let mut weighted = vec![0.0; width];
    let rows = values.chunks_exact(width).zip(out_gradient.chunks_exact(width));
    for ((x, dy), dx) in rows.zip(gradient.chunks_exact_mut(width)) {
        for ((weighted, &dy), &weight) in weighted.iter_mut().zip(dy).zip(weight) {
            *weighted = dy * weight;
        }
        let (scale, product) = inverse_root(x, &weighted, epsilon);
        let back = scale * scale * scale * product / width as f32;
        for at in 0..width {
            dx[at] += scale * weighted[at] - x[at] * back;
            weight_gradient[at] += dy[at] * x[at] * scale;
        }
    }
}

/// `1 / sqrt(mean(x^2) + epsilon)` and the sum of `x * other`.
#[inline(always)]
fn inverse_root(x: &[f32], other: &[f32], epsilon: f32) -> (f32, f32) {
    let mut squares = [0.0; LANES];
    let mut products = [0.0; LANES];
    let whole = x.len() / LANES * LANES;
    for from in (0..whole).step_by(LANES) {
        for lane in 0..LANES {
            squares[lane] += x[from + lane] * x[from + lane];
            products[lane] += x[from + lane] * other[from + lane];
        }
    }
    for at in whole..x.len() {
        squares[at - whole] += x[at] * x[at];
        products[at - whole] += x[at] * other[at];
    }
    let mean = squares.into_iter().sum::<f32>() / x.len() as f32;
    (1.0 / (mean + epsilon).sqrt(), products.into_iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: mean of squares (9 + 16) / 2 = 12.5, root 3.5355339.
    #[test]
    fn matches_hand_arithmetic() {
        let threads = Threads::new(1);
        let mut out = [0.0; 2];
        rms_norm((Isa::Portable, &threads), &[3.0, 4.0], (&[1.0, 2.0], 0.0), &mut out);
        assert!((out[0] - 0.848_528_1).abs() < 1e-6 && (out[1] - 2.262_741_7).abs() < 1e-6);
    }

    #[test]
    fn the_gradient_is_the_slope() {
        let threads = Threads::new(2);
        for isa in Isa::ALL.into_iter().filter(|isa| isa.available()) {
            for width in [3, 17, 40] {
                let x: Vec<f32> = (0..35 * width).map(|i| ((i * 37 % 101) as f32 - 50.0) / 40.0).collect();
                let dy: Vec<f32> = (0..35 * width).map(|i| ((i * 53 % 97) as f32 - 48.0) / 40.0).collect();
                let w: Vec<f32> = (0..width).map(|i| 0.5 + i as f32 / 10.0).collect();
                let loss = |x: &[f32], w: &[f32]| -> f64 {
                    let mut out = vec![0.0; x.len()];
                    rms_norm((isa, &threads), x, (w, 1e-5), &mut out);
                    out.iter().zip(&dy).map(|(&y, &dy)| f64::from(y) * f64::from(dy)).sum()
                };
                let (mut dx, mut dw) = (vec![0.0; x.len()], vec![0.0; width]);
                rms_norm_backward((isa, &threads), (&x, &dy), (&w, 1e-5), (&mut dx, &mut dw));
                for at in [0, 1, width - 1, width, 34 * width + 2] {
                    let (mut up, mut down) = (x.clone(), x.clone());
                    up[at] += 5e-3;
                    down[at] -= 5e-3;
                    let slope = (loss(&up, &w) - loss(&down, &w)) / 1e-2;
                    assert!((slope - f64::from(dx[at])).abs() < 5e-3, "{isa} width {width} x[{at}]");
                }
                for at in 0..width {
                    let (mut up, mut down) = (w.clone(), w.clone());
                    up[at] += 5e-3;
                    down[at] -= 5e-3;
                    let slope = (loss(&x, &up) - loss(&x, &down)) / 1e-2;
                    assert!((slope - f64::from(dw[at])).abs() < 1e-2, "{isa} width {width} w[{at}]");
                }
            }
        }
    }
}
