//! A policy that plays a script, and the smallest learner that truly learns: the whole program in milliseconds.
//!
//! - [`ScriptedPolicy`] replies with given words.
//! - [`BigramLearner`] is a table of next-token logits with an analytic gradient; its frozen weights are a
//!   [`BigramPolicy`]. It honours the whole contract.

mod bigram;
mod files;
mod learner;
mod policy;
mod script;
mod writing;

pub use learner::BigramLearner;
pub use policy::BigramPolicy;
pub use script::ScriptedPolicy;
