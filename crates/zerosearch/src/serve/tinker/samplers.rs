//! Samplers: frozen weights that clients sample from.

use std::sync::Arc;

use axum::http::StatusCode;
use serde_json::{Value, json};
use zerosearch_learner::Policy;
use zerosearch_learner::tinker::wire::{CreateSamplingSession, Future, SampleOrder};

use super::super::refusal::Refusal;
use super::address::Address;
use super::draw::Draw;
use super::futures::{Outcome, Ticket};
use super::hall::{Hall, State};
use super::line::Known;
use super::models::{Request, future};
use crate::config::{Adapter, Model};
use crate::learners::open_voice;
use crate::problem::report;

/// Weights that are sampled from.
pub(super) struct Sampler {
    pub(super) session: String,
    policy: Arc<dyn Policy>,
    /// The address of the weights, where they have one.
    path: Option<String>,
    /// Whether they are those of the base model, which take no memory of their own.
    is_base: bool,
    /// When it was last used, among all uses.
    used: u64,
    known: Known<Future>,
}

/// What stands between a session and the number of its sampler.
const SAMPLE: &str = ":sample:";

/// The name of sampler `index` of `session`.
pub(super) fn sampler_of(session: &str, index: i64) -> String {
    format!("{session}{SAMPLE}{index}")
}

fn session_of(sampler: &str) -> &str {
    sampler.split_once(SAMPLE).map_or(sampler, |it| it.0)
}

impl State {
    fn sampler(&mut self, id: &str, most: usize) -> Result<&mut Sampler, Refusal> {
        self.uses += 1;
        let uses = self.uses;
        if let Some(session) = self.samplers.get(id).map(|sampler| sampler.session.clone()) {
            self.hear(&session)?;
        }
        let Some(sampler) = self.samplers.get_mut(id) else {
            let message = format!(
                "there is no sampler {id:?} here: it was never made, its session ended, or its weights were dropped, because this \
                 server keeps those of the {most} samplers used last; have it started with a larger --max-samplers, or save \
                 weights under a name"
            );
            let refusal = Refusal::new(StatusCode::NOT_FOUND, message);
            return Err(refusal.about("sampling_session_id").coded("no_such_sampler"));
        };
        sampler.used = uses;
        Ok(sampler)
    }
}

impl Hall {
    /// A sampling session on saved weights, or on the base model. The same request again gives the same one.
    pub(super) async fn open_sampler(&self, asked: &CreateSamplingSession) -> Result<String, Refusal> {
        let id = sampler_of(&asked.session_id, asked.sampling_session_seq_id.max(0));
        {
            let mut state = self.state();
            state.hear(&asked.session_id)?;
            if let Some(sampler) = state.samplers.get(&id) {
                let is_same = sampler.path == asked.model_path;
                let message = format!("{id:?} was made by another request; count sampling_session_seq_id on");
                let refusal =
                    Refusal::new(StatusCode::CONFLICT, message).coded("sampling_session_seq_id_taken");
                return if is_same { Ok(id) } else { Err(refusal) };
            }
        }
        let policy = match (&asked.model_path, &asked.base_model) {
            (Some(path), base) => {
                base.as_deref().map_or(Ok(()), |name| self.check_base(name))?;
                self.saved_policy(path).await?
            }
            (None, Some(name)) => {
                self.check_base(name)?;
                Arc::clone(&self.service.base.policy)
            }
            (None, None) => {
                let message = "say what to sample from: `model_path` for saved weights, or `base_model`";
                return Err(Refusal::bad(message).about("model_path"));
            }
        };
        self.add_sampler(&id, policy, asked.model_path.clone());
        Ok(id)
    }

    async fn saved_policy(&self, path: &str) -> Result<Arc<dyn Policy>, Refusal> {
        let address = Address::parse(path)?;
        let card = self.store.card(&address)?;
        self.check_base(&card.base_model)?;
        let files = self.store.files(&address).to_string_lossy().into_owned();
        let plan = &self.service.plan;
        let (model, adapter) = if card.shape.is_adapter() {
            (plan.model.clone(), Adapter { path: files, ..Adapter::default() })
        } else {
            (Model { path: files, ..plan.model.clone() }, Adapter::default())
        };
        let voice = open_voice((&model, &adapter), plan.run.seed, 0, &self.service.pool).await;
        voice.map(|voice| voice.policy).map_err(|why| {
            let message = format!("{address} cannot be opened: {}", report(&why).trim().replace('\n', "; "));
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, message).coded("checkpoint_broken")
        })
    }

    /// Keeps `policy` as the sampler `id`, if its session still wants it, and drops those that were not used for longest.
    pub(super) fn add_sampler(&self, id: &str, policy: Arc<dyn Policy>, path: Option<String>) {
        let mut state = self.state();
        let session = session_of(id).to_owned();
        if state.hear(&session).is_err() {
            return;
        }
        state.uses += 1;
        let is_base = Arc::ptr_eq(&policy, &self.service.base.policy);
        let sampler = Sampler { session, policy, path, is_base, used: state.uses, known: Known::new() };
        state.samplers.insert(id.to_owned(), sampler);
        loop {
            let own = || state.samplers.iter().filter(|it| !it.1.is_base);
            if own().count() <= self.service.max_samplers {
                return;
            }
            let Some(oldest) = own().min_by_key(|it| it.1.used).map(|it| it.0.clone()) else { return };
            tracing::debug!("{oldest} is dropped: newer ones are used");
            state.samplers.remove(&oldest);
        }
    }

    /// What sampler `id` is.
    pub(super) fn sampler_info(&self, id: &str) -> Result<Value, Refusal> {
        let mut state = self.state();
        let sampler = state.sampler(id, self.service.max_samplers)?;
        Ok(json!({"sampler_id": id, "base_model": self.service.name, "model_path": sampler.path}))
    }

    /// Samples as `order` says.
    pub(super) async fn sample(&self, order: SampleOrder, request: Request) -> Result<Future, Refusal> {
        let draw = Draw::of(&order, &self.service.base.text, self.reads())?;
        let (policy, ticket, answer) = {
            let Some(id) = &order.sampling_session_id else {
                return self.sample_at_once(&order, draw, request).await;
            };
            let mut state = self.state();
            let sampler = state.sampler(id, self.service.max_samplers)?;
            if let Some(number) = order.seq_id
                && let Some(answer) = sampler.known.answer(number, request.digest)?
            {
                return Ok(answer);
            }
            let ticket = self.futures.open(request.bytes)?;
            let answer = promised(&ticket, draw.samples());
            if let Some(number) = order.seq_id {
                sampler.known.note(number, request.digest, answer.clone());
            }
            (Arc::clone(&sampler.policy), ticket, answer)
        };
        spawn(draw, policy, ticket);
        Ok(answer)
    }

    /// Without a sampling session.
    async fn sample_at_once(
        &self,
        order: &SampleOrder,
        draw: Draw,
        request: Request,
    ) -> Result<Future, Refusal> {
        let policy = match (&order.model_path, &order.base_model) {
            (Some(path), _) => self.saved_policy(path).await?,
            (None, Some(name)) => {
                self.check_base(name)?;
                Arc::clone(&self.service.base.policy)
            }
            (None, None) => {
                let message = "say what to sample from: `sampling_session_id`, `model_path` or `base_model`";
                return Err(Refusal::bad(message).about("sampling_session_id"));
            }
        };
        let ticket = self.futures.open(request.bytes)?;
        let answer = promised(&ticket, draw.samples());
        spawn(draw, policy, ticket);
        Ok(answer)
    }
}

/// The answer to a request whose samples have names already.
fn promised(ticket: &Ticket, samples: usize) -> Future {
    let names = (0..samples).map(|index| format!("{}:{index}", ticket.id())).collect();
    Future { sample_sequence_ids: Some(names), ..future(ticket, None) }
}

fn spawn(draw: Draw, policy: Arc<dyn Policy>, ticket: Ticket) {
    tokio::spawn(async move {
        let outcome = match draw.by(&*policy).await {
            Ok(reply) => Outcome::Samples(reply),
            Err(why) => Outcome::broken(&why),
        };
        ticket.resolve(outcome);
    });
}
