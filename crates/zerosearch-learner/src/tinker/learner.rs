//! The learner on a server: what it is made of, and the order of its calls.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use tokio::sync::{Mutex, MutexGuard, Semaphore};

use super::http::{Body, Patience, Server};
use super::policy::{TinkerPolicy, check_temperature};
use super::quirks::Quirks;
use super::session::Session;
use super::wire::{
    CreateModel, CreateSamplingSession, Created, Future, LoraConfig, SamplerSaved, SamplingSession,
    SaveForSampler, Supports,
};
use crate::text::Text;
use crate::{
    Adam, Boxed, Capabilities, Example, Learner, LearnerError, Loss, LossReport, Policy, Result, StepReport,
    TokenId,
};

/// Merges the adapter in the first folder into its model, and writes a Hugging Face directory into the second.
pub type Merge = dyn Fn(&Path, &Path) -> Result<()> + Send + Sync;

/// What to train, where, and with which server's ways.
pub struct TinkerOptions {
    /// The server's address.
    pub url: String,
    /// Its key, if it wants one.
    pub key: Option<String>,
    /// How it differs from others.
    pub quirks: Quirks,
    /// How long it is waited for.
    pub patience: Patience,
    /// Samples and scores in flight at once.
    pub concurrency: usize,
    /// Its name of the weights to begin with.
    pub base_model: String,
    /// What adapters that it hands out say they are for.
    pub adapter_base: String,
    /// The rank of the adapter to train; 0 for all weights.
    pub rank: usize,
    /// Decides the adapter's first numbers.
    pub seed: u64,
    /// The model's tokenizer.
    pub text: Arc<Text>,
    /// Tokens that the model knows.
    pub vocabulary: usize,
    /// The longest row.
    pub context_length: usize,
    /// How an adapter becomes a model.
    pub merge: Arc<Merge>,
}

/// A learner whose weights are on a server.
pub struct TinkerLearner {
    pub(super) shared: Arc<Shared>,
    pub(super) training: Mutex<Training>,
    pub(super) merge: Arc<Merge>,
}

/// What a learner and its policies have in common.
pub(super) struct Shared {
    pub(super) server: Server,
    pub(super) quirks: Quirks,
    pub(super) session: Session,
    pub(super) places: Semaphore,
    pub(super) text: Arc<Text>,
    pub(super) vocabulary: usize,
    pub(super) context_length: usize,
    pub(super) base_model: String,
    pub(super) adapter_base: String,
    pub(super) rank: usize,
    pub(super) seed: u64,
    /// How often the weights changed.
    version: AtomicU64,
}

/// Where training stands. Whoever holds it is the one whose requests are sent.
pub(super) struct Training {
    /// The model's name on the server.
    pub(super) model: String,
    /// Steps that were made.
    pub(super) step: u64,
    /// The number of the next model of the session.
    pub(super) models: i64,
    /// Whether weights differ from those of a new model.
    pub(super) changed: bool,
    /// Rows that were sent since the last step, and how many were spoken of.
    pub(super) gathered: Option<Gathered>,
    /// The policy of the weights as they are, where one was asked for.
    pub(super) latest: Option<Arc<TinkerPolicy>>,
    /// Why neither gradients nor weights are known any more.
    pub(super) spoiled: Option<String>,
}

/// Rows of an optimizer batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gathered {
    pub(super) sent: usize,
    pub(super) wanted: usize,
}

impl TinkerLearner {
    /// Opens a session and makes a model to train.
    ///
    /// # Errors
    /// A server that cannot be reached, does not have the model, or cannot train what is asked for.
    pub async fn open(options: TinkerOptions) -> Result<Self> {
        options.quirks.check_rank(options.rank)?;
        let TinkerOptions { url, key, patience, .. } = &options;
        let server = Server::new(url, key.clone(), *patience)?;
        let context_length = match offered(&server, &options.base_model).await? {
            Some(most) => options.context_length.min(most),
            None => options.context_length,
        };
        let session = Session::open(&server, |patience| Server::new(url, key.clone(), patience)).await?;
        let shared = Shared {
            server,
            session,
            context_length,
            quirks: options.quirks,
            places: Semaphore::new(options.concurrency),
            text: options.text,
            vocabulary: options.vocabulary,
            base_model: options.base_model,
            adapter_base: options.adapter_base,
            rank: options.rank,
            seed: options.seed,
            version: AtomicU64::new(0),
        };
        let mut training = Training {
            model: String::new(),
            step: 0,
            models: 0,
            changed: false,
            gathered: None,
            latest: None,
            spoiled: None,
        };
        training.create(&shared).await?;
        Ok(Self { shared: Arc::new(shared), training: Mutex::new(training), merge: options.merge })
    }

    pub(super) async fn training(&self) -> MutexGuard<'_, Training> {
        self.training.lock().await
    }

    async fn policy(&self) -> Result<Arc<TinkerPolicy>> {
        let mut training = self.training().await;
        if let Some(policy) = &training.latest {
            return Ok(Arc::clone(policy));
        }
        let shared = &self.shared;
        // A new adapter changes nothing yet.
        let is_base = !training.changed && shared.rank > 0 && shared.quirks.base_sampling;
        let (session, version) = if is_base {
            (self.base_session().await?, None)
        } else {
            (training.sampling_session(shared).await?, Some(shared.version()))
        };
        let policy = TinkerPolicy { shared: Arc::clone(shared), session, next: AtomicI64::new(0), version };
        Ok(Arc::clone(training.latest.insert(Arc::new(policy))))
    }

    async fn base_session(&self) -> Result<String> {
        let shared = &self.shared;
        let order = CreateSamplingSession {
            session_id: shared.session.id.clone(),
            sampling_session_seq_id: shared.session.next_sampler(),
            model_path: None,
            base_model: Some(shared.base_model.clone()),
        };
        let made: SamplingSession = shared
            .server
            .ask("create_sampling_session", &Body::json(&order)?, shared.quirks.repeatable)
            .await?;
        Ok(made.sampling_session_id)
    }
}

/// The longest row of the model `base_model` on `server`, if it says. Refused where it lists others and not this one.
async fn offered(server: &Server, base_model: &str) -> Result<Option<usize>> {
    const ROUTE: &str = "get_server_capabilities";
    let supports: Supports = server.look(ROUTE).await?;
    let names: Vec<&str> =
        supports.supported_models.iter().filter_map(|model| model.model_name.as_deref()).collect();
    let found =
        supports.supported_models.iter().find(|model| model.model_name.as_deref() == Some(base_model));
    match found {
        Some(model) => Ok(model.max_context_length),
        None if names.is_empty() => Ok(None),
        None => Err(LearnerError::Remote {
            url: server.name(),
            route: ROUTE.into(),
            problem: format!(
                "it has no model `{base_model}`, only {}; name it in tinker.base_model as the server does",
                names.join(", ")
            ),
        }),
    }
}

impl Training {
    /// Makes a new model on the server, which is from now on the one that trains.
    pub(super) async fn create(&mut self, shared: &Shared) -> Result<()> {
        const ROUTE: &str = "create_model";
        let order = CreateModel {
            session_id: shared.session.id.clone(),
            model_seq_id: self.models,
            base_model: shared.base_model.clone(),
            lora_config: Some(LoraConfig {
                rank: shared.rank,
                seed: Some(shared.seed & 0x7fff_ffff),
                train_unembed: false,
                train_mlp: true,
                train_attn: true,
            }),
            ..CreateModel::default()
        };
        self.models += 1;
        let future = shared.server.submit(ROUTE, &Body::json(&order)?, shared.quirks.repeatable).await?;
        // Known before it is there: what was begun is given back, however this ends.
        if let Some(model) = &future.model_id {
            shared.session.held(|held| held.model = Some(model.clone()));
        }
        let made: Created = shared.server.outcome(ROUTE, &future).await?;
        self.model.clone_from(&made.model_id);
        shared.session.held(|held| (held.model, held.next, held.gathered) = (Some(made.model_id), 1, false));
        self.gathered = None;
        (self.latest, self.spoiled, self.changed) = (None, None, false);
        shared.turn_over();
        Ok(())
    }

    /// The number of the next request of the model.
    pub(super) fn number(&self, shared: &Shared) -> i64 {
        shared.session.held(|held| {
            held.next += 1;
            held.next - 1
        })
    }

    /// Has the weights as they are made ready for sampling.
    async fn sampling_session(&self, shared: &Shared) -> Result<String> {
        const ROUTE: &str = "save_weights_for_sampler";
        let order = SaveForSampler {
            model_id: self.model.clone(),
            seq_id: Some(self.number(shared)),
            sampling_session_seq_id: Some(shared.session.next_sampler()),
            ..SaveForSampler::default()
        };
        let future: Future =
            shared.server.submit(ROUTE, &Body::json(&order)?, shared.quirks.repeatable).await?;
        let saved: SamplerSaved = shared.server.outcome(ROUTE, &future).await?;
        saved.sampling_session_id.ok_or_else(|| {
            shared
                .server
                .error(ROUTE, &super::trouble::Trouble::Garbled("it names no sampling session".into()))
        })
    }

    /// Refuses to train on what nobody knows any more.
    pub(super) fn check_sound(&self) -> Result<()> {
        match &self.spoiled {
            Some(why) => Err(LearnerError::Stopped(format!(
                "what the server gathered cannot be told any more ({why}); resume from the last checkpoint"
            ))),
            None => Ok(()),
        }
    }
}

impl Shared {
    /// How often the weights changed.
    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::SeqCst)
    }

    /// The weights are others from now on.
    pub(super) fn turn_over(&self) {
        self.version.fetch_add(1, Ordering::SeqCst);
    }

    /// Refuses rows that do not fit and tokens that do not exist.
    pub(super) fn check_row(&self, row: &[TokenId]) -> Result<()> {
        if row.len() > self.context_length {
            return Err(LearnerError::TooLong { length: row.len(), context_length: self.context_length });
        }
        match row.iter().find(|token| **token as usize >= self.vocabulary) {
            Some(&token) => Err(LearnerError::UnknownToken { token, vocabulary: self.vocabulary }),
            None => Ok(()),
        }
    }

    /// A token as a server wrote it, if the model has it.
    pub(super) fn token(&self, written: i64) -> Option<TokenId> {
        TokenId::try_from(written).ok().filter(|token| (*token as usize) < self.vocabulary)
    }
}

impl Learner for TinkerLearner {
    fn capabilities(&self) -> Capabilities {
        let quirks = &self.shared.quirks;
        Capabilities {
            context_length: self.shared.context_length,
            exact_logprobs: false,
            deterministic: false,
            entropy_bonus: false,
            kl_in_loss: true,
            temperatures: false,
            lasting_snapshots: quirks.lasting_samplers,
            lasting_start: quirks.lasting_samplers || (quirks.base_sampling && self.shared.rank > 0),
            numeric_path: format!("tinker {}", self.shared.base_model),
        }
    }

    fn check_adam(&self, adam: &Adam) -> Result<()> {
        self.shared.quirks.check_adam(adam, self.shared.rank)
    }

    fn accumulate<'a>(&'a self, batch: &'a [Example], loss: &'a Loss) -> Boxed<'a, Result<LossReport>> {
        Box::pin(async move {
            self.check_batch(batch, loss)?;
            self.teach(batch, loss).await
        })
    }

    fn step<'a>(&'a self, adam: &'a Adam) -> Boxed<'a, Result<StepReport>> {
        Box::pin(async move {
            self.check_adam(adam)?;
            self.apply(adam).await
        })
    }

    fn snapshot(&self) -> Boxed<'_, Result<Arc<dyn Policy>>> {
        Box::pin(async move { Ok(self.policy().await? as Arc<dyn Policy>) })
    }

    fn save<'a>(&'a self, directory: &'a Path) -> Boxed<'a, Result<()>> {
        Box::pin(self.save_state(directory))
    }

    fn load<'a>(&'a self, directory: &'a Path) -> Boxed<'a, Result<()>> {
        Box::pin(self.load_state(directory))
    }

    fn export<'a>(&'a self, directory: &'a Path) -> Boxed<'a, Result<()>> {
        Box::pin(self.export_model(directory))
    }
}

impl TinkerLearner {
    /// Refuses what cannot be taught, before anything is sent.
    fn check_batch(&self, batch: &[Example], loss: &Loss) -> Result<()> {
        loss.check()?;
        check_temperature(loss.temperature)?;
        if loss.entropy_bonus != 0.0 {
            return Err(LearnerError::Unsupported(
                "an entropy bonus: servers tell log-probabilities of the tokens that were written, and no entropies".into(),
            ));
        }
        let needs_policy_gradient = loss.objective != crate::Objective::CrossEntropy;
        for example in batch {
            example.check(needs_policy_gradient, loss.kl.is_some())?;
            self.shared.check_row(&example.tokens)?;
        }
        Ok(())
    }
}
