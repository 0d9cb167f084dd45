//! The command line: one file per verb, glue only.

mod ask;
mod bench;
mod collect;
mod collection;
mod compare;
mod convert;
mod doctor;
mod eval;
mod export;
mod flags;
mod index;
mod judge;
mod place;
mod plan;
mod quickstart;
mod report;
mod score;
mod screen;
mod search;
mod serve;
mod sft;
mod sim;
mod train;
mod verbs;
mod world;

pub(crate) use screen::{fail, log_to_stderr};
pub(crate) use verbs::Cli;
