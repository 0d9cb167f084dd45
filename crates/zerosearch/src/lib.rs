//! `zerosearch` teaches a language model to answer questions by searching, with no search engine in the training loop.
//!
//! Words, used everywhere in one meaning: *question*, *golden answers*, *policy* (the model that learns), *learner* (what
//! trains it), *search engine*, *simulator* (a model that plays a search engine), *noise* (the chance that documents
//! are useless), *turn*, *transcript* (tokens with authors), *trajectory* (a finished transcript, its ending and its
//! reward), *group* (one question, several trajectories), *batch*, *step*, *run* (a folder).

pub mod ask;
pub mod bench;
pub mod compare;
pub mod config;
pub mod curriculum;
pub mod doctor;
pub mod engines;
pub mod estimate;
pub mod eval;
pub mod judge;
pub mod learners;
pub mod micro;
pub mod problem;
pub mod progress;
pub mod qa;
pub mod quickstart;
pub mod report;
pub mod retrieval;
pub mod rl;
pub mod rollout;
pub mod run;
pub mod score;
pub mod serve;
pub mod sft;
pub mod simulator;
pub mod stop;
pub mod train;
