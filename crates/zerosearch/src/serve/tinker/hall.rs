//! The hall: the sessions of all clients, and what belongs to each: models that train and samplers.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use serde_json::json;

use super::super::refusal::Refusal;
use super::batch::Reads;
use super::checkpoints::Store;
use super::futures::Futures;
use super::models::Model;
use super::samplers::Sampler;
use crate::config::Plan;
use crate::learners::{Pool, Voice};
use crate::stop::Stop;

/// A base model to train from, and how much may be asked of it.
#[derive(Clone)]
pub struct TinkerService {
    /// The base model, how it is computed, and the seed of what nobody gives a seed for.
    pub plan: Plan,
    /// The threads that compute.
    pub pool: Pool,
    /// The base model itself.
    pub base: Voice,
    /// The name that clients know it by.
    pub name: String,
    /// The folder of checkpoints.
    pub out: PathBuf,
    /// Models that train at the same time.
    pub max_models: usize,
    /// Samplers whose weights are kept, besides those of the base model.
    pub max_samplers: usize,
    /// How long a session may be silent before its models are unloaded.
    pub silence: Duration,
    /// How long a client that asks for a result waits for it before it is told to ask again.
    pub patience: Duration,
    /// When waiting clients are answered at once.
    pub stop: Stop,
}

/// What all requests share.
pub(super) struct Hall {
    pub(super) service: TinkerService,
    pub(super) store: Store,
    pub(super) futures: Futures,
    state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    /// When each session was last heard of.
    pub(super) sessions: HashMap<String, Instant>,
    /// The sessions that ended last.
    ended: VecDeque<String>,
    pub(super) models: HashMap<String, Model>,
    pub(super) samplers: HashMap<String, Sampler>,
    /// Counts the uses of samplers.
    pub(super) uses: u64,
}

/// Sessions at the same time.
const MOST_SESSIONS: usize = 1024;
/// How long a request waits for one before it that does not come.
const GAP: Duration = Duration::from_secs(30);

impl Hall {
    pub(super) fn new(service: TinkerService, store: Store) -> Self {
        Self {
            service,
            store,
            futures: Futures::new(super::futures::Bounds::default()),
            state: Mutex::default(),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which rows models read. All of them have the vocabulary and the context of the base model.
    pub(super) fn reads(&self) -> Reads {
        let Voice { policy, text, .. } = &self.service.base;
        Reads { vocabulary: text.vocabulary_size(), context: policy.context_length() }
    }

    /// A new session.
    pub(super) fn open_session(&self) -> Result<String, Refusal> {
        let mut state = self.state();
        if state.sessions.len() >= MOST_SESSIONS {
            let message = format!("{MOST_SESSIONS} sessions are open; come back when one has ended");
            return Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, message).coded("too_many_sessions"));
        }
        let id = format!("session_{:016x}", rand::random::<u64>());
        state.sessions.insert(id.clone(), Instant::now());
        Ok(id)
    }

    /// Ends a session: its models and samplers go.
    pub(super) fn end_session(&self, id: &str) -> Result<(), Refusal> {
        let mut state = self.state();
        state.hear(id)?;
        state.end(id);
        Ok(())
    }

    /// Refuses a base model that is another.
    pub(super) fn check_base(&self, name: &str) -> Result<(), Refusal> {
        let own = &self.service.name;
        if name == own {
            return Ok(());
        }
        let message = format!("there is no model {name:?} here; this server has {own:?}");
        Err(Refusal::bad(message).about("base_model").coded("model_not_found"))
    }

    /// Ends sessions that were silent for too long, gives up requests whose turn does not come, and forgets old results.
    pub(super) fn sweep(&self) {
        let silence = self.service.silence;
        let mut state = self.state();
        let silent: Vec<String> =
            state.sessions.iter().filter(|it| it.1.elapsed() > silence).map(|it| it.0.clone()).collect();
        for id in silent {
            let models = state.end(&id);
            let seconds = silence.as_secs();
            tracing::warn!(
                "{id} was silent for {seconds} s and is ended; {models} models of it were unloaded"
            );
        }
        for (name, model) in &mut state.models {
            model.give_up(name, GAP);
        }
        drop(state);
        self.futures.sweep();
    }

    /// Sessions, models, samplers and requests that wait.
    pub(super) fn counts(&self) -> [usize; 4] {
        let state = self.state();
        [state.sessions.len(), state.models.len(), state.samplers.len(), self.futures.pending()]
    }

    /// What a client is told to begin with. It makes a model from saved weights in one request.
    pub(super) fn client_config() -> serde_json::Value {
        json!({
            "pjwt_auth_enabled": false,
            "credential_default_source": "api_key",
            "parallel_fwdbwd_chunks": true,
            "proto_compress_fwdbwd": false,
            "create_model_via_load_weights": true,
            "sample_max_concurrent_requests": 256,
        })
    }
}

impl State {
    /// Notes that `session` is alive; refused where it is not.
    pub(super) fn hear(&mut self, session: &str) -> Result<(), Refusal> {
        if let Some(heard) = self.sessions.get_mut(session) {
            *heard = Instant::now();
            return Ok(());
        }
        let (status, message) = if self.ended.iter().any(|ended| ended == session) {
            (StatusCode::GONE, format!("session {session:?} has ended; open another"))
        } else {
            (StatusCode::NOT_FOUND, format!("there is no session {session:?}; was the server started anew?"))
        };
        Err(Refusal::new(status, message).about("session_id").coded("no_such_session"))
    }

    /// Ends a session, and tells how many models it had.
    fn end(&mut self, session: &str) -> usize {
        self.sessions.remove(session);
        self.ended.push_back(session.to_owned());
        if self.ended.len() > MOST_SESSIONS {
            self.ended.pop_front();
        }
        let before = self.models.len();
        self.models.retain(|_, model| model.session != session);
        self.samplers.retain(|_, sampler| sampler.session != session);
        before - self.models.len()
    }
}
