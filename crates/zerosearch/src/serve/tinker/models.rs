//! Models: made, given work in the order of its numbers, and unloaded.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use zerosearch_learner::tinker::wire::{CreateModel, Future, LoadWeights, ModelInfo};

use super::super::refusal::Refusal;
use super::address::{Address, Kind, run_of};
use super::futures::{Outcome, Ticket};
use super::hall::{Hall, State};
use super::line::{Digest, Line};
use super::shape::{Shape, check_optimizer};
use super::worker::{Job, Opening, Work, Worker};

/// What a request was answered.
pub(super) type Answer = Result<Future, Refusal>;

/// A model that trains, from outside: who carries out its work is another.
pub(super) struct Model {
    pub(super) session: String,
    pub(super) shape: Shape,
    /// The request that made it, and its answer.
    made: (Digest, Future),
    line: Line<Job, Answer>,
    jobs: UnboundedSender<Job>,
    /// Whether it was unloaded; work that still waits is not carried out.
    is_gone: Arc<AtomicBool>,
}

/// A request, as it came.
#[derive(Clone, Copy)]
pub(super) struct Request {
    pub(super) digest: Digest,
    pub(super) bytes: usize,
}

impl Drop for Model {
    fn drop(&mut self) {
        self.is_gone.store(true, Ordering::Relaxed);
    }
}

/// The answer to a request that will be carried out.
pub(super) fn future(ticket: &Ticket, model: Option<&str>) -> Future {
    let model_id = model.map(str::to_owned);
    Future { request_id: ticket.id().to_owned(), model_id, sample_sequence_ids: None }
}

impl Model {
    /// Gives up requests that have waited longer than `limit` for one that never came.
    pub(super) fn give_up(&mut self, name: &str, limit: Duration) {
        let Some((missing, jobs)) = self.line.overdue(limit) else { return };
        tracing::warn!("{name}: request {missing} did not come; {} behind it are given up", jobs.len());
        for job in jobs {
            let message = format!(
                "the request with seq_id {missing} did not come within {} s, and this one was not carried out before it; go on \
                 with the next seq_id",
                limit.as_secs()
            );
            job.ticket.resolve(Outcome::failed(message, "user"));
        }
    }
}

impl State {
    /// The model `name`, whose session is heard of.
    fn model(&mut self, name: &str) -> Result<&mut Model, Refusal> {
        let Some(session) = self.models.get(name).map(|model| model.session.clone()) else {
            let message = format!(
                "there is no model {name:?} here: it was unloaded, its session ended, or the server was started anew; make one \
                 from a checkpoint to go on"
            );
            return Err(Refusal::new(StatusCode::NOT_FOUND, message)
                .about("model_id")
                .coded("no_such_model"));
        };
        self.hear(&session)?;
        self.models.get_mut(name).ok_or_else(|| Refusal::bad("the model is gone"))
    }
}

impl Hall {
    /// Makes a model over the base model.
    pub(super) fn create(self: &Arc<Self>, asked: &CreateModel, request: Request) -> Answer {
        let run = run_of(&asked.session_id, asked.model_seq_id.max(0));
        let make = || {
            self.check_base(&asked.base_model)?;
            check_optimizer(asked.optimizer_config.as_ref())?;
            let shape = Shape::of(asked.lora_config.as_ref())?;
            let seed = asked.lora_config.as_ref().and_then(|lora| lora.seed);
            Ok(Opening { shape, seed: seed.unwrap_or(self.service.plan.run.seed), load: None })
        };
        self.make(&asked.session_id, run, request, make)
    }

    /// Takes up saved weights: in the model that is named, or in a new one.
    pub(super) fn load(self: &Arc<Self>, asked: &LoadWeights, request: Request) -> Answer {
        if let Some(model) = &asked.model_id {
            return self.submit(model, asked.seq_id, request, |hall, shape| {
                let address = hall.training_weights(&asked.path, asked.base_model.as_deref(), Some(shape))?.0;
                check_optimizer(asked.optimizer_config.as_ref())?;
                Ok(Work::Load { address, optimizer: asked.optimizer })
            });
        }
        let (Some(session), Some(index)) = (&asked.session_id, asked.model_seq_id) else {
            let message = "say where to load: `model_id`, or `session_id` and `model_seq_id` for a new model";
            return Err(Refusal::bad(message).about("model_id"));
        };
        let make = || {
            check_optimizer(asked.optimizer_config.as_ref())?;
            let (address, shape) = self.training_weights(&asked.path, asked.base_model.as_deref(), None)?;
            let load = Some((address, asked.optimizer));
            Ok(Opening { shape, seed: self.service.plan.run.seed, load })
        };
        self.make(session, run_of(session, index.max(0)), request, make)
    }

    /// The address `path` and the shape of the weights there, which training must be able to go on from.
    fn training_weights(
        &self,
        path: &str,
        base_model: Option<&str>,
        shape: Option<Shape>,
    ) -> Result<(Address, Shape), Refusal> {
        let address = Address::parse(path)?;
        let card = self.store.card(&address)?;
        base_model.map_or(Ok(()), |name| self.check_base(name))?;
        self.check_base(&card.base_model)?;
        let bad = |message: String| Refusal::bad(message).about("path");
        if address.kind == Kind::Sampler {
            return Err(bad(format!(
                "{address} was saved for sampling; training goes on from tinker://RUN/weights/NAME"
            )));
        }
        match shape {
            Some(shape) if shape != card.shape => {
                Err(bad(format!("at {address} is {}; this model is {}", card.shape.words(), shape.words())))
            }
            _ => Ok((address, card.shape)),
        }
    }

    fn make(
        self: &Arc<Self>,
        session: &str,
        run: String,
        request: Request,
        opening: impl FnOnce() -> Result<Opening, Refusal>,
    ) -> Answer {
        let mut state = self.state();
        state.hear(session)?;
        if let Some(Model { made: (digest, answer), .. }) = state.models.get(&run) {
            if *digest == request.digest {
                return Ok(answer.clone());
            }
            let message = format!("{run:?} was made by another request; count model_seq_id on");
            return Err(Refusal::new(StatusCode::CONFLICT, message)
                .about("model_seq_id")
                .coded("model_seq_id_taken"));
        }
        let opening = opening()?;
        let most = self.service.max_models;
        if state.models.len() >= most {
            let message = format!(
                "{most} models are loaded, as many as this server takes; unload one, end its session, or have the server started \
                 with a larger --max-models"
            );
            return Err(Refusal::bad(message).coded("too_many_models"));
        }
        let ticket = self.futures.open(request.bytes)?;
        let answer = future(&ticket, Some(&run));
        let (sender, receiver) = unbounded_channel();
        let is_gone = Arc::new(AtomicBool::new(false));
        let model = Model {
            session: session.to_owned(),
            shape: opening.shape,
            made: (request.digest, answer.clone()),
            line: Line::new(),
            jobs: sender,
            is_gone: Arc::clone(&is_gone),
        };
        state.models.insert(run.clone(), model);
        tokio::spawn(Worker { hall: Arc::clone(self), run, is_gone }.work(opening, ticket, receiver));
        Ok(answer)
    }

    /// Gives model `run` the work that `read` makes of a request; what `read` refuses takes its turn, too.
    pub(super) fn submit(
        &self,
        run: &str,
        number: Option<i64>,
        request: Request,
        read: impl FnOnce(&Self, Shape) -> Result<Work, Refusal>,
    ) -> Answer {
        // Protobuf has no number that is absent.
        let number = number.filter(|number| *number != 0);
        let shape = {
            let mut state = self.state();
            let model = state.model(run)?;
            if let Some(answer) = model.line.answer(number, request.digest)? {
                return answer;
            }
            model.shape
        };
        let work = read(self, shape);
        let mut state = self.state();
        let model = state.model(run)?;
        // The same request may have come over another connection meanwhile.
        if let Some(answer) = model.line.answer(number, request.digest)? {
            return answer;
        }
        let (answer, job) = match work {
            Ok(work) => {
                let ticket = self.futures.open(request.bytes)?;
                (Ok(future(&ticket, Some(run))), Some(Job { work, ticket }))
            }
            Err(refusal) => (Err(refusal), None),
        };
        for job in model.line.enter(number, (request.digest, answer.clone()), job) {
            // A worker that is gone drops the job, and its ticket says so.
            drop(model.jobs.send(job));
        }
        answer
    }

    /// What model `run` is.
    pub(super) fn info(&self, run: &str) -> Result<ModelInfo, Refusal> {
        let shape = self.state().model(run)?.shape;
        let name = &self.service.name;
        Ok(ModelInfo {
            model_id: run.to_owned(),
            model_data: [("model_name", name), ("tokenizer_id", name)]
                .map(|(key, value)| (key.to_owned(), value.clone().into()))
                .into(),
            is_lora: Some(shape.is_adapter()),
            lora_rank: shape.is_adapter().then_some(shape.rank),
            model_name: Some(name.clone()),
        })
    }

    /// The models that are loaded, with their shapes.
    pub(super) fn loaded(&self) -> Vec<(String, Shape)> {
        self.state().models.iter().map(|(run, model)| (run.clone(), model.shape)).collect()
    }

    /// Forgets model `run`.
    pub(super) fn forget(&self, run: &str) {
        self.state().models.remove(run);
    }
}
