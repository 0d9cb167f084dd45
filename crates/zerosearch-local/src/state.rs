//! A learner's state: one flat vector each of weights, gradients and moments.

use std::ops::Range;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use zerosearch_learner::{Adam, LearnerError, Result, StepReport};

use crate::kernels::{AdamwTerms, adamw};
use crate::model::{Layout, Machine};
use crate::weights::{Checkpoint, Map};

/// The file that holds it inside a checkpoint. Only training reads it: without it, what is left there still opens as a policy.
pub const FILE: &str = "learner.safetensors";
/// Numbers whose squares are summed by one item of work.
const CHUNK: usize = 1 << 16;

/// Everything that training changes.
pub(crate) struct State {
    pub(crate) weights: Vec<f32>,
    /// Empty until something was accumulated for the first time, zero after each step.
    gradients: Vec<f32>,
    /// Whether anything was accumulated since the last step.
    any_gathered: bool,
    first_moment: Vec<f32>,
    second_moment: Vec<f32>,
    steps: u64,
}

/// Reads the weights of a checkpoint that lie in `place` by `layout`.
pub(crate) fn read_weights(
    checkpoint: &Checkpoint,
    layout: &Layout,
    place: &Range<usize>,
) -> Result<Vec<f32>> {
    let mut weights = Vec::with_capacity(place.len());
    let inside = |it: &Range<usize>| it.start >= place.start && it.end <= place.end;
    for tensor in layout.tensors.iter().filter(|tensor| inside(&tensor.place)) {
        weights.extend(checkpoint.tensor(&tensor.name)?);
    }
    Ok(weights)
}

impl State {
    pub(crate) fn new(weights: Vec<f32>) -> Self {
        let zeros = || bytemuck::zeroed_vec(weights.len());
        let (first_moment, second_moment) = (zeros(), zeros());
        Self { weights, gradients: Vec::new(), any_gathered: false, first_moment, second_moment, steps: 0 }
    }

    /// The gathered gradients to add to: zero at first.
    pub(crate) fn gradients(&mut self) -> &mut [f32] {
        self.any_gathered = true;
        if self.gradients.is_empty() {
            self.gradients = bytemuck::zeroed_vec(self.weights.len());
        }
        &mut self.gradients
    }

    /// The gathered gradients as they are.
    #[cfg(test)]
    pub(crate) fn gathered(&self) -> &[f32] {
        &self.gradients
    }

    /// As if nothing had been accumulated since the last step.
    pub(crate) fn forget_gradients(&mut self) {
        self.gradients.fill(0.0);
        self.any_gathered = false;
    }

    /// As if these weights were the first.
    pub(crate) fn forget_optimizer(&mut self) {
        self.forget_gradients();
        self.first_moment.fill(0.0);
        self.second_moment.fill(0.0);
        self.steps = 0;
    }

    /// One AdamW step with the gathered gradients, which are forgotten.
    pub(crate) fn step(&mut self, adam: &Adam, layout: &Layout, machine: &Machine) -> Result<StepReport> {
        if !self.any_gathered {
            return Err(LearnerError::BadRequest(
                "there is nothing to step with: no gradients were accumulated since the last step".into(),
            ));
        }
        let grad_norm = norm(&self.gradients, machine);
        if !grad_norm.is_finite() {
            self.forget_gradients();
            return Err(LearnerError::NotFinite(format!(
                "the gradient norm at optimizer step {} is {grad_norm}; a lower learning rate or `max_grad_norm` may help",
                self.steps + 1
            )));
        }
        self.steps += 1;
        let power = |beta: f32| (1.0 - f64::from(beta).powf(self.steps as f64)) as f32;
        let limit = adam.max_grad_norm.map_or(f64::INFINITY, f64::from);
        let terms = AdamwTerms {
            gradient_scale: if grad_norm > limit { (limit / grad_norm) as f32 } else { 1.0 },
            learning_rate: adam.learning_rate,
            betas: (adam.beta1, adam.beta2),
            corrections: (power(adam.beta1), power(adam.beta2)),
            epsilon: adam.epsilon,
            weight_decay: adam.weight_decay,
        };
        for tensor in &layout.tensors {
            let decays = tensor.matrix || adam.decay_all;
            let place = tensor.place.clone();
            adamw(
                machine.kernels(),
                AdamwTerms { weight_decay: if decays { adam.weight_decay } else { 0.0 }, ..terms },
                &mut self.weights[place.clone()],
                &mut self.gradients[place.clone()],
                (&mut self.first_moment[place.clone()], &mut self.second_moment[place]),
            );
        }
        self.any_gathered = false;
        Ok(StepReport { grad_norm, step: self.steps })
    }

    /// Writes weights, moments and the count of steps.
    pub(crate) fn save(&self, directory: &Path) -> Result<()> {
        let steps = self.steps.to_le_bytes();
        let counter = TensorView::new(Dtype::U64, vec![1], &steps)
            .map_err(|problem| LearnerError::bad_model(directory, problem.to_string()))?;
        let tensors = [
            ("weights", view(&self.weights, directory)?),
            ("first_moment", view(&self.first_moment, directory)?),
            ("second_moment", view(&self.second_moment, directory)?),
            ("steps", counter),
        ];
        let path = directory.join(FILE);
        safetensors::serialize_to_file(tensors, None, &path)
            .map_err(|problem| LearnerError::bad_model(&path, format!("could not be written: {problem}")))?;
        let file = std::fs::File::open(&path).map_err(|source| LearnerError::io(&path, source))?;
        file.sync_all().map_err(|source| LearnerError::io(&path, source))
    }

    /// Takes up what [`State::save`] wrote; nothing changes when it cannot be used.
    pub(crate) fn load(&mut self, directory: &Path) -> Result<()> {
        let path = directory.join(FILE);
        let bytes = Map::open(&path)?;
        let broken = |problem: String| LearnerError::bad_model(&path, problem);
        let file =
            SafeTensors::deserialize(&bytes).map_err(|problem| broken(format!("is damaged: {problem}")))?;
        let total = self.weights.len();
        let find = |name: &str| {
            let view = file.tensor(name).map_err(|problem| broken(problem.to_string()))?;
            if view.dtype() != Dtype::F32 || view.shape() != [total] {
                return Err(broken(format!("`{name}` does not belong to a learner of {total} parameters")));
            }
            Ok(view)
        };
        let (weights, first, second) = (find("weights")?, find("first_moment")?, find("second_moment")?);
        let steps = file.tensor("steps").map_err(|problem| broken(problem.to_string()))?;
        let steps: [u8; 8] =
            steps.data().try_into().map_err(|_| broken("`steps` is not one number of 64 bits".into()))?;
        self.forget_gradients();
        copy(&weights, &mut self.weights);
        copy(&first, &mut self.first_moment);
        copy(&second, &mut self.second_moment);
        self.steps = u64::from_le_bytes(steps);
        Ok(())
    }
}

/// Copies numbers to where there is room for as many.
fn copy(from: &TensorView<'_>, to: &mut [f32]) {
    let from = from.data().as_chunks().0;
    to.iter_mut().zip(from).for_each(|(to, &bytes)| *to = f32::from_le_bytes(bytes));
}

fn view<'a>(numbers: &'a [f32], directory: &Path) -> Result<TensorView<'a>> {
    TensorView::new(Dtype::F32, vec![numbers.len()], bytemuck::cast_slice(numbers))
        .map_err(|problem| LearnerError::bad_model(directory, problem.to_string()))
}

/// L2 norm; squares are summed in f64 over fixed stretches, in order.
fn norm(numbers: &[f32], machine: &Machine) -> f64 {
    let mut sums = vec![0.0_f64; numbers.len().div_ceil(CHUNK)];
    machine.threads.each_chunk(&mut sums, 1, |index, sum| {
        let stretch = &numbers[index * CHUNK..numbers.len().min((index + 1) * CHUNK)];
        sum[0] = stretch.iter().map(|&number| f64::from(number) * f64::from(number)).sum();
    });
    sums.into_iter().sum::<f64>().sqrt()
}
