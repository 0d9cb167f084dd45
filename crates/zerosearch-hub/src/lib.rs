//! How is a file fetched from the Hugging Face hub?
//!
//! Files go into the cache that `huggingface_hub` uses, in its layout, so that both share what the other fetched:
//!
//! ```text
//! datasets--org--name/refs/main               the commit that `main` was at
//! datasets--org--name/snapshots/COMMIT/FILE   links to
//! datasets--org--name/blobs/ETAG              contents; ETAG.incomplete while being fetched
//! datasets--org--name/listings/COMMIT         the names of all files, one a line: ours alone
//! ```
//!
//! | file | question it answers |
//! |---|---|
//! | `settings` | where are the hub and the cache, and with which key are they asked? |
//! | `repository` | what may a repository be called? |
//! | `taking` | what if the hub does not answer? |
//! | `snapshot` | which files does a repository have at a commit? |
//! | `session` | what does the hub say? |
//! | `download` | how is one file fetched, and resumed where it broke off? |
//! | `cache` | where do the files lie? |
//! | `error` | why could something not be fetched? |
//! | `loopback` | which hub do tests ask? |

mod cache;
mod download;
mod error;
#[cfg(feature = "loopback")]
pub mod loopback;
mod repository;
mod session;
mod settings;
mod snapshot;
mod taking;

pub use error::HubError;
pub use repository::{Kind, Repository};
pub use settings::Hub;
pub use snapshot::Snapshot;

#[cfg(test)]
mod tests;
