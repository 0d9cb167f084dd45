//! The order of supervised rows: shuffled anew in each epoch, and cut into optimizer batches by their tokens.

use zerosearch_learner::seed::Seed;

use crate::qa::order;

/// How much of the rows is seen, and how much at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// How often each row is seen; 0 where `steps` are given.
    pub(super) epochs: usize,
    /// Steps in all; 0 where `epochs` are given.
    pub(super) steps: usize,
    /// Most rows of a step; 0 for no limit.
    pub(super) rows: usize,
    /// Most tokens of a step.
    pub(super) tokens: usize,
}

/// Rows of each step, as indices. Step 1 is the first.
///
/// The batches are a function of the rows' lengths, the seed and the pace alone. A batch never spans two epochs; a row
/// with more tokens than a step may have is a batch of its own.
pub(super) fn batches(lengths: &[usize], pace: Pace, seed: Seed) -> Vec<Batch> {
    let mut batches = Vec::new();
    for epoch in 0.. {
        let enough = if pace.steps > 0 { batches.len() >= pace.steps } else { epoch >= pace.epochs };
        if enough || lengths.is_empty() {
            break;
        }
        let (mut rows, mut tokens) = (Vec::new(), 0);
        for row in order(lengths.len(), seed.purpose("rows"), epoch as u64) {
            let full = tokens + lengths[row] > pace.tokens || (pace.rows > 0 && rows.len() >= pace.rows);
            if !rows.is_empty() && full {
                batches.push(Batch { epoch, rows: std::mem::take(&mut rows) });
                tokens = 0;
            }
            tokens += lengths[row];
            rows.push(row);
        }
        if !rows.is_empty() {
            batches.push(Batch { epoch, rows });
        }
    }
    if pace.steps > 0 {
        batches.truncate(pace.steps);
    }
    batches
}

/// One optimizer step's rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Batch {
    /// From 0.
    pub(super) epoch: usize,
    /// Indices of the rows.
    pub(super) rows: Vec<usize>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_seen_once_in_each_epoch_and_no_batch_is_too_long() {
        let lengths = [3, 9, 1, 4, 4, 25, 2];
        let pace = Pace { epochs: 2, steps: 0, rows: 0, tokens: 10 };
        let found = batches(&lengths, pace, Seed::run(5));
        for epoch in 0..2 {
            let of_epoch = found.iter().filter(|batch| batch.epoch == epoch);
            let mut rows: Vec<usize> = of_epoch.flat_map(|batch| batch.rows.clone()).collect();
            rows.sort_unstable();
            assert_eq!(rows, [0, 1, 2, 3, 4, 5, 6]);
        }
        for batch in &found {
            let tokens: usize = batch.rows.iter().map(|row| lengths[*row]).sum();
            assert!(tokens <= 10 || batch.rows.len() == 1, "{batch:?}");
        }
        assert_eq!(found, batches(&lengths, pace, Seed::run(5)));
        assert_ne!(found, batches(&lengths, pace, Seed::run(6)));
    }

    #[test]
    fn no_rows_make_no_steps() {
        for (epochs, steps) in [(3, 0), (0, 3)] {
            assert!(batches(&[], Pace { epochs, steps, rows: 0, tokens: 10 }, Seed::run(1)).is_empty());
        }
    }

    /// Five rows in twos make three steps of an epoch, so the seventh is the first of the third epoch.
    #[test]
    fn steps_and_rows_can_be_given() {
        let pace = Pace { epochs: 0, steps: 7, rows: 2, tokens: 100 };
        let found = batches(&[1; 5], pace, Seed::run(5));
        let sizes: Vec<(usize, usize)> = found.iter().map(|batch| (batch.epoch, batch.rows.len())).collect();
        assert_eq!(sizes, [(0, 2), (0, 2), (0, 1), (1, 2), (1, 2), (1, 1), (2, 2)]);
    }
}
