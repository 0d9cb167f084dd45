//! What the learner promises, tested from outside.

mod smollm2;
