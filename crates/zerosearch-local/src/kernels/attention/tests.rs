//! Attention and its gradient against plain f64 arithmetic, and the rule that a query's result is its row's alone.

use rand::RngExt;
use zerosearch_learner::seed::Seed;

use super::*;
use crate::kernels::{Arithmetic, AttentionGradients, Workspace, attention_backward};

/// Row lengths around the borders of blocks, items and tiles.
const LENGTHS: [usize; 6] = [1, 15, 16, 17, 33, 50];
/// Tokens of a row that continues the last of these behind its second block, and of another behind that one's third.
const CONTINUATIONS: [(usize, usize); 2] = [(25, 2), (9, 3)];

fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut generator = Seed::run(seed).generator();
    (0..count).map(|_| generator.random_range(-1.5..1.5)).collect()
}

/// Groups of 1, 2, 3 and 4 heads with one or two key heads, at each width.
fn shapes() -> impl Iterator<Item = AttentionShape> {
    [2, 12, 20, 64].into_iter().flat_map(|head_width| {
        [(1, 1), (2, 2), (4, 2), (3, 1), (8, 2)].map(|(heads, kv_heads)| AttentionShape {
            heads,
            kv_heads,
            head_width,
        })
    })
}

fn available() -> impl Iterator<Item = Isa> {
    Isa::ALL.into_iter().filter(|isa| isa.available())
}

/// Rows of a shape and their projections, keys and values rounded to what `arithmetic` stores.
struct Case {
    shape: AttentionShape,
    rows: Vec<AttentionRow>,
    fused: Vec<f32>,
    blocks: KeyValueBlocks,
}

impl Case {
    fn new(shape: AttentionShape, arithmetic: Arithmetic) -> Self {
        let mut rows = Vec::new();
        let (mut first_token, mut used) = (0, 0);
        for tokens in LENGTHS {
            let end = used + tokens.div_ceil(BLOCK) as u32;
            rows.push(AttentionRow { first_token, tokens, first_position: 0, blocks: (used..end).collect() });
            (first_token, used) = (first_token + tokens, end);
        }
        for (tokens, shared) in CONTINUATIONS {
            let end = used + tokens.div_ceil(BLOCK) as u32;
            let blocks = rows.last().map(|row| &row.blocks[..shared]).unwrap_or_default();
            let blocks = blocks.iter().copied().chain(used..end).collect();
            rows.push(AttentionRow { first_token, tokens, first_position: shared * BLOCK, blocks });
            (first_token, used) = (first_token + tokens, end);
        }
        let mut fused = numbers(first_token * shape.fused_width(), 1);
        let dimensions = [1, shape.kv_heads, shape.head_width];
        let mut blocks = KeyValueBlocks::new(arithmetic, dimensions, &Workspace::default());
        blocks.grow(used as usize);
        // What a block held before its row: a masked key must not show.
        let old = numbers(shape.fused_width(), 2);
        for block in 0..used {
            (0..BLOCK).for_each(|slot| write(&mut blocks, shape, (block, slot), &old));
        }
        blocks.store(&Threads::new(2), (0, shape), (&rows, &mut fused));
        Self { shape, rows, fused, blocks }
    }

    fn tokens(&self) -> usize {
        self.rows.iter().map(|row| row.tokens).sum()
    }

    /// The token at a position of a row: its own, or that of the row which filled the block.
    fn token(&self, row: &AttentionRow, position: usize) -> usize {
        let block = row.blocks[position / BLOCK];
        let owner = self.rows.iter().find(|row| row.blocks[row.first_position / BLOCK..].contains(&block));
        let owner = owner.unwrap();
        owner.first_token + position - owner.first_position
    }

    fn out_width(&self) -> usize {
        self.shape.heads * self.shape.head_width
    }

    fn forward(&self, isa: Isa, threads: &Threads) -> (Vec<f32>, Vec<f32>) {
        self.forward_of(isa, threads, &self.rows, &self.fused)
    }

    fn forward_of(
        &self,
        isa: Isa,
        threads: &Threads,
        rows: &[AttentionRow],
        fused: &[f32],
    ) -> (Vec<f32>, Vec<f32>) {
        let tokens = fused.len() / self.shape.fused_width();
        let mut out = vec![f32::NAN; tokens * self.out_width()];
        let mut log_sums = vec![f32::NAN; tokens * self.shape.heads];
        let to = (out.as_mut_slice(), Some(log_sums.as_mut_slice()));
        attention((isa, threads), self.shape, (rows, fused), (&self.blocks, 0), to);
        (out, log_sums)
    }

    /// Attention by its definition, on `fused`: outputs and logarithms of the denominators.
    fn plain(&self, fused: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let mut out = vec![0.0; self.tokens() * self.out_width()];
        let mut log_sums = vec![0.0; self.tokens() * self.shape.heads];
        for row in &self.rows {
            for at in 0..row.tokens {
                for head in 0..self.shape.heads {
                    let place = (row.first_token + at) * self.shape.heads + head;
                    let width = self.shape.head_width;
                    let out = &mut out[place * width..][..width];
                    log_sums[place] = self.plain_query(fused, row, (at, head), out);
                }
            }
        }
        (out, log_sums)
    }

    fn plain_query(
        &self,
        fused: &[f64],
        row: &AttentionRow,
        (at, head): (usize, usize),
        out: &mut [f64],
    ) -> f64 {
        let AttentionShape { heads, kv_heads, head_width } = self.shape;
        let numbers = |position: usize, head: usize| {
            let token = self.token(row, position);
            &fused[token * self.shape.fused_width() + head * head_width..][..head_width]
        };
        let kv_head = head / (heads / kv_heads);
        let at = row.first_position + at;
        let query = numbers(at, head);
        let score = |token: usize| {
            let key = numbers(token, heads + kv_head);
            query.iter().zip(key).map(|(q, k)| q * k).sum::<f64>() / (head_width as f64).sqrt()
        };
        let weights: Vec<f64> = (0..=at).map(|token| score(token).exp()).collect();
        let sum: f64 = weights.iter().sum();
        for (token, weight) in weights.iter().enumerate() {
            let value = numbers(token, heads + kv_heads + kv_head);
            out.iter_mut().zip(value).for_each(|(out, value)| *out += weight / sum * value);
        }
        sum.ln()
    }

    /// The gradient of `sum of out * out_gradient`, on the tokens of `rows`.
    fn gradient(
        &self,
        isa: Isa,
        (threads, arithmetic): (&Threads, Arithmetic),
        rows: &[AttentionRow],
        out_gradient: &[f32],
    ) -> Vec<f32> {
        let log_sums = self.forward(isa, threads).1;
        let mut fused_gradient = vec![f32::NAN; self.fused.len()];
        let (fused, log_sums) = (self.fused.as_slice(), log_sums.as_slice());
        let gradients = AttentionGradients {
            arithmetic,
            fused,
            log_sums,
            out_gradient,
            fused_gradient: &mut fused_gradient,
        };
        attention_backward((isa, threads), self.shape, rows, gradients);
        fused_gradient
    }
}

/// Writes one position's keys and values.
fn write(blocks: &mut KeyValueBlocks, shape: AttentionShape, (block, slot): (u32, usize), token: &[f32]) {
    let row = AttentionRow { first_token: 0, tokens: 1, first_position: slot, blocks: vec![block] };
    blocks.store(&Threads::new(1), (0, shape), (&[row], &mut token.to_vec()));
}

fn worst(got: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(got.len(), expected.len());
    got.iter().zip(expected).map(|(&got, expected)| (f64::from(got) - expected).abs()).fold(0.0, |a, b| {
        // A NaN must not get lost in a maximum.
        if b.is_nan() || b > a { b } else { a }
    })
}

fn widened(numbers: &[f32]) -> Vec<f64> {
    numbers.iter().copied().map(f64::from).collect()
}

/// Outputs are means of numbers below 1.5: f32 arithmetic over at most 64 + 50 terms stays within 5e-6. Dot products round
/// queries and weights to bf16, each by at most one part in 256 (a score is below 64 * 1.5 * 1.5 / 8 = 18).
#[test]
fn outputs_are_those_of_the_definition() {
    let threads = Threads::new(2);
    for shape in shapes() {
        for arithmetic in [Arithmetic::F32, Arithmetic::Bf16] {
            let case = Case::new(shape, arithmetic);
            let expected = case.plain(&widened(&case.fused));
            for isa in available() {
                let (out, log_sums) = case.forward(isa, &threads);
                let off = (worst(&out, &expected.0), worst(&log_sums, &expected.1));
                let dots = isa == Isa::Avx512Bf16 && arithmetic == Arithmetic::Bf16;
                let limit = if dots { 2e-2 } else { 5e-6 };
                assert!(off.0 < limit && off.1 < limit, "{isa} {arithmetic} {shape:?}: off by {off:?}");
            }
        }
    }
}

/// Central differences of the definition in f64, whose own error at this step is below 1e-8: number by number, and along
/// random directions, in which every number takes part.
#[test]
fn gradients_are_slopes() {
    let threads = Threads::new(2);
    let step = 1e-4;
    for shape in shapes() {
        let case = Case::new(shape, Arithmetic::F32);
        let out_gradient = numbers(case.tokens() * case.out_width(), 3);
        let start = widened(&case.fused);
        let slope = |direction: &dyn Fn(usize) -> f64| {
            let loss = |sign: f64| -> f64 {
                let moved = start.iter().enumerate().map(|(at, x)| x + sign * step * direction(at));
                let out = case.plain(&moved.collect::<Vec<_>>()).0;
                out.iter().zip(&out_gradient).map(|(out, &dy)| out * f64::from(dy)).sum()
            };
            (loss(1.0) - loss(-1.0)) / (2.0 * step)
        };
        let picked: Vec<(usize, f64)> = (0..start.len())
            .step_by(start.len() / 40 + 1)
            .map(|at| (at, slope(&|other| f64::from(u8::from(other == at)))))
            .collect();
        let directions: Vec<Vec<f32>> = (4..7).map(|seed| numbers(start.len(), seed)).collect();
        let along: Vec<f64> =
            directions.iter().map(|direction| slope(&|at| f64::from(direction[at]))).collect();
        for isa in available() {
            let gradient = case.gradient(isa, (&threads, Arithmetic::F32), &case.rows, &out_gradient);
            for &(at, slope) in &picked {
                assert!((f64::from(gradient[at]) - slope).abs() < 2e-5, "{isa} {shape:?} [{at}]: {slope}");
            }
            let length = (start.len() as f64).sqrt();
            for (direction, &slope) in directions.iter().zip(&along) {
                let product = gradient.iter().zip(direction).map(|(&g, &d)| f64::from(g) * f64::from(d));
                let off = (product.sum::<f64>() - slope).abs() / length;
                assert!(off < 2e-6, "{isa} {shape:?}: {slope} along a direction is off by {off}");
            }
        }
    }
}

#[test]
fn a_query_has_the_same_bits_alone_in_pieces_and_in_a_batch() {
    let (one, three) = (Threads::new(1), Threads::new(3));
    for shape in shapes() {
        for arithmetic in [Arithmetic::F32, Arithmetic::Bf16] {
            let case = Case::new(shape, arithmetic);
            for isa in available() {
                let (all, all_sums) = case.forward(isa, &three);
                for row in &case.rows {
                    for size in [1, 3, 7, 16] {
                        for from in (0..row.tokens).step_by(size) {
                            let tokens = size.min(row.tokens - from);
                            let first = row.first_token + from;
                            let piece = AttentionRow {
                                first_token: 0,
                                tokens,
                                first_position: row.first_position + from,
                                blocks: row.blocks.clone(),
                            };
                            let fused = &case.fused[first * shape.fused_width()..];
                            let fused = &fused[..tokens * shape.fused_width()];
                            let (out, sums) = case.forward_of(isa, &one, &[piece], fused);
                            let place = format!("{isa} {arithmetic} {shape:?}: {tokens} from {from}");
                            assert_eq!(out, all[first * case.out_width()..][..out.len()], "{place}");
                            assert_eq!(sums, all_sums[first * shape.heads..][..sums.len()], "{place}");
                        }
                    }
                }
            }
        }
    }
}

/// Every factor is rounded to bf16, which loses at most one part in 256, and half of that on average.
#[test]
fn dot_products_give_the_same_gradient_but_for_rounding() {
    let threads = Threads::new(2);
    for shape in shapes() {
        let case = Case::new(shape, Arithmetic::Bf16);
        let out_gradient = numbers(case.tokens() * case.out_width(), 3);
        for isa in available() {
            let [dots, exact] = [Arithmetic::Bf16, Arithmetic::F32]
                .map(|arithmetic| case.gradient(isa, (&threads, arithmetic), &case.rows, &out_gradient));
            let length = |numbers: &mut dyn Iterator<Item = f32>| numbers.map(|x| x * x).sum::<f32>().sqrt();
            let off = length(&mut dots.iter().zip(&exact).map(|(a, b)| a - b));
            assert!(off < 1e-2 * length(&mut exact.iter().copied()), "{isa} {shape:?}: off by {off}");
        }
    }
}

/// A row that no other continues.
#[test]
fn a_gradient_has_the_same_bits_alone_and_in_a_batch() {
    let (one, three) = (Threads::new(1), Threads::new(3));
    for shape in shapes() {
        for arithmetic in [Arithmetic::F32, Arithmetic::Bf16] {
            let case = Case::new(shape, arithmetic);
            let out_gradient = numbers(case.tokens() * case.out_width(), 3);
            for isa in available() {
                let all = case.gradient(isa, (&three, arithmetic), &case.rows, &out_gradient);
                assert_eq!(all, case.gradient(isa, (&one, arithmetic), &case.rows, &out_gradient));
                for row in &case.rows[..LENGTHS.len() - 1] {
                    let rows = std::slice::from_ref(row);
                    let alone = case.gradient(isa, (&one, arithmetic), rows, &out_gradient);
                    let from = row.first_token * shape.fused_width();
                    let place = from..from + row.tokens * shape.fused_width();
                    assert_eq!(alone[place.clone()], all[place], "{isa} {shape:?}, {} tokens", row.tokens);
                }
            }
        }
    }
}

/// Keys and values that overflowed, further on in the row or in what a block held before it, are none of a query's business.
#[test]
fn what_a_query_does_not_see_may_be_anything() {
    let threads = Threads::new(2);
    for shape in shapes() {
        for arithmetic in [Arithmetic::F32, Arithmetic::Bf16] {
            for isa in available() {
                let mut case = Case::new(shape, arithmetic);
                let (expected, _) = case.forward(isa, &threads);
                let nothing = vec![f32::NAN; shape.fused_width()];
                for row in &case.rows {
                    let first = row.first_position + row.tokens * 2 / 3 + 1;
                    for position in first..row.blocks.len() * BLOCK {
                        let place = (row.blocks[position / BLOCK], position % BLOCK);
                        write(&mut case.blocks, shape, place, &nothing);
                    }
                }
                let (out, _) = case.forward(isa, &threads);
                for row in &case.rows {
                    let seen = row.tokens.min(row.tokens * 2 / 3 + 1);
                    let place =
                        row.first_token * case.out_width()..(row.first_token + seen) * case.out_width();
                    assert_eq!(out[place.clone()], expected[place.clone()], "{isa} {arithmetic} {shape:?}");
                    let poisoned = &out[place.end..(row.first_token + row.tokens) * case.out_width()];
                    assert!(poisoned.iter().all(|number| number.is_nan()), "{isa} {arithmetic} {shape:?}");
                }
            }
        }
    }
}
