//! An index: a folder in which a corpus can be searched, made once and opened often.
//!
//! | file | question it answers |
//! |---|---|
//! | `manifest` | what was a finished index made of, and which files belong to it? |
//! | `pace` | how far is the making of one, and should it go on? |
//! | `error` | why can an index not be made or opened? |

mod error;
mod manifest;
mod pace;

pub use error::IndexError;
pub use manifest::Manifest;
pub use pace::{Pace, Stage, Watch};
