//! The simulated engine: a language model plays the search engine, useful or noisy on request.
//!
//! | file | question it answers |
//! |---|---|
//! | `engine` | what happens between a query and its documents? |
//! | `settings` | what can be chosen? |
//! | `template` | what is the model told? |
//! | `free` | how are documents found in a whole reply? |
//! | `forced` | how are they written one by one? |
//! | `own` | what does a model find that searches itself? |
//! | `reply` | where does a document of a reply begin and end? |
//! | `harvest` | which documents are kept, and how long are they? |
//! | `demonstration` | what would a model have to write to give certain documents? |

mod demonstration;
mod engine;
mod forced;
mod free;
mod harvest;
mod own;
mod reply;
mod settings;
mod template;

pub use demonstration::{Demonstration, Stretch};
pub use engine::SimulatedEngine;
pub use own::{SelfEngine, SelfSearch};
pub use settings::{SimulatedSettings, Structure};
pub use template::PromptTemplate;

#[cfg(test)]
mod tests;
