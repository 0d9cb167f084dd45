//! The bigram learner: a table of logits, its analytic gradient, and AdamW.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::BigramPolicy;
use super::bigram::Table;
use super::files;
use super::writing::check_row;
use crate::objective::{Facts, token_loss};
use crate::text::Text;
use crate::{
    Adam, Boxed, Capabilities, Example, ExampleReport, Learner, LearnerError, Loss, LossReport, Objective,
    Policy, Result, StepReport,
};

/// A learner for tests and examples. It starts with every token equally likely after every token, computes in f64
/// over f32 weights, and gives the same bits for the same calls.
pub struct BigramLearner {
    text: Arc<Text>,
    context_length: usize,
    state: Mutex<State>,
}

/// Weights, the optimizer's memory, and the gradients since the last step.
pub(super) struct State {
    pub(super) table: Arc<Table>,
    pub(super) first_moment: Vec<f32>,
    pub(super) second_moment: Vec<f32>,
    pub(super) step: u64,
    pub(super) gradients: Option<Vec<f64>>,
}

impl BigramLearner {
    /// A learner over the vocabulary of `text`. Rows may have up to `context_length` tokens.
    pub fn new(text: Arc<Text>, context_length: usize) -> Self {
        let table = Table::uniform(text.vocabulary_size());
        Self { text, context_length, state: Mutex::new(State::fresh(Arc::new(table))) }
    }

    /// Its text.
    pub fn text(&self) -> Arc<Text> {
        Arc::clone(&self.text)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, batch: &[Example], loss: &Loss) -> Result<LossReport> {
        loss.check()?;
        for example in batch {
            example.check(loss.objective != Objective::CrossEntropy, loss.kl.is_some())?;
            check_row(&self.text, &example.tokens, self.context_length)?;
        }
        let mut state = self.state();
        let table = Arc::clone(&state.table);
        let gradients = state.gradients.get_or_insert_with(|| vec![0.0; table.logits.len()]);
        let mut report = LossReport::default();
        for example in batch {
            let row = add_row(&table, gradients, example, loss, &mut report);
            report.examples.push(row);
        }
        report.loss /= loss.normalizer;
        if report.loss.is_finite() {
            Ok(report)
        } else {
            state.gradients = None;
            Err(LearnerError::NotFinite(format!(
                "the loss is {}; the gathered gradients are dropped",
                report.loss
            )))
        }
    }
}

impl Learner for BigramLearner {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            context_length: self.context_length,
            exact_logprobs: true,
            deterministic: true,
            entropy_bonus: true,
            kl_in_loss: true,
            temperatures: true,
            lasting_snapshots: true,
            lasting_start: true,
            numeric_path: "bigram-f32".into(),
        }
    }

    fn accumulate<'a>(&'a self, batch: &'a [Example], loss: &'a Loss) -> Boxed<'a, Result<LossReport>> {
        Box::pin(async move { self.add(batch, loss) })
    }

    fn step<'a>(&'a self, adam: &'a Adam) -> Boxed<'a, Result<StepReport>> {
        Box::pin(async move { self.state().step(adam) })
    }

    fn snapshot(&self) -> Boxed<'_, Result<Arc<dyn Policy>>> {
        Box::pin(async move {
            let table = Arc::clone(&self.state().table);
            let policy = BigramPolicy { text: self.text(), table, context_length: self.context_length };
            Ok(Arc::new(policy) as Arc<dyn Policy>)
        })
    }

    fn save<'a>(&'a self, directory: &'a Path) -> Boxed<'a, Result<()>> {
        Box::pin(async move {
            files::write_model(directory, &self.state().table, &self.text)?;
            files::write_optimizer(directory, &self.state())
        })
    }

    fn load<'a>(&'a self, directory: &'a Path) -> Boxed<'a, Result<()>> {
        Box::pin(async move {
            let read = files::read(directory, self.text.vocabulary_size())?;
            *self.state() = read;
            Ok(())
        })
    }

    fn forget_optimizer(&self) -> Boxed<'_, Result<()>> {
        Box::pin(async move {
            let mut state = self.state();
            *state = State::fresh(Arc::clone(&state.table));
            Ok(())
        })
    }

    /// Writes the table and the tokenizer. There is no Hugging Face architecture for a bigram: only
    /// [`Learner::load`] reads it back.
    fn export<'a>(&'a self, directory: &'a Path) -> Boxed<'a, Result<()>> {
        Box::pin(async move { files::write_model(directory, &self.state().table, &self.text) })
    }
}

impl State {
    /// These weights, and an optimizer that remembers nothing.
    pub(super) fn fresh(table: Arc<Table>) -> Self {
        let zeros = vec![0.0; table.logits.len()];
        Self { table, first_moment: zeros.clone(), second_moment: zeros, step: 0, gradients: None }
    }

    fn step(&mut self, adam: &Adam) -> Result<StepReport> {
        let gradients = self.gradients.take().ok_or_else(|| {
            LearnerError::BadRequest("there are no gradients to step with; accumulate a batch first".into())
        })?;
        let grad_norm = gradients.iter().map(|gradient| gradient * gradient).sum::<f64>().sqrt();
        if !grad_norm.is_finite() {
            return Err(LearnerError::NotFinite(format!(
                "the gradient's norm is {grad_norm}; the step is not taken"
            )));
        }
        let bound = adam.max_grad_norm.map_or(f64::INFINITY, f64::from);
        let scale = if grad_norm > bound { bound / grad_norm } else { 1.0 };
        self.step += 1;
        self.apply(&gradients, scale, adam);
        Ok(StepReport { grad_norm, step: self.step })
    }

    /// AdamW as [`Adam`] states it. A table has neither norms nor biases: everything decays.
    fn apply(&mut self, gradients: &[f64], scale: f64, adam: &Adam) {
        let (beta1, beta2) = (f64::from(adam.beta1), f64::from(adam.beta2));
        let correction = |beta: f64| 1.0 - beta.powf(self.step as f64);
        let (correction1, correction2) = (correction(beta1), correction(beta2));
        let (rate, decay) = (f64::from(adam.learning_rate), f64::from(adam.weight_decay));
        let weights = &mut Arc::make_mut(&mut self.table).logits;
        let moments = self.first_moment.iter_mut().zip(&mut self.second_moment);
        for ((weight, gradient), (first, second)) in weights.iter_mut().zip(gradients).zip(moments) {
            let gradient = gradient * scale;
            let mean = beta1 * f64::from(*first) + (1.0 - beta1) * gradient;
            let square = beta2 * f64::from(*second) + (1.0 - beta2) * gradient * gradient;
            let update = mean / correction1 / ((square / correction2).sqrt() + f64::from(adam.epsilon));
            *weight = (f64::from(*weight) * (1.0 - rate * decay) - rate * update) as f32;
            (*first, *second) = (mean as f32, square as f32);
        }
    }
}

/// Adds one row's gradients and sums.
fn add_row(
    table: &Table,
    gradients: &mut [f64],
    example: &Example,
    loss: &Loss,
    report: &mut LossReport,
) -> ExampleReport {
    let mut logprobs = vec![0.0; example.tokens.len()];
    let trained = (1..example.tokens.len()).filter(|&position| example.weights[position] != 0.0);
    for position in trained {
        let (last, token) = (example.tokens[position - 1], example.tokens[position] as usize);
        let row = table.logprobs(last, loss.temperature);
        let token_loss = token_loss(loss, Facts::of(example, position, row[token]));
        let weight = f64::from(example.weights[position]);
        let entropy = -row.iter().map(|&lp| f64::from(lp).exp() * f64::from(lp)).sum::<f64>();
        let bonus = f64::from(loss.entropy_bonus);
        let scale = weight / loss.normalizer / f64::from(loss.temperature);
        for (next, (gradient, &lp)) in gradients[table.row(last)].iter_mut().zip(&row).enumerate() {
            let probability = f64::from(lp).exp();
            let hit = if next == token { 1.0 } else { 0.0 };
            let of_entropy = bonus * probability * (f64::from(lp) + entropy);
            *gradient += scale * (token_loss.slope * (hit - probability) + of_entropy);
        }
        logprobs[position] = row[token];
        report.loss += weight * (token_loss.value - bonus * entropy);
        report.weight += weight;
        report.entropy += weight * entropy;
        report.kl += weight * token_loss.kl;
        report.clipped += if token_loss.clipped { weight } else { 0.0 };
    }
    ExampleReport { logprobs }
}

#[cfg(test)]
mod tests;
