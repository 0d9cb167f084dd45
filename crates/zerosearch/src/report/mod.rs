//! What did these runs do?
//!
//! A report is one page of HTML that needs nothing else: tables and curves are written into it, conversations lie in it as
//! data for a small script. It is made of run folders and of nothing else; the same folders give the same page.

mod answers;
mod axis;
mod budget;
mod chart;
mod comparison;
mod conversation;
mod figures;
mod history;
mod page;
mod parts;
mod plots;
mod sample;
mod series;
mod source;
mod svg;
mod table;
mod vocabulary;
mod whiskers;

pub use page::{Made, Wanted, write};
pub(crate) use source::{names, refuse_other_version};
pub(crate) use table::Table;
