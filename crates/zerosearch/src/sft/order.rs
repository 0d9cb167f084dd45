//! The order of supervised rows: shuffled anew in each epoch, and cut into optimizer batches by their tokens.

use zerosearch_learner::seed::Seed;

use crate::qa::order;

/// Rows of each step, as indices. Step 1 is the first.
///
/// The batches are a function of the rows' lengths, the seed and the limit alone. A batch never spans two epochs; a row
/// longer than the limit is a batch of its own.
pub(super) fn batches(lengths: &[usize], epochs: usize, tokens_per_step: usize, seed: Seed) -> Vec<Batch> {
    let mut batches = Vec::new();
    for epoch in 0..epochs {
        let (mut rows, mut tokens) = (Vec::new(), 0);
        for row in order(lengths.len(), seed.purpose("rows"), epoch as u64) {
            if !rows.is_empty() && tokens + lengths[row] > tokens_per_step {
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
        let found = batches(&lengths, 2, 10, Seed::run(5));
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
        assert_eq!(found, batches(&lengths, 2, 10, Seed::run(5)));
        assert_ne!(found, batches(&lengths, 2, 10, Seed::run(6)));
    }

    #[test]
    fn no_rows_make_no_steps() {
        assert!(batches(&[], 3, 10, Seed::run(1)).is_empty());
    }
}
