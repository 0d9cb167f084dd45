//! A learner for other programs: the Tinker API over models that train in this process.
//!
//! | file | question it answers |
//! |---|---|
//! | `posted` | what does a body say, and did it come before? |
//! | `line` | in which order are the requests of a model carried out, each of them once? |
//! | `futures` | what came of a request? |
//! | `shape` | what of a model trains? |
//! | `batch` | what do rows and a loss mean to a learner, and what comes back? |
//! | `draw` | what is sampled? |
//! | `hall` | which sessions are open, and how long? |
//! | `models`, `worker` | which models train, and who carries out what is asked of one? |
//! | `samplers` | which frozen weights are sampled from? |
//! | `address`, `checkpoints`, `archive` | what are saved weights called, where do they lie, and how are they taken away? |
//! | `routes`, `runs`, `part` | what is there to call? |

mod address;
mod archive;
mod batch;
mod checkpoints;
mod draw;
mod futures;
mod hall;
mod line;
mod models;
mod part;
mod posted;
mod routes;
mod runs;
mod samplers;
mod shape;
mod worker;

pub use hall::TinkerService;
pub use routes::tinker;
