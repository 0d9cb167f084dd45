//! The in-process learner: a transformer that samples and trains on this machine's CPU.
//!
//! [`LocalLearner`] trains, [`LocalPolicy`] is one version of the weights, frozen. Both do their arithmetic with the
//! kernels of this crate, on a pool of [`Threads`] that a program opens once and shares. The log-probability of a token
//! is the same bits whether it was sampled (alone, in a batch, after any cut of its prompt), scored or trained on.

mod kernels;
mod learner;
mod loss;
pub mod measure;
mod model;
mod options;
mod packed;
mod policy;
mod sampler;
mod state;
mod update;
pub mod weights;

pub use kernels::{Arithmetic, Isa, Threads};
pub use learner::LocalLearner;
pub use model::adapter::{AdapterShape, AdapterTarget};
pub use model::config::{Family, Llama3Scaling, ModelConfig};
pub use options::{LearnerOptions, PolicyOptions};
pub use policy::{LocalPolicy, WeakPolicy};
pub use state::FILE as STATE_FILE;
pub use weights::{Adapter, Checkpoint, Dtype, Origin, export, refuse_if_too_large};
