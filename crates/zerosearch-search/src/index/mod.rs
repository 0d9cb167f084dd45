//! An index: a folder in which a corpus can be searched, made once and opened often.
//!
//! | file | question it answers |
//! |---|---|
//! | `manifest` | what was a finished index made of, and which files belong to it? |
//! | `beginning` | does what is in the folder belong to this corpus? |
//! | `claim` | does another process fill the folder? |
//! | `pace` | how far is the making of one, and should it go on? |
//! | `aside` | how is a file replaced so that a crash leaves the old one or the new one? |
//! | `error` | why can an index not be made or opened? |

mod aside;
mod beginning;
mod claim;
mod error;
mod manifest;
mod pace;

pub(crate) use aside::replace;
pub use beginning::Built;
pub(crate) use beginning::{catch_up, look, recognise, refuse_strangers};
pub(crate) use claim::claim;
pub use error::IndexError;
pub use manifest::Manifest;
pub use pace::{Pace, Stage, Watch};
