//! Where do weights come from, and how are they handed on?
//!
//! - [`Checkpoint`] is a model that was found: its dimensions, its text, and its tensors by name. It is a Hugging Face
//!   directory (`directory`, `safetensors`, `config_file`), a GGUF file (`gguf`), a repository of the hub (`hub`), or
//!   made of random numbers (`random`).
//! - [`Adapter`] is what is trained beside a model that stays as it is (`adapter`, `adapter_config`).
//! - [`export()`] writes a Hugging Face directory.
//! - [`refuse_if_too_large`] says before loading what would not fit.

mod adapter;
mod adapter_config;
mod checkpoint;
mod config_file;
mod directory;
mod draft;
mod export;
mod gguf;
mod hub;
mod map;
mod memory;
mod random;
mod safetensors;

pub use adapter::Adapter;
pub use checkpoint::{Checkpoint, Origin};
pub use export::{Dtype, Tensors, export};
pub(crate) use map::Map;
pub use memory::{available_bytes, machine_bytes, peak_bytes, refuse_if_too_large};
