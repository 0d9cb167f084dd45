//! Rotary positions (arXiv 2104.09864), in the layout of Hugging Face models: number `i` of a head turns with number
//! `i + head_width / 2`.

use super::isa::{Isa, for_each_isa};
use super::threads::Threads;

/// Rows of one item of work.
const ROWS: usize = 64;

/// Cosines and sines of every position, computed once.
pub(crate) struct RotaryTable {
    half: usize,
    /// `[position][2][half]`: cosines, then sines.
    numbers: Vec<f32>,
}

impl RotaryTable {
    /// `frequencies` are the turns in radians from one position to the next, for each pair of numbers of a head.
    pub(crate) fn new(frequencies: &[f32], positions: usize) -> Self {
        let mut numbers = Vec::with_capacity(positions * 2 * frequencies.len());
        for position in 0..positions {
            // The angle is rounded to f32 first, as transformers computes it.
            let angles = frequencies.iter().map(|&frequency| f64::from(position as f32 * frequency));
            numbers.extend(angles.clone().map(|angle| angle.cos() as f32));
            numbers.extend(angles.map(|angle| angle.sin() as f32));
        }
        Self { half: frequencies.len(), numbers }
    }

    fn at(&self, position: usize) -> (&[f32], &[f32]) {
        self.numbers[position * 2 * self.half..][..2 * self.half].split_at(self.half)
    }
}

/// Turns the first `heads` heads of each row of `values` (`[rows][width]`) by its position; with `back` by its negative,
/// which is the gradient.
pub(crate) fn rotate(
    (isa, threads): (Isa, &Threads),
    table: &RotaryTable,
    (values, width): (&mut [f32], usize),
    (heads, positions): (usize, &[usize]),
    back: bool,
) {
    threads.each_chunk(values, ROWS * width, |index, values| {
        let positions = &positions[index * ROWS..][..values.len() / width];
        let sign = if back { -1.0 } else { 1.0 };
        rotate_rows(isa, table, (values, width), (heads, positions), sign);
    });
}

for_each_isa! {
    fn rotate_rows(table: &RotaryTable, values: (&mut [f32], usize), heads: (usize, &[usize]), sign: f32) = rotate_rows_body;
}

#[inline(always)]
fn rotate_rows_body<const FUSED: bool>(
    table: &RotaryTable,
    (values, width): (&mut [f32], usize),
    (heads, positions): (usize, &[usize]),
    sign: f32,
) {
    let half = table.half;
    for (row, &position) in values.chunks_exact_mut(width).zip(positions) {
        let (cosines, sines) = table.at(position);
        for head in row.chunks_exact_mut(2 * half).take(heads) {
            let (first, second) = head.split_at_mut(half);
            for at in 0..half {
                let (a, b) = (first[at], second[at]);
                let sine = sign * sines[at];
                first[at] = a * cosines[at] - b * sine;
                second[at] = b * cosines[at] + a * sine;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: at position 2 with 0.5 radians a step, (1, 0) turns by one radian.
    #[test]
    fn turns_by_position_times_frequency_and_back() {
        let threads = Threads::new(1);
        let table = RotaryTable::new(&[0.5], 3);
        let mut row = [1.0, 0.0, 7.0];
        rotate((Isa::detect(), &threads), &table, (&mut row, 3), (1, &[2]), false);
        assert!((row[0] - 0.540_302_3).abs() < 1e-6 && (row[1] - 0.841_471).abs() < 1e-6);
        rotate((Isa::detect(), &threads), &table, (&mut row, 3), (1, &[2]), true);
        assert!((row[0] - 1.0).abs() < 1e-6 && row[1].abs() < 1e-6);
        assert_eq!(row[2], 7.0);
    }
}
