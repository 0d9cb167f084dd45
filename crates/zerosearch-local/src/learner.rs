//! The learner that runs in this process.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use zerosearch_learner::text::Text;
use zerosearch_learner::{
    Adam, Boxed, Capabilities, Example, Learner, LearnerError, Loss, LossReport, Policy, Result, StepReport,
};

use crate::kernels::{Arithmetic, RotaryTable};
use crate::model::config::ModelConfig;
use crate::model::{AdapterShape, Layout, Machine, Network, Recording, rotary_frequencies};
use crate::options::LearnerOptions;
use crate::policy::{LocalPolicy, bounded, check_row, frozen, serving_bytes};
use crate::state::{State, read_weights};
use crate::update::Update;
use crate::weights::{Adapter, Checkpoint, Dtype, refuse_if_too_large};

mod trained;

use trained::{Adapted, Trained, Whole};

/// A model that trains, or an adapter over one that stays as it is. What trains is kept in f32, with both moments of AdamW beside it;
/// each version is packed once and shared by its policies and by training.
pub struct LocalLearner {
    inner: Arc<Inner>,
}

struct Inner {
    trained: Trained,
    machine: Machine,
    text: Arc<Text>,
    options: LearnerOptions,
    training: Mutex<Training>,
    /// Held by the call that is carried out; the others wait in the order in which they came.
    turn: Arc<tokio::sync::Mutex<()>>,
}

struct Training {
    state: State,
    /// The present weights, packed when they are first needed.
    network: Option<Arc<Network>>,
}

impl LocalLearner {
    /// Reads a checkpoint's weights. Refused before anything is read when training them would not fit this machine, when
    /// the cache has no room for one row, or when the machine lacks the instruction set.
    pub fn open(checkpoint: &Checkpoint, options: LearnerOptions) -> Result<Self> {
        let config = bounded(checkpoint, &options.policy)?;
        refuse_if_too_large(
            &format!("training {}", checkpoint.path().display()),
            Self::memory(&config, &options) as u64,
        )?;
        let layout = Layout::new(&config);
        let weights = read_weights(checkpoint, &layout, &(0..layout.total()))?;
        let rotary = Arc::new(RotaryTable::new(&rotary_frequencies(&config), config.context_length));
        let whole = Whole { origin: checkpoint.origin(), config, layout, rotary };
        Ok(Self::of(Trained::Model(Box::new(whole)), weights, Arc::clone(&checkpoint.text), options))
    }

    /// Trains `adapter` and leaves the model as it is: only the adapter has weights in f32, gradients and moments. Refused as
    /// [`LocalLearner::open`] refuses.
    pub fn open_adapted(checkpoint: Checkpoint, adapter: Adapter, options: LearnerOptions) -> Result<Self> {
        let config = bounded(&checkpoint, &options.policy)?;
        refuse_if_too_large(
            &format!("training an adapter of {}", checkpoint.path().display()),
            Self::adapter_memory(&config, adapter.shape(), &options) as u64,
        )?;
        let network = Arc::new(frozen(&checkpoint, &config, &options.policy)?);
        let (weights, text) = (adapter.weights.clone(), Arc::clone(&checkpoint.text));
        let base = LocalPolicy::new(network, Arc::clone(&text), options.policy.clone());
        let adapted = Adapted { checkpoint, base, adapter };
        Ok(Self::of(Trained::Adapter(Box::new(adapted)), weights, text, options))
    }

    fn of(trained: Trained, weights: Vec<f32>, text: Arc<Text>, options: LearnerOptions) -> Self {
        let training = Mutex::new(Training { state: State::new(weights), network: None });
        let machine = options.policy.machine();
        let inner = Inner { trained, machine, text, options, training, turn: Arc::default() };
        Self { inner: Arc::new(inner) }
    }

    /// Bytes that training a model takes: weights, gradients and two moments in f32, the packed matrices (the head in both
    /// orientations), activations, and what its policy takes beside the weights.
    pub fn memory(config: &ModelConfig, options: &LearnerOptions) -> usize {
        config
            .parameters()
            .saturating_mul(16 + options.policy.arithmetic.bytes())
            .saturating_add(
                config
                    .vocabulary
                    .saturating_mul(config.width)
                    .saturating_mul(options.policy.arithmetic.bytes()),
            )
            .saturating_add(activations(config, options))
            .saturating_add(serving_bytes(config, &options.policy))
    }

    /// Bytes that training an adapter takes: what its model takes to be sampled from, the head in the other orientation, weights,
    /// gradients and two moments of the adapter in f32 and its factors packed, and activations.
    pub fn adapter_memory(config: &ModelConfig, adapter: &AdapterShape, options: &LearnerOptions) -> usize {
        let bytes = options.policy.arithmetic.bytes();
        LocalPolicy::memory(config, &options.policy)
            .saturating_add(config.vocabulary.saturating_mul(config.width).saturating_mul(bytes))
            .saturating_add(adapter.parameters(config).saturating_mul(16 + bytes))
            .saturating_add(activations(config, options))
    }

    /// The tokenizer that its tokens belong to.
    pub fn text(&self) -> &Arc<Text> {
        &self.inner.text
    }

    /// As [`Learner::snapshot`], with its type.
    pub fn policy(&self) -> LocalPolicy {
        self.inner.policy()
    }

    /// The model that stays as it is beneath the adapter that trains, if one does: what other adapters of it are opened over, to be
    /// sampled together with the one that trains.
    pub fn base(&self) -> Option<&LocalPolicy> {
        match &self.inner.trained {
            Trained::Model(_) => None,
            Trained::Adapter(adapted) => Some(&adapted.base),
        }
    }

    /// Packs the weights as they are now. Sampling and training do so themselves when they begin; whoever measures them
    /// calls this to tell it apart.
    pub fn pack(&self) -> Boxed<'_, Result<()>> {
        self.blocking(|inner| {
            inner.network(&mut inner.training());
            Ok(())
        })
    }

    /// Writes a Hugging Face directory with the weights as they are now.
    pub fn export_as(&self, directory: &Path, dtype: Dtype) -> Result<()> {
        self.inner.trained.export(directory, dtype, &self.inner.training().state.weights)
    }

    /// Runs `work` on a thread that may block, after the calls that came before.
    fn blocking<'a, T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T> + Send + 'static,
    ) -> Boxed<'a, Result<T>> {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move {
            let turn = Arc::clone(&inner.turn).lock_owned().await;
            let work = move || {
                let _turn = turn;
                work(&inner)
            };
            let done = tokio::task::spawn_blocking(work).await;
            done.map_err(|gone| LearnerError::Stopped(gone.to_string()))?
        })
    }
}

/// Bytes of what a micro-batch leaves for the way back, as far as it may, and of what one layer works with meanwhile: gates and
/// ups, what they become, and the gradients of all three.
fn activations(config: &ModelConfig, options: &LearnerOptions) -> usize {
    let tokens = options.micro_batch_tokens;
    let layer = tokens.saturating_mul(Recording::bytes_per_token(config, options.policy.arithmetic));
    let working = tokens.saturating_mul(config.mlp_width).saturating_mul(4 * 6);
    layer.saturating_mul(config.layers).min(options.activation_bytes).saturating_add(working)
}

impl Inner {
    fn training(&self) -> std::sync::MutexGuard<'_, Training> {
        self.training.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn network(&self, training: &mut Training) -> Arc<Network> {
        let pack = || Arc::new(self.trained.network(&self.machine, &training.state.weights));
        Arc::clone(training.network.get_or_insert_with(pack))
    }

    fn policy(&self) -> LocalPolicy {
        let network = self.network(&mut self.training());
        match &self.trained {
            Trained::Model(_) => {
                LocalPolicy::new(network, Arc::clone(&self.text), self.options.policy.clone())
            }
            Trained::Adapter(adapted) => adapted.base.beside(network),
        }
    }

    fn accumulate(&self, examples: &[Example], loss: &Loss) -> Result<LossReport> {
        let training = &mut *self.training();
        let network = self.network(training);
        loss.check()?;
        let (gradient, reference) =
            (loss.objective != zerosearch_learner::Objective::CrossEntropy, loss.kl.is_some());
        for example in examples {
            example.check(gradient, reference)?;
            check_row(&network, &example.tokens)?;
        }
        let update = Update {
            network: &network,
            layout: self.trained.layout(),
            micro_batch_tokens: self.options.micro_batch_tokens,
            activation_bytes: self.options.activation_bytes,
        };
        let report = update.accumulate(examples, loss, training.state.gradients());
        if report.is_err() {
            training.state.forget_gradients();
        }
        report
    }

    fn step(&self, adam: &Adam) -> Result<StepReport> {
        let training = &mut *self.training();
        let report = training.state.step(adam, self.trained.layout(), &self.machine)?;
        training.network = None;
        Ok(report)
    }

    fn load(&self, directory: &Path) -> Result<()> {
        let training = &mut *self.training();
        training.state.load(directory)?;
        training.network = None;
        Ok(())
    }

    /// The numbers in which an export is the same model, bit for bit.
    fn dtype(&self) -> Dtype {
        match self.machine.arithmetic {
            Arithmetic::Bf16 => Dtype::Bf16,
            Arithmetic::F32 => Dtype::F32,
        }
    }
}

impl Learner for LocalLearner {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            context_length: self.inner.trained.config().context_length,
            exact_logprobs: true,
            deterministic: true,
            entropy_bonus: true,
            kl_in_loss: true,
            temperatures: true,
            lasting_snapshots: true,
            lasting_start: true,
            numeric_path: self.inner.machine.numeric_path(),
        }
    }

    fn accumulate<'a>(&'a self, batch: &'a [Example], loss: &'a Loss) -> Boxed<'a, Result<LossReport>> {
        let (batch, loss) = (batch.to_vec(), loss.clone());
        self.blocking(move |inner| inner.accumulate(&batch, &loss))
    }

    fn step<'a>(&'a self, adam: &'a Adam) -> Boxed<'a, Result<StepReport>> {
        let adam = adam.clone();
        self.blocking(move |inner| inner.step(&adam))
    }

    fn snapshot(&self) -> Boxed<'_, Result<Arc<dyn Policy>>> {
        self.blocking(|inner| Ok(Arc::new(inner.policy()) as Arc<dyn Policy>))
    }

    fn save<'a>(&'a self, directory: &'a Path) -> Boxed<'a, Result<()>> {
        let directory = directory.to_owned();
        self.blocking(move |inner| {
            let training = inner.training();
            inner.trained.write(&directory, inner.dtype(), &training.state.weights)?;
            training.state.save(&directory)
        })
    }

    fn load<'a>(&'a self, directory: &'a Path) -> Boxed<'a, Result<()>> {
        let directory = directory.to_owned();
        self.blocking(move |inner| inner.load(&directory))
    }

    fn forget_optimizer(&self) -> Boxed<'_, Result<()>> {
        self.blocking(|inner| {
            inner.training().state.forget_optimizer();
            Ok(())
        })
    }

    fn export<'a>(&'a self, directory: &'a Path) -> Boxed<'a, Result<()>> {
        let directory = directory.to_owned();
        self.blocking(move |inner| {
            inner.trained.export(&directory, inner.dtype(), &inner.training().state.weights)
        })
    }
}

#[cfg(test)]
mod adapters;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod tests;
