//! An engine for other programs: one request in the dialect of its client, documents back.
//!
//! | file | question it answers |
//! |---|---|
//! | `request` | what can be asked for? |
//! | `dialect` | how do the clients of `/retrieve` word it, and what do they expect? |
//! | `service` | which documents does a request get? |
//! | `figures` | what was searched and found, in numbers? |
//! | `routes` | what is there to call? |

mod dialect;
mod figures;
mod request;
mod routes;
mod service;

pub use routes::search;
pub use service::SearchService;
