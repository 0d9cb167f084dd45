//! A version: weights that sample, and the sampler that they share with others over the same matrices.

use std::sync::{Arc, OnceLock};

use zerosearch_learner::text::Text;

use super::Sampler;
use crate::model::Network;

/// One version of the weights. When the last who holds it lets go, its sampler forgets the keys and values that it computed.
pub(crate) struct Version {
    pub(crate) network: Arc<Network>,
    sampler: Arc<OnceLock<Sampler>>,
    /// The first of those that share the sampler.
    first: Option<Arc<Self>>,
}

impl Version {
    /// A version with a sampler of its own.
    pub(crate) fn alone(network: Arc<Network>) -> Self {
        Self { network, sampler: Arc::default(), first: None }
    }

    /// A version whose requests are sampled together with this one's. The networks must share their matrices.
    pub(crate) fn beside(self: &Arc<Self>, network: Arc<Network>) -> Self {
        let first = Arc::clone(self.first.as_ref().unwrap_or(self));
        Self { network, sampler: Arc::clone(&self.sampler), first: Some(first) }
    }

    /// The sampler, which starts when it is first asked for.
    pub(crate) fn sampler(&self, text: &Arc<Text>, cache_bytes: usize) -> &Sampler {
        self.sampler.get_or_init(|| Sampler::start(&self.network, Arc::clone(text), cache_bytes))
    }

    /// Tells it from every other version that anybody holds.
    pub(super) fn name(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }
}

impl Drop for Version {
    fn drop(&mut self) {
        if let Some(sampler) = self.sampler.get() {
            sampler.forget(self.name());
        }
    }
}
