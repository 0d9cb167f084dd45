//! Single matrix products, as a linear layer has them.

use std::time::Instant;

use serde::Serialize;
use zerosearch_local::PolicyOptions;
use zerosearch_local::measure::{MatrixProduct, Pass, peak};

use super::subject::Computing;
use super::times::median;

/// Rows of activations, inner width, outer width: a layer of SmolLM2-135M, a large square, the head, and decoding.
pub const SIZES: [[usize; 3]; 4] =
    [[1024, 576, 1536], [2048, 2048, 2048], [1024, 576, 49_152], [64, 576, 1536]];

/// A round repeats a product for about so many seconds, so that short ones can be timed.
const ROUND: f64 = 0.03;
/// Before it is timed, every product is repeated for about so many seconds: until its memory is mapped, the threads are
/// awake and the cores have come to the clock that they keep.
const WARM_UP: f64 = 0.5;

/// What one product reaches.
#[derive(Debug, Serialize)]
pub struct ProductFigures {
    product: &'static str,
    /// Rows x inner x outer.
    size: String,
    /// Billions of operations in a second, activations laid out for the kernels each time.
    gflops: f64,
    /// The same with the weights laid out each time too.
    with_weights_gflops: f64,
    /// The most that multiplications and additions in registers reach.
    peak_gflops: f64,
    /// `gflops` over `peak_gflops`.
    share: f64,
    /// `with_weights_gflops` over `peak_gflops`.
    with_weights_share: f64,
}

/// Measures the three products of each of `sizes`.
pub fn matmul(computing: Computing, sizes: &[[usize; 3]], repeats: usize) -> Vec<ProductFigures> {
    let options = computing.options();
    let peak = peak(&options.threads, options.isa, options.arithmetic) / 1e9;
    let cases = sizes.iter().flat_map(|&size| Pass::ALL.map(|pass| (size, pass)));
    cases.map(|(size, pass)| figures(&options, (size, pass), peak, repeats)).collect()
}

fn figures(
    options: &PolicyOptions,
    (size, pass): ([usize; 3], Pass),
    peak_gflops: f64,
    repeats: usize,
) -> ProductFigures {
    let operations = size.iter().product::<usize>() as f64 * 2.0;
    let mut product = MatrixProduct::new(options.clone(), size, pass);
    let mut reached = |compute: fn(&mut MatrixProduct)| {
        let mut seconds = |calls: usize| {
            let start = Instant::now();
            (0..calls).for_each(|_| compute(&mut product));
            start.elapsed().as_secs_f64() / calls as f64
        };
        let calls_in = |time: f64, seconds: f64| (time / seconds).ceil() as usize;
        let rough = seconds(1);
        let warm = seconds(calls_in(WARM_UP, rough));
        let calls = calls_in(ROUND, warm);
        operations / median((0..repeats).map(|_| seconds(calls)).collect()) / 1e9
    };
    let (gflops, with_weights_gflops) =
        (reached(MatrixProduct::compute), reached(MatrixProduct::compute_with_weights));
    ProductFigures {
        product: pass.name(),
        size: size.map(|it| it.to_string()).join("x"),
        gflops,
        with_weights_gflops,
        peak_gflops,
        share: gflops / peak_gflops,
        with_weights_share: with_weights_gflops / peak_gflops,
    }
}
