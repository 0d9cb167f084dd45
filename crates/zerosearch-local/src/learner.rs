//! The learner that runs in this process.

use std::borrow::Cow;
use std::convert::Infallible;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use zerosearch_learner::text::Text;
use zerosearch_learner::{
    Adam, Boxed, Capabilities, Example, Learner, LearnerError, Loss, LossReport, Policy, Result, StepReport,
};

use crate::kernels::{Arithmetic, RotaryTable};
use crate::model::config::ModelConfig;
use crate::model::{Layout, Machine, Network, rotary_frequencies};
use crate::options::LearnerOptions;
use crate::policy::{LocalPolicy, bounded, check_row, check_temperature, serving_bytes};
use crate::state::{State, read_weights};
use crate::update::Update;
use crate::weights::{Checkpoint, Dtype, Origin, export, refuse_if_too_large};

/// A model that trains. Weights are kept in f32, with both moments of AdamW beside them; each version of them is packed once
/// and shared by its policies and by training.
pub struct LocalLearner {
    inner: Arc<Inner>,
}

struct Inner {
    config: ModelConfig,
    layout: Layout,
    machine: Machine,
    rotary: Arc<RotaryTable>,
    origin: Origin,
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
        let state = State::new(read_weights(checkpoint, &layout, &(0..layout.total()))?);
        let rotary = Arc::new(RotaryTable::new(&rotary_frequencies(&config), config.context_length));
        let training = Mutex::new(Training { state, network: None });
        let machine = options.policy.machine();
        let (origin, text) = (checkpoint.origin(), Arc::clone(&checkpoint.text));
        let turn = Arc::default();
        let inner = Inner { config, layout, machine, rotary, origin, text, options, training, turn };
        Ok(Self { inner: Arc::new(inner) })
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
            .saturating_add(options.activation_bytes)
            .saturating_add(serving_bytes(config, &options.policy))
    }

    /// The tokenizer that its tokens belong to.
    pub fn text(&self) -> &Arc<Text> {
        &self.inner.text
    }

    /// As [`Learner::snapshot`], with its type.
    pub fn policy(&self) -> LocalPolicy {
        let inner = &self.inner;
        let network = inner.network(&mut inner.training());
        LocalPolicy::new(network, Arc::clone(self.text()), inner.options.policy.clone())
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
        self.inner.export(&self.inner.training(), directory, dtype)
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

impl Inner {
    fn training(&self) -> std::sync::MutexGuard<'_, Training> {
        self.training.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn network(&self, training: &mut Training) -> Arc<Network> {
        let pack = || {
            let read = |place: &Range<usize>| {
                Ok::<_, Infallible>(Cow::Borrowed(&training.state.weights[place.clone()]))
            };
            let rotary = Arc::clone(&self.rotary);
            let Ok(network) = Network::new((&self.config, &self.layout), read, &self.machine, rotary);
            Arc::new(network)
        };
        Arc::clone(training.network.get_or_insert_with(pack))
    }

    fn accumulate(&self, examples: &[Example], loss: &Loss) -> Result<LossReport> {
        let training = &mut *self.training();
        let network = self.network(training);
        check_loss(loss)?;
        let (gradient, reference) =
            (loss.objective != zerosearch_learner::Objective::CrossEntropy, loss.kl.is_some());
        for example in examples {
            example.check(gradient, reference)?;
            check_row(&network, &example.tokens)?;
        }
        let (weights, gradients) = training.state.weights_and_gradients();
        let update = Update {
            network: &network,
            layout: &self.layout,
            weights,
            micro_batch_tokens: self.options.micro_batch_tokens,
            activation_bytes: self.options.activation_bytes,
        };
        let report = update.accumulate(examples, loss, gradients);
        if report.is_err() {
            training.state.forget_gradients();
        }
        report
    }

    fn step(&self, adam: &Adam) -> Result<StepReport> {
        let training = &mut *self.training();
        let report = training.state.step(adam, &self.layout, &self.machine)?;
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

    fn export(&self, training: &Training, directory: &Path, dtype: Dtype) -> Result<()> {
        let weights = |name: &str| {
            let tensor = self.layout.tensors.iter().find(|tensor| tensor.name == name);
            let tensor = tensor.ok_or_else(|| LearnerError::Unsupported(format!("no parameter `{name}`")))?;
            Ok(Cow::Borrowed(&training.state.weights[tensor.place.clone()]))
        };
        export(directory, &self.origin, dtype, &weights)
    }
}

fn check_loss(loss: &Loss) -> Result<()> {
    check_temperature(loss.temperature)?;
    if loss.normalizer > 0.0 && loss.normalizer.is_finite() {
        return Ok(());
    }
    Err(LearnerError::BadRequest(format!("the loss's normalizer is {}; it must be above 0", loss.normalizer)))
}

impl Learner for LocalLearner {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            context_length: self.inner.config.context_length,
            exact_logprobs: true,
            deterministic: true,
            entropy_bonus: true,
            kl_in_loss: true,
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
        let (text, options) = (Arc::clone(self.text()), self.inner.options.policy.clone());
        self.blocking(move |inner| {
            let network = inner.network(&mut inner.training());
            Ok(Arc::new(LocalPolicy::new(network, text, options)) as Arc<dyn Policy>)
        })
    }

    fn save<'a>(&'a self, directory: &'a Path) -> Boxed<'a, Result<()>> {
        let directory = directory.to_owned();
        self.blocking(move |inner| {
            let training = inner.training();
            inner.export(&training, &directory, inner.dtype())?;
            training.state.save(&directory)
        })
    }

    fn load<'a>(&'a self, directory: &'a Path) -> Boxed<'a, Result<()>> {
        let directory = directory.to_owned();
        self.blocking(move |inner| inner.load(&directory))
    }

    fn export<'a>(&'a self, directory: &'a Path) -> Boxed<'a, Result<()>> {
        let directory = directory.to_owned();
        self.blocking(move |inner| inner.export(&inner.training(), &directory, inner.dtype()))
    }
}

#[cfg(test)]
mod refusals;
#[cfg(test)]
mod tests;
