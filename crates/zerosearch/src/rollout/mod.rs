//! How does one conversation go?

mod trajectory;
mod transcript;

pub use trajectory::{Action, Ending, Group, Scores, Trajectory, Turn};
pub use transcript::{Author, Piece, Transcript};
