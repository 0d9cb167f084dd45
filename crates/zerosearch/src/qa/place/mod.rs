//! Where do question files lie, and how do people write it?
//!
//! | file | question it answers |
//! |---|---|
//! | `written` | what does `[NAME=]PLACE[@SPLIT]` mean? |
//! | `paper` | which seven sets are known by name? |
//! | `choice` | which files of a repository are meant? |
//! | `locate` | where on this machine are they, fetched if need be? |

mod choice;
mod locate;
mod paper;
mod written;

pub use locate::{Origin, check_places, locate};
