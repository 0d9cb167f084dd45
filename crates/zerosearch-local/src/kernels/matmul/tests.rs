//! The fast products against a plain f64 sum, and the rule that a row's result does not depend on its neighbours.

use super::*;
use crate::kernels::Arithmetic;
use zerosearch_learner::seed::Seed;

fn numbers(count: usize, seed: u64) -> Vec<f32> {
    use rand::RngExt;
    let mut generator = Seed::run(seed).generator();
    (0..count).map(|_| generator.random_range(-1.0..1.0)).collect()
}

fn plain(left: &[f32], right_rows: &[f32], inner: usize) -> Vec<f32> {
    let rows = left.chunks_exact(inner);
    rows.flat_map(|row| {
        right_rows.chunks_exact(inner).map(move |column| {
            row.iter().zip(column).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>() as f32
        })
    })
    .collect()
}

fn product(isa: Isa, threads: &Threads, operand: Operand<'_>, panels: &Panels) -> Vec<f32> {
    let mut out = vec![f32::NAN; operand.rows * panels.columns];
    multiply(
        isa,
        threads,
        Product { operand, panels, out: &mut out, accumulate: false, additions: Vec::new() },
    );
    out
}

/// bf16 has 8 bits: two factors in [-1, 1] are each off by at most 2^-9 relative.
#[test]
fn every_path_agrees_with_a_plain_sum_on_odd_shapes() {
    let threads = Threads::new(2);
    for isa in Isa::ALL.into_iter().filter(|isa| isa.available()) {
        for (rows, inner, columns) in
            [(1, 1, 1), (3, 7, 5), (6, 48, 64), (13, 33, 65), (50, 113, 130), (2, 2050, 17)]
        {
            let (left, right) = (numbers(rows * inner, 1), numbers(columns * inner, 2));
            let expected = plain(&left, &right, inner);
            for (arithmetic, tolerance) in [(Arithmetic::F32, 1e-5), (Arithmetic::Bf16, 8e-3)] {
                let operand = Operand::new(&left, inner);
                let panels = Panels::of_rows(arithmetic, &right, inner, (isa, &threads));
                let got = product(isa, &threads, operand, &panels);
                for (at, (&got, &expected)) in got.iter().zip(&expected).enumerate() {
                    let allowed = tolerance * (inner as f32).sqrt();
                    assert!(
                        (got - expected).abs() <= allowed,
                        "{isa} {arithmetic} {rows}x{inner}x{columns} [{at}]: {got} for {expected}"
                    );
                }
            }
        }
    }
}

/// One block that threads share; five of which one thread computes a whole one, over two stretches of the inner dimension.
#[test]
fn transposed_factors_give_the_same_bits() {
    for shape in [(9, 21, 70), (290, 2101, 70)] {
        same_bits_transposed(shape);
    }
}

fn same_bits_transposed((rows, inner, columns): (usize, usize, usize)) {
    let threads = Threads::new(2);
    let (left, right) = (numbers(rows * inner, 3), numbers(columns * inner, 4));
    let flip = |values: &[f32], width: usize| -> Vec<f32> {
        (0..width).flat_map(|x| values.iter().skip(x).step_by(width).copied()).collect()
    };
    for isa in Isa::ALL.into_iter().filter(|isa| isa.available()) {
        for arithmetic in [Arithmetic::F32, Arithmetic::Bf16] {
            let direct = product(
                isa,
                &threads,
                Operand::new(&left, inner),
                &Panels::of_rows(arithmetic, &right, inner, (isa, &threads)),
            );
            let flipped = product(
                isa,
                &threads,
                Operand::transposed(&flip(&left, inner), rows),
                &Panels::of_columns(arithmetic, &flip(&right, inner), columns, (isa, &threads)),
            );
            assert!(direct == flipped, "{isa} {arithmetic} {rows} rows");
        }
    }
}

/// Six blocks of rows: one thread takes some of them whole, as two do, and others panel by panel.
#[test]
fn a_row_does_not_depend_on_its_neighbours_or_on_threads() {
    let (one, two) = (Threads::new(1), Threads::new(2));
    let (inner, columns) = (2100, 70);
    let (left, right) = (numbers(330 * inner, 5), numbers(columns * inner, 6));
    for isa in Isa::ALL.into_iter().filter(|isa| isa.available()) {
        for arithmetic in [Arithmetic::F32, Arithmetic::Bf16] {
            let panels = Panels::of_rows(arithmetic, &right, inner, (isa, &one));
            let all = product(isa, &two, Operand::new(&left, inner), &panels);
            for row in [0, 5, 63, 64, 200, 320, 329] {
                let alone = Operand::new(&left[row * inner..][..inner], inner);
                assert_eq!(
                    product(isa, &one, alone, &panels),
                    all[row * columns..][..columns],
                    "{isa} {arithmetic} row {row}"
                );
            }
        }
    }
}

/// Two additions beside rows to which nothing is added, over one stretch of the inner dimension and over two. The second factor of the
/// first addition is made of two blocks, with zeros elsewhere, that meet inside a panel.
#[test]
fn additions_give_the_bits_of_products_one_after_another() {
    let threads = Threads::new(2);
    for isa in Isa::ALL.into_iter().filter(|isa| isa.available()) {
        for arithmetic in [Arithmetic::F32, Arithmetic::Bf16] {
            for (rows, inner, columns) in [(9, 50, 70), (330, 2100, 300), (330, 64, 200)] {
                let panels = |rows: &[f32], inner| Panels::of_rows(arithmetic, rows, inner, (isa, &threads));
                let values = numbers(rows * inner, 7);
                let operand = Operand::new(&values, inner);
                let matrix = panels(&numbers(columns * inner, 9), inner);
                let (meeting, rank) = (columns - 30, 23);
                let blocks = [(0..meeting, 0..9), (meeting..columns, 9..rank)];
                let mut b = numbers(columns * rank, 10);
                for (column, b) in b.chunks_exact_mut(rank).enumerate() {
                    b[if column < meeting { 9..rank } else { 0..9 }].fill(0.0);
                }
                let stretches = Addition::stretches(columns, &blocks);
                let factors = [
                    (
                        0..rows / 3,
                        panels(&numbers(rank * inner, 11), inner),
                        panels(&b, rank),
                        &stretches[..],
                    ),
                    (
                        rows / 2..rows - 1,
                        panels(&numbers(16 * inner, 12), inner),
                        panels(&numbers(columns * 16, 13), 16),
                        &[],
                    ),
                ];
                let mut after = product(isa, &threads, operand, &matrix);
                let mut betweens = Vec::new();
                for (rows, a, b, _) in &factors {
                    let between = product(isa, &threads, operand.part(rows), a);
                    let product = Product {
                        operand: Operand::new(&between, b.inner),
                        panels: b,
                        out: &mut after[rows.start * columns..rows.end * columns],
                        accumulate: true,
                        additions: Vec::new(),
                    };
                    multiply(isa, &threads, product);
                    betweens.push(between);
                }
                let mut together = vec![f32::NAN; after.len()];
                let mut rooms = betweens.iter().map(|it| vec![f32::NAN; it.len()]).collect::<Vec<_>>();
                let additions = factors.iter().zip(&mut rooms).map(|((rows, a, b, stretches), between)| {
                    Addition { rows: rows.clone(), a, b, stretches, between }
                });
                let product = Product {
                    operand,
                    panels: &matrix,
                    out: &mut together,
                    accumulate: false,
                    additions: additions.collect(),
                };
                multiply(isa, &threads, product);
                assert!(together == after, "{isa} {arithmetic} {rows}x{inner}x{columns}");
                assert!(rooms == betweens, "{isa} {arithmetic} {rows}x{inner}x{columns}: between");
            }
        }
    }
}

#[test]
fn stretches_leave_out_what_is_zero() {
    // Panels of 64 columns: the first block's, the one in which both lie, the second block's (which starts in the pair 6..8).
    let blocks = [(0..70, 0..5), (70..190, 7..12)];
    assert_eq!(Addition::stretches(190, &blocks), [0..5, 0..12, 6..12]);
}

#[test]
fn accumulating_adds_to_what_is_there() {
    let threads = Threads::new(1);
    let operand = Operand::new(&[1.0, 2.0], 2);
    let panels = Panels::of_rows(Arithmetic::F32, &[3.0, 4.0, 5.0, 6.0], 2, (Isa::detect(), &threads));
    let mut out = vec![100.0, 200.0];
    multiply(
        Isa::detect(),
        &threads,
        Product { operand, panels: &panels, out: &mut out, accumulate: true, additions: Vec::new() },
    );
    // 1*3 + 2*4 = 11 and 1*5 + 2*6 = 17
    assert_eq!(out, [111.0, 217.0]);
}

#[test]
fn a_column_comes_back_out_of_the_panels() {
    let threads = Threads::new(1);
    let matrix: Vec<f32> = (0..70 * 5).map(|x| x as f32).collect();
    for arithmetic in [Arithmetic::F32, Arithmetic::Bf16] {
        let panels = Panels::of_rows(arithmetic, &matrix, 5, (Isa::detect(), &threads));
        let mut row = [0.0; 5];
        panels.column(3, &mut row);
        assert_eq!(row, [15.0, 16.0, 17.0, 18.0, 19.0]);
        panels.column(69, &mut row);
        let exact = arithmetic == Arithmetic::F32;
        assert!(
            row.iter()
                .enumerate()
                .all(|(at, &x)| (x - (345 + at) as f32).abs() <= if exact { 0.0 } else { 1.0 })
        );
    }
}
