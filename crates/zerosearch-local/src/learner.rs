//! The learner that runs in this process.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use zerosearch_learner::text::Text;
use zerosearch_learner::{
    Adam, Boxed, Capabilities, Example, Learner, LearnerError, Loss, LossReport, Policy, Result, StepReport,
};

use crate::kernels::RotaryTable;
use crate::model::config::ModelConfig;
use crate::model::{Layout, Machine, Network, Transposed, rotary_frequencies};
use crate::options::LearnerOptions;
use crate::policy::{LocalPolicy, bounded, check_row, check_temperature};
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
}

struct Training {
    state: State,
    /// The present weights, packed when they are first needed.
    network: Option<Arc<Network>>,
    transposed: Option<Transposed>,
}

impl LocalLearner {
    /// Reads a checkpoint's weights. Refused before anything is read when training them would not fit this machine.
    pub fn open(checkpoint: &Checkpoint, options: LearnerOptions) -> Result<Self> {
        let config = bounded(checkpoint, &options.policy);
        refuse_if_too_large(
            &format!("training {}", checkpoint.path().display()),
            Self::memory(&config, &options) as u64,
        )?;
        let layout = Layout::new(&config);
        let state = State::new(read_weights(checkpoint, &layout)?);
        let rotary = Arc::new(RotaryTable::new(&rotary_frequencies(&config), config.context_length));
        let training = Mutex::new(Training { state, network: None, transposed: None });
        let machine = options.policy.machine();
        let (origin, text) = (checkpoint.origin(), Arc::clone(&checkpoint.text));
        let inner = Inner { config, layout, machine, rotary, origin, text, options, training };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Bytes that training a model takes, keys and values of rollouts not counted: weights, gradients and two moments in
    /// f32, the matrices packed in both orientations, and activations.
    pub fn memory(config: &ModelConfig, options: &LearnerOptions) -> usize {
        config.parameters() * (16 + 2 * options.policy.arithmetic.bytes()) + options.activation_bytes
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

    /// Writes a Hugging Face directory with the weights as they are now.
    pub fn export_as(&self, directory: &Path, dtype: Dtype) -> Result<()> {
        self.inner.export(directory, dtype)
    }

    /// Runs `work` on a thread that may block.
    fn blocking<'a, T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T> + Send + 'static,
    ) -> Boxed<'a, Result<T>> {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move {
            tokio::task::spawn_blocking(move || work(&inner))
                .await
                .map_err(|gone| LearnerError::Stopped(gone.to_string()))?
        })
    }
}

impl Inner {
    fn training(&self) -> std::sync::MutexGuard<'_, Training> {
        self.training.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn network(&self, training: &mut Training) -> Arc<Network> {
        let pack = || {
            let rotary = Arc::clone(&self.rotary);
            Arc::new(Network::new(&self.config, &self.layout, &training.state.weights, &self.machine, rotary))
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
        let transposed = training
            .transposed
            .get_or_insert_with(|| Transposed::new(&network, &self.layout, &training.state.weights));
        let update = Update {
            network: &network,
            transposed,
            layout: &self.layout,
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
        let report = training.state.step(adam, &self.layout, &self.machine)?;
        (training.network, training.transposed) = (None, None);
        Ok(report)
    }

    fn load(&self, directory: &Path) -> Result<()> {
        let training = &mut *self.training();
        training.state.load(directory)?;
        (training.network, training.transposed) = (None, None);
        Ok(())
    }

    fn export(&self, directory: &Path, dtype: Dtype) -> Result<()> {
        let training = self.training();
        let weights = |name: &str| {
            let tensor = self.layout.tensors.iter().find(|tensor| tensor.name == name);
            let tensor = tensor.ok_or_else(|| LearnerError::Unsupported(format!("no parameter `{name}`")))?;
            Ok(std::borrow::Cow::Borrowed(&training.state.weights[tensor.place.clone()]))
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
            inner.export(&directory, Dtype::Bf16)?;
            inner.training().state.save(&directory)
        })
    }

    fn load<'a>(&'a self, directory: &'a Path) -> Boxed<'a, Result<()>> {
        let directory = directory.to_owned();
        self.blocking(move |inner| inner.load(&directory))
    }

    fn export<'a>(&'a self, directory: &'a Path) -> Boxed<'a, Result<()>> {
        let directory = directory.to_owned();
        self.blocking(move |inner| inner.export(&directory, Dtype::Bf16))
    }
}

#[cfg(test)]
mod tests;
