//! What is asked, and when is an answer right?

mod question;

pub use question::Question;
