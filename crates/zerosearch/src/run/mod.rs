//! What does a run leave behind?
//!
//! A run is a folder, and the folder is the interface: resuming, plots and tests read these files and nothing else.
//! `docs/run-folder.md` fixes the keys of every file. Whatever the instant of a crash, each file is the old one or the
//! new one; of a file that grows line by line, only the last line can be torn, and it is cut when the run is resumed.

mod checkpoint;
mod claim;
mod directory;
mod durable;
mod folder;
mod journal;
mod lock;
mod metrics;
mod read;
mod record;
mod resume;

pub use checkpoint::Checkpoints;
pub use claim::claim;
pub(crate) use claim::{difference, holds_more, is_leftover};
pub use directory::Directory;
pub use durable::{append_line, replace};
pub(crate) use durable::{aside, mend, rename};
pub use folder::{Run, unused_folder};
pub use journal::{EngineJournal, Journal, Replies};
pub(crate) use lock::Lock;
pub use metrics::Row;
pub use read::{for_each_line, lines, numbers, read_json};
pub use record::{CheckpointLine, Hashes, LeftOut, RunRecord, State, TrajectoryLine, VERSION};
pub use resume::{Difference, changes};
