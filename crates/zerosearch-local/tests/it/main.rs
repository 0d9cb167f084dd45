//! What the learner promises, tested from outside.
#![allow(clippy::unwrap_used)]

mod exact;
mod models;
mod smollm2;
