//! What is the invented world in which the whole method can be tried from nothing?

mod chain;
mod checkpoint;
mod demonstration;
mod files;
mod lookup;
mod pretraining;
mod relation;
mod tokenizer;
mod words;
mod world;

pub use chain::{Chain, Split, chains};
pub use checkpoint::write_checkpoint;
pub use demonstration::DOCUMENTS;
pub use files::{write_pretraining, write_world};
pub use relation::{Kind, Relation};
pub use tokenizer::text;
pub use world::{Entity, Fact, World};
