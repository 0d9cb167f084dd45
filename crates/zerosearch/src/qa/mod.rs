//! What is asked, and when is an answer right?

mod dataset;
mod error;
mod normalize;
mod place;
mod question;
mod read;
mod reward;
mod score;

pub use dataset::{DataSet, Overlap, QuestionStream, order, overlap};
pub use error::QuestionError;
pub use normalize::normalize;
pub use place::{Origin, check_places, locate};
pub use question::Question;
pub use read::{QuestionFile, Unusable};
pub use reward::Reward;
pub use score::{SCORER, score, score_ending, token_f1};
