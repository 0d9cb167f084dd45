//! How a local model computes and how much memory it may take.

use std::sync::Arc;

use zerosearch_learner::{LearnerError, Result};

use crate::kernels::{Arithmetic, Isa, Threads};
use crate::model::Machine;

const GIB: usize = 1 << 30;

/// What a frozen model needs to know.
#[derive(Clone)]
pub struct PolicyOptions {
    /// Which numbers matrix products multiply.
    pub arithmetic: Arithmetic,
    /// The pool that computes. Models that run at the same time should share one.
    pub threads: Arc<Threads>,
    /// The instruction set; the fastest of this machine by default.
    pub isa: Isa,
    /// Rows longer than this are refused even if the model could read them. A model is not opened when the cache has no
    /// room for one such row; 0 for the model's own limit, or what the cache has room for if that is less.
    pub context_length: usize,
    /// Memory that keys and values of all rows together may take, in bytes.
    pub cache_bytes: usize,
}

impl PolicyOptions {
    /// bf16 on the given pool, with 4 GiB for keys and values.
    pub fn new(threads: Arc<Threads>) -> Self {
        Self {
            arithmetic: Arithmetic::Bf16,
            threads,
            isa: Isa::detect(),
            context_length: 0,
            cache_bytes: 4 * GIB,
        }
    }

    /// Refuses an instruction set that this machine does not have.
    pub(crate) fn check(&self) -> Result<()> {
        if self.isa.available() {
            return Ok(());
        }
        Err(LearnerError::Unsupported(format!(
            "this machine does not have the instructions of `{}`; the fastest that it has are those of `{}`",
            self.isa,
            Isa::detect()
        )))
    }

    pub(crate) fn machine(&self) -> Machine {
        Machine { isa: self.isa, arithmetic: self.arithmetic, threads: Arc::clone(&self.threads) }
    }
}

/// What a learner needs to know.
#[derive(Clone)]
pub struct LearnerOptions {
    /// How its policies compute; it computes the same way.
    pub policy: PolicyOptions,
    /// Tokens that are trained on together, those that rows share counted once; a longer row is a batch of its own. Part
    /// of a run's plan, because another cut rounds sums of gradients differently.
    pub micro_batch_tokens: usize,
    /// Memory for what layers leave for the backward pass, in bytes. Layers for which it does not suffice are computed a
    /// second time; that changes time, not one bit.
    pub activation_bytes: usize,
}

impl LearnerOptions {
    /// Micro-batches of 2,048 tokens and 2 GiB for activations.
    pub fn new(policy: PolicyOptions) -> Self {
        Self { policy, micro_batch_tokens: 2048, activation_bytes: 2 * GIB }
    }
}
