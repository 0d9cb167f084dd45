//! How are many prompts continued at once?
//!
//! A [`Sampler`] owns a thread and serves every version of the weights that shares its matrices: one version of a model,
//! or a model with and without adapters. Requests that are open together share every matrix product (continuous batching): a
//! finished row leaves, a waiting one enters, long prompts are read a piece at a time; an adapter's factors touch its own rows. Keys and values stay in a cache of blocks, where later requests find the part of their prompt that was
//! computed before. What a request returns depends on itself alone.

mod cache;
mod pick;
mod row;
mod schedule;
mod version;

pub(crate) use schedule::Sampler;
pub(crate) use version::Version;
