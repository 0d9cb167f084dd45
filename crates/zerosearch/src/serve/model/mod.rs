//! A policy for other programs: the OpenAI API over tokens that are sampled in this process.
//!
//! | file | question it answers |
//! |---|---|
//! | `fields` | which parameters came, and which of them cannot be honoured? |
//! | `order` | what is to be sampled, and what told of it? |
//! | `teller` | which words do the tokens make, as they come? |
//! | `speaker` | how does an order become replies? |
//! | `shape` | how do the two routes write a reply? |
//! | `stream` | how is a reply told word by word? |
//! | `routes` | what is there to call? |
//! | `description` | what do requests and replies look like from outside? |

mod description;
mod fields;
mod order;
mod routes;
mod shape;
mod speaker;
mod stream;
mod teller;

pub use routes::model;
pub use speaker::PolicyService;
