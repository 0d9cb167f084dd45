//! A session: what a server keeps for us as long as its heart beats, and what is given back when it ends.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::http::{Body, Patience, Server};
use super::wire::{AdamParams, CreateSession, Future, Heartbeat, OptimStep, Session as Opened, UnloadModel};
use crate::{LearnerError, Result};

/// Between two heartbeats. Servers give a session up after some minutes without one.
const BEAT: Duration = Duration::from_secs(10);
/// The most that is spent on giving a model back.
const FAREWELL: Duration = Duration::from_secs(5);

/// The model that the session holds on the server.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    /// Its name; none while there is none.
    pub(super) model: Option<String>,
    /// The number of its next request.
    pub(super) next: i64,
    /// Whether it has gradients that no step took.
    pub(super) gathered: bool,
}

/// A session, kept alive by a thread of its own, however busy the rest of the program is. When it is dropped, its model is
/// unloaded.
pub(super) struct Session {
    /// Its name on the server.
    pub(super) id: String,
    samplers: AtomicI64,
    held: Arc<Mutex<Held>>,
    end: Option<Sender<()>>,
    keeper: Option<JoinHandle<()>>,
}

impl Session {
    /// Opens a session on `server`; a server of the same address and key, which `again` makes, is used to keep it alive.
    pub(super) async fn open(
        server: &Server,
        again: impl FnOnce(Patience) -> Result<Server>,
    ) -> Result<Self> {
        const ROUTE: &str = "create_session";
        let order = CreateSession {
            tags: vec!["zerosearch".into()],
            user_metadata: None,
            // The last whose behaviour is that of this client, for servers that look.
            sdk_version: "0.24.1".into(),
        };
        let opened: Opened = server.ask(ROUTE, &Body::json(&order)?, false).await?;
        if let Some(why) = opened.error_message.filter(|why| !why.is_empty()) {
            let problem = super::trouble::said(why.as_bytes());
            return Err(LearnerError::Remote { url: server.name(), route: ROUTE.into(), problem });
        }
        let held = Arc::new(Mutex::new(Held::default()));
        let (end, ended) = channel();
        let mine = again(Patience { answer: FAREWELL, result: FAREWELL, retries: 0, ..Patience::default() })?;
        let keeper = Keeper { server: mine, session: opened.session_id.clone(), held: Arc::clone(&held) };
        let keeper = std::thread::Builder::new()
            .name("tinker-session".into())
            .spawn(move || keeper.keep(&ended))
            .map_err(|error| LearnerError::Stopped(format!("no thread could be started: {error}")))?;
        Ok(Self {
            id: opened.session_id,
            samplers: AtomicI64::new(0),
            held,
            end: Some(end),
            keeper: Some(keeper),
        })
    }

    /// The number of the next sampling session.
    pub(super) fn next_sampler(&self) -> i64 {
        self.samplers.fetch_add(1, Ordering::Relaxed)
    }

    /// Looks at or changes what is held.
    pub(super) fn held<T>(&self, look: impl FnOnce(&mut Held) -> T) -> T {
        look(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(keeper) = self.keeper.take() {
            // It ends on its own within the time of a farewell; its panic is nobody's any more.
            let _ = keeper.join();
        }
    }
}

/// Gives up `held` on `server`. Gradients are spent first, in a step that moves nothing: SkyRL leaves those of an adapter to the
/// next one in its place.
pub(super) async fn unload(server: &Server, held: Held) -> Result<()> {
    let Some(model) = held.model else { return Ok(()) };
    if held.gathered {
        let adam_params = AdamParams { learning_rate: 0.0, ..AdamParams::default() };
        let order = OptimStep { model_id: model.clone(), seq_id: Some(held.next), adam_params };
        let future = server.submit("optim_step", &Body::json(&order)?, false).await?;
        server.outcome::<serde_json::Value>("optim_step", &future).await?;
    }
    let order = Body::json(&UnloadModel { model_id: model })?;
    let future: Future = server.submit("unload_model", &order, true).await?;
    server.outcome::<serde_json::Value>("unload_model", &future).await.map(|_| ())
}

/// Who keeps a session alive.
struct Keeper {
    server: Server,
    session: String,
    held: Arc<Mutex<Held>>,
}

impl Keeper {
    fn keep(&self, ended: &Receiver<()>) {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        while ended.recv_timeout(BEAT) == Err(RecvTimeoutError::Timeout) {
            // A beat that fails is made up for by the next; a session that is gone shows in the next call of training.
            runtime.block_on(async { self.beat().await.ok() });
        }
        let held = std::mem::take(&mut *self.held.lock().unwrap_or_else(PoisonError::into_inner));
        // Nobody is left to be told: a server that is gone has nothing to give back.
        runtime.block_on(async { tokio::time::timeout(FAREWELL, unload(&self.server, held)).await.ok() });
    }

    async fn beat(&self) -> Result<()> {
        let order = Body::json(&Heartbeat { session_id: self.session.clone() })?;
        self.server.ask::<serde_json::Value>("session_heartbeat", &order, true).await.map(|_| ())
    }
}
