//! A writer behind any OpenAI-compatible server: vLLM, SGLang, llama.cpp, Ollama, hosted services.
//!
//! | file | question it answers |
//! |---|---|
//! | `settings` | what has to be known about the servers? |
//! | `client` | how are they asked? |
//! | `writer` | how does a request become a text? |
//! | `wire` | what do requests and replies look like? |

mod client;
mod settings;
mod wire;
mod writer;

pub use client::OpenAiClient;
pub use settings::{OpenAiSettings, Route};
pub use writer::OpenAiWriter;

#[cfg(test)]
mod tests;
