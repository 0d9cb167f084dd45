//! Needs: the memory that a model takes, said before it is loaded.

use anyhow::Result;
use zerosearch_local::{LocalLearner, LocalPolicy, ModelConfig};

use super::{Pool, SCRIPTED, SERVER, adapter, bigram, blocking, checkpoint, learner_options};
use crate::config::{Adapter, Model};
use crate::problem::problem;

/// Bytes that a model needs at most.
#[derive(Clone, Copy, Debug, Default)]
pub struct Needs {
    /// To be trained, and sampled from meanwhile.
    pub training: u64,
    /// To be sampled from and to score.
    pub sampling: u64,
    /// To be sampled from and to score as it was at the start, while it is trained.
    pub start: u64,
    /// The adapter alone, over a model that is in memory anyway.
    pub adapter: u64,
}

/// The dimensions of a model, without its weights.
pub(crate) async fn shape(model: &Model, seed: u64) -> Result<ModelConfig> {
    if bigram(model).await?.is_some() || [SCRIPTED, SERVER].contains(&model.path.as_str()) {
        return Err(problem(format!(
            "model.path = \"{}\" is no transformer: nothing of it can be estimated",
            model.path
        ))
        .hint("name a Hugging Face directory, a .gguf file or a hub id")
        .into());
    }
    let model = model.clone();
    blocking(move || Ok(checkpoint(&model, seed)?.config)).await
}

/// What a model and its adapter would need, without loading them. `context` is as for [`open_voice`](super::open_voice); at most
/// `held` tokens have keys and values together, or as many as the cache takes.
pub async fn needs(
    (model, adapter): (&Model, &Adapter),
    (context, held): (usize, usize),
    pool: &Pool,
) -> Result<Needs> {
    if bigram(model).await?.is_some() {
        return Ok(Needs::default());
    }
    let (model, adapter, mut options) =
        (model.clone(), adapter.clone(), learner_options(model, context, pool));
    let find = move || {
        let checkpoint = checkpoint(&model, 0)?;
        let shape = match adapter::read(&model, &adapter, &checkpoint)? {
            Some(adapter) => Some(adapter.shape().clone()),
            None => adapter::shape(&adapter),
        };
        let mut config = checkpoint.config;
        if options.policy.context_length > 0 {
            config.context_length = config.context_length.min(options.policy.context_length);
        }
        let held = LocalPolicy::cache_memory(&config, &options.policy, held);
        options.policy.cache_bytes = options.policy.cache_bytes.min(held);
        let sampling = LocalPolicy::memory(&config, &options.policy) as u64;
        let packed = |numbers: usize| numbers.saturating_mul(options.policy.arithmetic.bytes()) as u64;
        let weights = packed(config.parameters());
        Ok(match shape {
            Some(shape) => Needs {
                training: LocalLearner::adapter_memory(&config, &shape, &options) as u64,
                sampling,
                start: sampling.saturating_sub(weights),
                adapter: packed(shape.parameters(&config)),
            },
            None => {
                let training = LocalLearner::memory(&config, &options) as u64;
                Needs { training, sampling, start: sampling, adapter: 0 }
            }
        })
    };
    blocking(find).await
}
