//! The best: the few highest of many scores; of equal ones, those that stand first in the corpus.

use std::cmp::Ordering;

/// A passage's score and its place in the corpus.
pub(super) type Hit = (f32, usize);

/// At most `most` hits, best first.
pub(super) struct Best {
    most: usize,
    hits: Vec<Hit>,
}

impl Best {
    pub(super) fn new(most: usize) -> Self {
        Self { most, hits: Vec::with_capacity(most + 1) }
    }

    /// Keeps a hit if it is among the best so far. The order in which hits are offered does not matter.
    pub(super) fn offer(&mut self, hit: Hit) {
        if self.hits.len() == self.most && self.hits.last().is_none_or(|last| order(&hit, last).is_ge()) {
            return;
        }
        self.hits.insert(self.hits.partition_point(|kept| order(kept, &hit).is_lt()), hit);
        self.hits.truncate(self.most);
    }

    pub(super) fn into_hits(self) -> Vec<Hit> {
        self.hits
    }

    /// The best of several lists.
    pub(super) fn of(lists: Vec<Vec<Hit>>, most: usize) -> Vec<Hit> {
        let mut hits: Vec<Hit> = lists.into_iter().flatten().collect();
        hits.sort_by(order);
        hits.truncate(most);
        hits
    }
}

fn order(one: &Hit, other: &Hit) -> Ordering {
    other.0.total_cmp(&one.0).then(one.1.cmp(&other.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_stay_and_equal_ones_in_their_order() {
        for offered in [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 4, 0, 3, 1]] {
            let scores = [1.0, 3.0, 2.0, 3.0, 2.0];
            let mut best = Best::new(3);
            offered.into_iter().for_each(|place| best.offer((scores[place], place)));
            assert_eq!(best.into_hits(), [(3.0, 1), (3.0, 3), (2.0, 2)]);
        }
        let mut none = Best::new(0);
        none.offer((1.0, 0));
        assert!(none.into_hits().is_empty());
    }
}
