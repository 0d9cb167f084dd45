//! Web search: the documents of the open web, as a provider's interface gives them.
//!
//! | file | question it answers |
//! |---|---|
//! | `provider` | whom can we ask? |
//! | `service` | what has to be known of a provider? |
//! | `engine` | how does a query become documents? |
//! | `serpapi`, `serper`, `brave`, `tavily`, `google`, `searxng` | how is this one asked, and what does it reply? |

mod brave;
mod engine;
mod google;
mod provider;
mod searxng;
mod serpapi;
mod serper;
mod service;
mod tavily;

pub use engine::{WebEngine, WebSettings};
pub use provider::Provider;

#[cfg(test)]
mod tests;
