//! How is a model fetched from the Hugging Face hub?
//!
//! Files go into the cache that `huggingface_hub` uses, in its layout, so that both share what the other fetched:
//!
//! ```text
//! models--org--name/refs/main               the commit that `main` was at
//! models--org--name/snapshots/COMMIT/FILE   links to
//! models--org--name/blobs/ETAG              contents; ETAG.incomplete while being fetched
//! ```
//!
//! - `settings`: where the hub and the cache are, and with which key.
//! - `id`: what a repository may be called.
//! - `cache`: the paths above, and whether a snapshot is whole.
//! - `fetch`: which files a model needs; `download`: one file, resumed where it broke off.

mod cache;
mod download;
mod fetch;
mod id;
mod settings;

pub(super) use id::{BadId, ModelId};
pub use settings::Hub;

#[cfg(test)]
mod tests;
