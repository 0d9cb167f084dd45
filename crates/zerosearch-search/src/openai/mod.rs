//! A writer behind any OpenAI-compatible server: vLLM, SGLang, llama.cpp, Ollama, hosted services.
//!
//! | file | question it answers |
//! |---|---|
//! | `settings` | what has to be known about the servers? |
//! | `writer` | how does a request become a text, and when is it tried again? |
//! | `servers` | which of several servers is asked, and which rests? |
//! | `exchange` | what happens on the wire in one try? |
//! | `wire` | what do requests and replies look like? |

mod exchange;
mod servers;
mod settings;
mod wire;
mod writer;

pub use settings::{Key, OpenAiSettings, Route};
pub use writer::OpenAiWriter;

#[cfg(test)]
mod tests;
