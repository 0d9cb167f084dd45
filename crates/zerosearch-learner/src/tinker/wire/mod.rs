//! The wire: what requests and replies of the Tinker protocol look like, as JSON and as protobuf.
//!
//! A body is read leniently (fields that this program does not know are ignored, what is optional may be absent or null),
//! because servers and their clients are not of one version.

#[cfg(test)]
mod golden;
mod proto;
mod replies;
mod requests;
mod tensor;

pub use replies::{
    Checkpoint, Created, ForwardBackwardReply, Future, HostedFailure, LoadedWeights, ModelInfo, SampleReply,
    SampledSequence, SamplerSaved, SamplingSession, Session, StepReply, StopKind, SupportedModel, Supports,
    TryAgain, WeightsInfo, WeightsSaved,
};
pub use requests::{
    AdamParams, CreateModel, CreateSamplingSession, CreateSession, Datum, Forward, ForwardBackward,
    ForwardBackwardInput, GetInfo, Heartbeat, LoadWeights, LoraConfig, ModelInput, OfWeights, OptimStep,
    OptimizerConfig, RetrieveFuture, SampleOrder, SamplingParams, SaveForSampler, SaveWeights, Stop,
    UnloadModel,
};
pub use tensor::Tensor;

/// The media type of a JSON body.
pub const JSON: &str = "application/json";

/// The media type of a protobuf body.
pub const PROTOBUF: &str = "application/x-protobuf";

/// Why a body could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{what} is not what it should be: {problem}")]
pub struct WireError {
    /// The body, or a part of it.
    pub what: &'static str,
    /// What is wrong with it.
    pub problem: String,
}

impl WireError {
    fn new(what: &'static str, problem: impl ToString) -> Self {
        Self { what, problem: problem.to_string() }
    }
}
