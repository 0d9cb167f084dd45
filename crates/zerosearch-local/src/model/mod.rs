//! What does the transformer compute, forwards and backwards?
//!
//! One decoder covers every family: RMSNorm, rotary positions, grouped attention, SwiGLU. [`Layout`] says
//! where each parameter lies in the one flat vector of weights; a [`Network`] is one version of them,
//! packed for the kernels, with or without an adapter ([`AdapterShape`]) on its projections; `forward`, `head` and
//! `backward` are written out by hand and read from top to bottom.

pub(crate) mod adapter;
mod backward;
pub(crate) mod config;
mod forward;
mod head;
mod layout;
mod machine;
mod network;
mod projection;
mod recording;
mod shapes;

pub(crate) use adapter::AdapterShape;
pub(crate) use backward::Pass;
pub(crate) use forward::{Batch, Share};
pub(crate) use head::{LOGITS_AT_ONCE, Predictions, Target};
pub(crate) use layout::Layout;
pub(crate) use machine::Machine;
pub(crate) use network::{Network, rotary_frequencies};
pub(crate) use recording::Recording;
