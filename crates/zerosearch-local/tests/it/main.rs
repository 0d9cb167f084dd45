//! What the learner promises, tested from outside.
#![allow(clippy::unwrap_used)]

mod contract;
mod exact;
mod models;
mod smollm2;
