//! Question files: JSON lines (also gzipped) and Parquet, in the plain, the FlashRAG and the verl schema.
//!
//! Both formats become JSON objects, one for each row, and one place ([`row`]) knows what their columns mean.

mod file;
mod jsonl;
mod parquet;
mod row;

pub use file::{QuestionFile, Unusable};
pub(super) use file::{Read, read};
