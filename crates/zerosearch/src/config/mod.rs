//! What may a person write, and what does it mean?
//!
//! Two stages. A [`ConfigFile`] is what was written: TOML, two levels deep, every key optional, unknown keys refused
//! with the nearest name. A [`Plan`] is what the program runs on: nothing left to decide, nothing left to check. The one
//! way from the first to the second is [`ConfigFile::resolve`], the only place where defaults are written. A plan is
//! itself a valid config file that resolves to the same plan; it is what a run folder records.

mod check;
mod complaint;
mod cost;
mod file;
mod plan;
mod resolve;
mod set;

pub(crate) use check::nearest;
pub use complaint::Complaint;
pub use cost::{Assumption, Cost, Gpu};
pub use file::{ConfigFile, known_keys};
pub use plan::{
    Adapter, AdapterTarget, AlgorithmName, ApiName, Arithmetic, Baseline, Bm25, Cache, Curriculum, Dense,
    DenseSearch, DialectName, DocumentStyle, EngineName, Eval, KlPlace, KlType, LearnerName, Model,
    Optimizer, Plan, PresetName, ProviderName, Questions, ReductionName, Retrieve, Reward, Rl, Rollout, Run,
    Schedule, Server, Sft, Simulator, SimulatorMode, Spread, Structure, Tinker, Web, WireName,
};
pub use resolve::Purpose;
pub use set::Setting;
