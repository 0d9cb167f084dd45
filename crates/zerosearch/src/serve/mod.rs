//! Servers: an engine, a policy, or a learner, for other programs over HTTP.
//!
//! | file | question it answers |
//! |---|---|
//! | `terms` | where does a server listen, who may ask, and how much at once? |
//! | `door` | who of those who come is let in? |
//! | `quota` | how often may one client come? |
//! | `open` | how does a server start and stop? |
//! | `asked`, `refusal` | how is a request read, and how is one refused? |
//! | `traffic` | what came and went, in numbers? |
//! | `search/` | how does an engine answer in the dialects of others? |
//! | `model/` | how does a policy answer as OpenAI's servers do? |
//! | `tinker/` | how does a learner answer as the Tinker service does? |

mod asked;
mod door;
mod model;
mod open;
mod quota;
mod refusal;
mod search;
mod terms;
mod tinker;
mod traffic;

pub use model::{PolicyService, model};
pub use open::{Sign, open};
pub use search::{SearchService, search};
pub use terms::{Terms, Token};
pub use tinker::{TinkerService, tinker};
