//! A cluster: training and sampling on somebody else's engine, spoken to in the Tinker protocol.
//!
//! | here is | it does |
//! |---|---|
//! | [`TinkerLearner`] | a learner whose weights are on a server; its snapshots are sampling sessions |
//! | [`Quirks`] | in what servers of the protocol differ; what a server would change in silence is refused |
//! | [`Patience`] | how long a server is waited for, and how often asked again |
//! | [`wire`] | the bodies of requests and replies, in JSON and in protobuf, for clients and for servers |

mod archive;
mod http;
mod keeping;
mod learner;
mod policy;
mod quirks;
mod rows;
mod session;
mod state;
mod teaching;
mod trouble;
pub mod wire;

pub use http::Patience;
pub use learner::{Merge, TinkerLearner, TinkerOptions};
pub use policy::TinkerPolicy;
pub use quirks::{Alpha, Decided, PRESETS, Quirks, Reduction, Wire};
pub use state::STATE;
