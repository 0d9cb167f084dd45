//! Servers that are asked over HTTP: several addresses, bounded time, tries and calls at once.
//!
//! | file | question it answers |
//! |---|---|
//! | `address` | what is the address of a server? |
//! | `key` | who may know a secret? |
//! | `request` | what is asked of a server, and where does its key go? |
//! | `patience` | how long is waited, how often tried? |
//! | `caller` | how does a request become a reply, and when is it tried again? |
//! | `servers` | which of several servers is asked, and which is set aside? |
//! | `health` | is one that was set aside well again? |
//! | `exchange` | what happens on the wire in one try? |

mod address;
mod caller;
mod exchange;
mod health;
mod key;
#[cfg(test)]
pub(crate) mod loopback;
mod patience;
mod request;
mod servers;

pub use address::check_addresses;
pub(crate) use address::{Share, addresses, names};
pub(crate) use caller::{Caller, Replied};
pub(crate) use health::Signs;
pub use key::Key;
pub(crate) use patience::Patience;
pub(crate) use request::{Credential, KeyPlace, Request};
pub use servers::{ServerCounts, Servers};
