//! How does one conversation go?

mod distill;
#[cfg(test)]
pub(crate) mod fakes;
mod group;
#[cfg(test)]
mod group_tests;
mod information;
mod play;
#[cfg(test)]
mod play_tests;
mod prompt;
mod protocol;
mod rules;
mod setup;
mod stats;
mod template;
mod trajectory;
mod transcript;

pub use distill::{Distillate, DistillationTemplate};
pub use group::{Crowd, Seat, play_all, play_seats, seats};
pub use information::{
    DocumentStyle, INFORMATION_CLOSER, INFORMATION_OPENER, information_tokens, segment_tokens,
};
pub use play::{Moment, play, play_aloud};
pub use prompt::{PromptError, PromptTemplate};
pub use protocol::{ANSWER_CLOSER, Protocol, SEARCH_CLOSER};
pub use rules::{Rules, Sampling, default_hint};
pub use setup::{Rollout, RolloutError};
pub use stats::statistics;
pub use trajectory::{Action, Ending, Group, Scores, Trajectory, Turn};
pub use transcript::{Author, Piece, Transcript};
