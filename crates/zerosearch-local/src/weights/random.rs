//! Random weights: a model that has learnt nothing yet.

use std::collections::HashMap;

use rand::Rng;
use zerosearch_learner::seed::Seed;
use zerosearch_learner::{LearnerError, Result};

use crate::model::config::ModelConfig;

/// Standard deviation of embeddings.
const EMBEDDING: f64 = 0.05;

/// The parameters of one model, drawn when asked for.
pub(super) struct Random {
    seed: Seed,
    shapes: HashMap<String, Vec<usize>>,
    layers: usize,
}

impl Random {
    pub(super) fn new(config: &ModelConfig, seed: u64) -> Self {
        let seed = Seed::run(seed).purpose("random weights");
        Self { seed, shapes: config.tensors().into_iter().collect(), layers: config.layers }
    }

    /// The numbers of the tensor `name`: a function of the seed, the name and the shape alone.
    pub(super) fn tensor(&self, name: &str) -> Result<Vec<f32>> {
        let shape = self.shapes.get(name).ok_or_else(|| {
            LearnerError::bad_model("random weights", format!("tensor `{name}` is not part of this model"))
        })?;
        let length = shape.iter().product();
        if name.ends_with(".bias") {
            return Ok(vec![0.0; length]);
        }
        let &[_, fan_in] = shape.as_slice() else { return Ok(vec![1.0; length]) };
        let into_residual = name.ends_with("o_proj.weight") || name.ends_with("down_proj.weight");
        let deviation = match name {
            "model.embed_tokens.weight" => EMBEDDING,
            _ if into_residual => 1.0 / (fan_in as f64 * 2.0 * self.layers as f64).sqrt(),
            _ => 1.0 / (fan_in as f64).sqrt(),
        };
        let mut generator = self.seed.purpose(name).generator();
        Ok((0..length).map(|_| (deviation * standard_normal(&mut generator)) as f32).collect())
    }
}

/// A number around 0 with variance 1: the sum of twelve uniform ones less their mean, close to normal. Unlike the
/// logarithm and cosine of the usual method, integer sums give the same bits on every machine.
fn standard_normal(generator: &mut impl Rng) -> f64 {
    let mut sum = 0u64;
    for _ in 0..3 {
        let word = generator.next_u64();
        sum += (0..4).map(|part| word >> (16 * part) & 0xFFFF).sum::<u64>();
    }
    // Each part is uniform in 0..=65535: mean 32767.5, variance (65536^2 - 1) / 12.
    (sum as f64 - 12.0 * 32_767.5) / 65_536.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 100,000 draws: the mean's standard error is 0.003, that of the variance 0.004; five of them are allowed.
    #[test]
    fn draws_have_mean_0_and_variance_1() {
        let mut generator = Seed::run(3).generator();
        let draws: Vec<f64> = (0..100_000).map(|_| standard_normal(&mut generator)).collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let variance = draws.iter().map(|draw| (draw - mean).powi(2)).sum::<f64>() / draws.len() as f64;
        assert!(mean.abs() < 0.016, "{mean}");
        assert!((variance - 1.0).abs() < 0.023, "{variance}");
    }
}
