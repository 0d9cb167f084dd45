//! The shelf: models in memory, so that one that is opened twice (policy and simulator over one base) is there once.

use std::sync::{Mutex, PoisonError};

use zerosearch_learner::Result;
use zerosearch_local::{LocalPolicy, WeakPolicy};

use crate::config::Model;

/// What decides a model's matrices and the rows that it reads.
#[derive(PartialEq)]
pub(super) struct Title {
    pub(super) model: Model,
    /// That of a random model.
    pub(super) seed: u64,
    pub(super) context: usize,
}

/// Models without adapters, known as long as somebody uses them.
#[derive(Default)]
pub(super) struct Shelf(Mutex<Vec<(Title, WeakPolicy)>>);

impl Shelf {
    /// Notes a model that is in memory.
    pub(super) fn put(&self, title: Title, bare: &LocalPolicy) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(_, model)| model.upgrade().is_some());
        known.push((title, bare.downgrade()));
    }

    /// The model of that title, opened if it is not in memory.
    pub(super) fn find_or(
        &self,
        title: Title,
        open: impl FnOnce() -> Result<LocalPolicy>,
    ) -> Result<LocalPolicy> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known.iter().find(|(other, _)| *other == title).and_then(|(_, model)| model.upgrade());
        drop(known);
        match found {
            Some(bare) => Ok(bare),
            None => open().inspect(|bare| self.put(title, bare)),
        }
    }
}
