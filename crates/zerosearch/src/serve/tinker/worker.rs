//! A worker: it carries out what is asked of one model, one request after another.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use serde_json::json;
use tokio::sync::mpsc::UnboundedReceiver;
use zerosearch_learner::tinker::wire::{
    AdamParams, Created, LoadedWeights, SamplerSaved, StepReply, WeightsSaved,
};
use zerosearch_learner::{Adam, Learner, LearnerError};
use zerosearch_local::STATE_FILE;

use super::address::{Address, Kind};
use super::batch::Batch;
use super::checkpoints::{Card, now};
use super::futures::{Outcome, Ticket};
use super::hall::Hall;
use super::shape::Shape;
use crate::learners::open_drawn;
use crate::problem::report;

/// What is asked of a model.
pub(super) enum Work {
    /// Gradients of a batch.
    Teach(Batch),
    /// The loss of a batch.
    Look(Batch),
    /// A step of the optimizer.
    Step(Adam),
    /// Weights under a name: to go on from, or to sample from.
    Save { address: Address, overwrite: bool },
    /// Weights as they are now for a sampler.
    Snapshot { sampler: String },
    /// Saved weights in place of its own.
    Load { address: Address, optimizer: bool },
    /// Nothing any more.
    Unload,
}

/// Work, and who waits for it.
pub(super) struct Job {
    pub(super) work: Work,
    pub(super) ticket: Ticket,
}

/// How a model is made.
pub(super) struct Opening {
    pub(super) shape: Shape,
    /// Decides the first numbers of an adapter.
    pub(super) seed: u64,
    /// The saved weights that it begins with, and whether their optimizer comes along.
    pub(super) load: Option<(Address, bool)>,
}

/// Who carries it out.
pub(super) struct Worker {
    pub(super) hall: Arc<Hall>,
    pub(super) run: String,
    pub(super) is_gone: Arc<AtomicBool>,
}

/// The optimizer's numbers as a learner has them, or which of them is impossible. As `torch.optim.AdamW` does, all weights decay.
pub(super) fn adam(params: &AdamParams) -> Result<Adam, String> {
    let AdamParams { learning_rate, beta1, beta2, eps, weight_decay, grad_clip_norm } = *params;
    let checks = [
        ("learning_rate", learning_rate, learning_rate >= 0.0, "0 or more"),
        ("beta1", beta1, (0.0..1.0).contains(&beta1), "from 0 to below 1"),
        ("beta2", beta2, (0.0..1.0).contains(&beta2), "from 0 to below 1"),
        ("eps", eps, eps >= 0.0, "0 or more"),
        ("weight_decay", weight_decay, weight_decay >= 0.0, "0 or more"),
        ("grad_clip_norm", grad_clip_norm, grad_clip_norm >= 0.0, "0 for never, or a norm"),
    ];
    for (name, value, fits, range) in checks {
        if !(fits && (value as f32).is_finite()) {
            return Err(format!("{name} is {value}; it must be {range}"));
        }
    }
    Ok(Adam {
        learning_rate: learning_rate as f32,
        beta1: beta1 as f32,
        beta2: beta2 as f32,
        epsilon: eps as f32,
        weight_decay: weight_decay as f32,
        decay_all: true,
        max_grad_norm: (grad_clip_norm > 0.0).then_some(grad_clip_norm as f32),
    })
}

impl Worker {
    /// Opens the model and carries out its work until it is unloaded.
    pub(super) async fn work(self, opening: Opening, ticket: Ticket, mut jobs: UnboundedReceiver<Job>) {
        let shape = opening.shape;
        let learner = match self.open(opening).await {
            Ok((learner, outcome)) => {
                ticket.resolve(outcome);
                learner
            }
            Err(why) => {
                self.hall.forget(&self.run);
                ticket.resolve(failure(&why));
                return;
            }
        };
        while let Some(Job { work, ticket }) = jobs.recv().await {
            if self.is_gone.load(Ordering::Relaxed) {
                continue;
            }
            let is_last = matches!(work, Work::Unload);
            let outcome = self.carry_out(work, &*learner, shape).await;
            ticket.resolve(outcome.unwrap_or_else(|why| failure(&why)));
            if is_last {
                return;
            }
        }
    }

    /// The model as it begins, and what its maker is told.
    async fn open(&self, opening: Opening) -> Result<(Arc<dyn Learner>, Outcome)> {
        let mut plan = self.hall.service.plan.clone();
        plan.adapter = opening.shape.adapter();
        let learner = open_drawn(&plan, opening.seed, 0, &self.hall.service.pool).await?.learner;
        let model_id = self.run.clone();
        let Some((address, optimizer)) = opening.load else {
            return Ok((learner, Outcome::told(Created { model_id })));
        };
        self.load(&*learner, &address, optimizer).await?;
        Ok((learner, Outcome::told(LoadedWeights { model_id: Some(model_id) })))
    }

    async fn carry_out(&self, work: Work, learner: &dyn Learner, shape: Shape) -> Result<Outcome> {
        Ok(match work {
            Work::Teach(batch) => Outcome::Rows(batch.teach(learner).await?),
            Work::Look(batch) => Outcome::Rows(batch.look(learner).await?),
            Work::Step(adam) => {
                let report = learner.step(&adam).await?;
                let metrics = [
                    ("grad_norm".to_owned(), report.grad_norm),
                    ("learning_rate".to_owned(), f64::from(adam.learning_rate)),
                    ("step".to_owned(), report.step as f64),
                ];
                Outcome::told(StepReply { metrics: Some(metrics.into()) })
            }
            Work::Save { address, overwrite } => self.save(learner, &address, (shape, overwrite)).await?,
            Work::Snapshot { sampler } => {
                let policy = learner.snapshot().await?;
                self.hall.add_sampler(&sampler, policy, None);
                Outcome::told(SamplerSaved { path: None, sampling_session_id: Some(sampler) })
            }
            Work::Load { address, optimizer } => {
                self.load(learner, &address, optimizer).await?;
                Outcome::told(LoadedWeights { model_id: Some(self.run.clone()) })
            }
            Work::Unload => {
                self.hall.forget(&self.run);
                Outcome::told(json!({"type": "unload_model", "model_id": self.run}))
            }
        })
    }

    async fn save(
        &self,
        learner: &dyn Learner,
        address: &Address,
        (shape, overwrite): (Shape, bool),
    ) -> Result<Outcome> {
        let Hall { store, service, .. } = &*self.hall;
        if store.has(address) && !overwrite {
            let message =
                format!("{address} is there already; choose another name, or send `overwrite`: true");
            return Ok(Outcome::failed(message, "user"));
        }
        let (draft, files) = store.draft()?;
        match (address.kind, shape.is_adapter()) {
            (Kind::Sampler, false) => learner.export(&files).await?,
            _ => learner.save(&files).await?,
        }
        if address.kind == Kind::Sampler && shape.is_adapter() {
            std::fs::remove_file(files.join(STATE_FILE))?;
        }
        let card = Card { base_model: service.name.clone(), shape, time: now() };
        store.keep(draft, address, &card)?;
        let path = address.to_string();
        Ok(match address.kind {
            Kind::Training => Outcome::told(WeightsSaved { path }),
            Kind::Sampler => Outcome::told(SamplerSaved { path: Some(path), sampling_session_id: None }),
        })
    }

    async fn load(&self, learner: &dyn Learner, address: &Address, optimizer: bool) -> Result<()> {
        let files = self.hall.store.files(address);
        learner.load(&files).await.with_context(|| format!("{address} cannot be loaded"))?;
        if !optimizer {
            learner.forget_optimizer().await?;
        }
        Ok(())
    }
}

/// What a client is told of work that failed.
fn failure(why: &anyhow::Error) -> Outcome {
    if let Some(learner) = why.downcast_ref::<LearnerError>() {
        return Outcome::broken(learner);
    }
    Outcome::failed(report(why).trim().replace('\n', "; "), "server")
}
