//! How fast are the in-process learner, the conversations and the servers on this machine?
//!
//! Each measurement is a function that gives its figures as a struct; the names of its fields are their definitions, and
//! what is printed, as JSON or as a table. Whatever is repeated is given by its median, after one unmeasured round. Rows are
//! random and no two are the same, so that no cache knows them.

mod grpo;
mod load;
mod matmul;
mod orchestration;
mod pair;
mod prefill;
mod rows;
mod sample;
mod stub;
mod subject;
mod table;
mod times;
mod train;

pub use grpo::{GrpoFigures, Play, grpo};
pub use load::{Load, LoadFigures, load};
pub use matmul::{ProductFigures, SIZES, matmul};
pub use orchestration::{Orchestration, OrchestrationFigures, orchestration};
pub use pair::{PairFigures, pair};
pub use prefill::{PrefillFigures, Reading, prefill};
pub use rows::{lessons, rollouts};
pub use sample::{SampleFigures, Sampling, sample};
pub use stub::{Answering, serve_stub};
pub use subject::{Choice, Computing, Subject};
pub use table::table;
pub use train::{TrainFigures, train};
