//! How are many prompts continued at once?
//!
//! A [`Sampler`] owns one version of the weights and a thread. Requests that are open together share every matrix
//! product (continuous batching): a finished row leaves, a waiting one enters, long prompts are read a piece at a
//! time. Keys and values stay in a cache of blocks, where later requests find the part of their prompt that was
//! computed before. What a request returns depends on itself alone.

mod cache;
mod pick;
mod row;
mod schedule;
mod stop;

pub(crate) use schedule::Sampler;
