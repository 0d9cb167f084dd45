//! Which files of a repository of the Hugging Face hub are a model?
//!
//! - `id`: what a model may be called.
//! - `model`: which files it needs, and what is refused before its weights are fetched.
//!
//! How a file is fetched is [`zerosearch_hub`]'s to know.

mod id;
mod model;

pub(super) use id::{BadId, ModelId};
pub(super) use model::fetch;

#[cfg(test)]
mod tests;
