//! Teaching: rows to gradients to a step, on the server.

use futures::future::try_join_all;

use super::http::{Body, Reply};
use super::learner::{Gathered, TinkerLearner, Training};
use super::quirks::Wire;
use super::rows::{Teacher, logprobs, question, requests};
use super::trouble::Trouble;
use super::wire::{
    AdamParams, Forward, ForwardBackward, ForwardBackwardInput, ForwardBackwardReply, Future, OptimStep,
    StepReply,
};
use crate::{Adam, Example, ExampleReport, LearnerError, Loss, LossReport, Result, StepReport};

const TEACH: &str = "forward_backward";
const ASK: &str = "forward";
const STEP: &str = "optim_step";

impl TinkerLearner {
    /// Sends `batch`, in as many requests as it takes, and waits for what came of it. The next call's requests may leave as soon as
    /// all of these have.
    pub(super) async fn teach(&self, batch: &[Example], loss: &Loss) -> Result<LossReport> {
        let teacher = Teacher { loss, quirks: &self.shared.quirks };
        let parts = requests(batch, &self.shared.quirks);
        let mut training = self.training().await;
        training.check_sound()?;
        let known =
            if teacher.is_native(batch) { None } else { Some(self.logprobs(&training, &parts).await?) };
        let known = known.map(|known| teacher.report(batch, known)).transpose();
        let known = known.map_err(|error| training.spoil(error))?;
        self.shared.session.held(|held| held.gathered = true);
        let mut futures = Vec::new();
        let mut at = 0;
        for part in &parts {
            let input = match &known {
                Some(report) => teacher.by_slope(part, &report.examples[at..at + part.len()]),
                None => teacher.native(part),
            };
            at += part.len();
            let sent = self.send(&training, input, false).await;
            futures.push(sent.map_err(|error| training.spoil(error))?);
            training.count(part.len(), loss.rows);
        }
        drop(training);
        let told =
            try_join_all(parts.iter().zip(&futures).map(|(part, future)| self.told(TEACH, part, future)))
                .await;
        let report = match (told, known) {
            (Ok(_), Some(report)) => Ok(report),
            (Ok(told), None) => teacher.report(batch, told.concat()),
            (Err(error), _) => Err(error),
        };
        match report {
            Ok(report) => Ok(report),
            Err(error) => Err(self.training().await.spoil(error)),
        }
    }

    /// The log-probabilities of rows, as training computes them.
    async fn logprobs(&self, training: &Training, parts: &[&[Example]]) -> Result<Vec<ExampleReport>> {
        let mut futures = Vec::new();
        for part in parts {
            futures.push(self.send(training, question(part), true).await?);
        }
        let told =
            try_join_all(parts.iter().zip(&futures).map(|(part, future)| self.told(ASK, part, future)))
                .await?;
        Ok(told.concat())
    }

    async fn send(
        &self,
        training: &Training,
        input: ForwardBackwardInput,
        forward_only: bool,
    ) -> Result<Future> {
        let (model_id, seq_id) = (training.model.clone(), Some(training.number(&self.shared)));
        let repeatable = forward_only || self.shared.quirks.repeatable;
        let (route, body) = match (self.shared.quirks.wire, forward_only) {
            (Wire::Json, true) => (ASK, Body::json(&Forward { model_id, seq_id, forward_input: input })?),
            (wire, _) => {
                let order = ForwardBackward { model_id, seq_id, forward_backward_input: input, forward_only };
                let body = match wire {
                    Wire::Json => Body::json(&order)?,
                    Wire::Protobuf => Body::protobuf(order.to_protobuf()),
                };
                (TEACH, body)
            }
        };
        self.shared.server.submit(route, &body, repeatable).await
    }

    async fn told(&self, route: &str, part: &[Example], future: &Future) -> Result<Vec<ExampleReport>> {
        let reply = self.shared.server.result(route, future, self.shared.quirks.wire.media()).await?;
        let read = read(&reply).and_then(|reply| logprobs(part, &reply.loss_fn_outputs));
        read.map_err(|problem| self.shared.server.error(route, &Trouble::Garbled(problem)))
    }

    /// Has the gathered gradients applied.
    pub(super) async fn apply(&self, adam: &Adam) -> Result<StepReport> {
        let mut training = self.training().await;
        training.check_sound()?;
        let gathered = training.gathered.ok_or_else(|| {
            LearnerError::BadRequest("there are no gradients to step with; accumulate a batch first".into())
        })?;
        if gathered.sent != gathered.wanted {
            let Gathered { sent, wanted } = gathered;
            let problem = format!("{sent} rows were accumulated of a batch that was said to have {wanted}");
            return Err(training.spoil(LearnerError::BadRequest(problem)));
        }
        let order = OptimStep {
            model_id: training.model.clone(),
            seq_id: Some(training.number(&self.shared)),
            adam_params: AdamParams {
                learning_rate: f64::from(adam.learning_rate),
                beta1: f64::from(adam.beta1),
                beta2: f64::from(adam.beta2),
                eps: f64::from(adam.epsilon),
                weight_decay: f64::from(adam.weight_decay),
                grad_clip_norm: f64::from(adam.max_grad_norm.unwrap_or(0.0)),
            },
        };
        // From here on the weights may be others, whatever the answer.
        self.shared.turn_over();
        (training.gathered, training.latest, training.changed) = (None, None, true);
        let sent = self.shared.server.submit(STEP, &Body::json(&order)?, self.shared.quirks.repeatable).await;
        let future = sent.map_err(|error| training.spoil(error))?;
        self.shared.session.held(|held| held.gathered = false);
        training.step += 1;
        let step = training.step;
        drop(training);
        let reply: Result<StepReply> = self.shared.server.outcome(STEP, &future).await;
        let norm = reply.and_then(|reply| finite_norm(&reply));
        match norm {
            Ok(grad_norm) => Ok(StepReport { grad_norm, step }),
            Err(error) => Err(self.training().await.spoil(error)),
        }
    }
}

fn read(reply: &Reply) -> Result<ForwardBackwardReply, String> {
    if reply.is_protobuf {
        return ForwardBackwardReply::from_protobuf(&reply.bytes).map_err(|error| error.to_string());
    }
    serde_json::from_slice(&reply.bytes).map_err(|error| error.to_string())
}

/// The gradient's norm, whatever the server calls it; NaN where it tells none.
fn finite_norm(reply: &StepReply) -> Result<f64> {
    let metrics = reply.metrics.iter().flatten();
    let norm = metrics.filter(|(name, _)| name.contains("grad_norm")).map(|(_, norm)| *norm).next();
    match norm {
        Some(norm) if !norm.is_finite() => Err(LearnerError::NotFinite(format!(
            "the gradient's norm is {norm}, and the server made its step with it"
        ))),
        norm => Ok(norm.unwrap_or(f64::NAN)),
    }
}

impl Training {
    /// Rows were sent.
    fn count(&mut self, rows: usize, wanted: usize) {
        let gathered = self.gathered.get_or_insert(Gathered { sent: 0, wanted });
        gathered.sent += rows;
        gathered.wanted = wanted;
    }

    /// Nobody knows any more what the server gathered, because of `error`.
    fn spoil(&mut self, error: LearnerError) -> LearnerError {
        self.gathered = None;
        self.spoiled = Some(error.to_string());
        error
    }
}
