//! A table: a static embedding, one fixed vector for each token (model2vec, StaticEmbedding).

use ndarray::{Array1, Array2};

use super::EncoderError;
use super::weights::Tensors;

/// The names under which model2vec and sentence-transformers keep the vectors.
const NAMES: [&str; 2] = ["embeddings", "embedding.weight"];

/// The vector of every token, multiplied by the token's weight.
pub(super) struct Table {
    vectors: Array2<f32>,
    /// Which vector a token has, where tokens share them.
    places: Option<Vec<usize>>,
    /// How much a token counts, where tokens share vectors and differ in this.
    weights: Option<Vec<f32>>,
}

impl Table {
    /// Whether a file holds a table and no more.
    pub(super) fn is_in(tensors: &Tensors<'_>) -> bool {
        NAMES.iter().any(|name| tensors.has(name))
    }

    pub(super) fn read(tensors: &Tensors<'_>) -> Result<Self, EncoderError> {
        let name = NAMES.into_iter().find(|name| tensors.has(name)).unwrap_or(NAMES[0]);
        let vectors = tensors.matrix(name, [None, None])?;
        if vectors.is_empty() {
            return Err(tensors.refuse(format!("`{name}` is empty")));
        }
        let places = tensors.has("mapping").then(|| tensors.places("mapping")).transpose()?;
        if let Some(wrong) = places.iter().flatten().find(|place| **place >= vectors.nrows()) {
            return Err(tensors.refuse(format!("`mapping` names vector {wrong} of {}", vectors.nrows())));
        }
        let tokens = places.as_ref().map_or(vectors.nrows(), Vec::len);
        let weights = tensors.has("weights").then(|| tensors.vector("weights", tokens)).transpose()?;
        Ok(Self { vectors, places, weights: weights.map(|weights| weights.to_vec()) })
    }

    pub(super) fn dimensions(&self) -> usize {
        self.vectors.ncols()
    }

    /// How many tokens there are.
    pub(super) fn vocabulary(&self) -> usize {
        self.places.as_ref().map_or(self.vectors.nrows(), Vec::len)
    }

    /// The mean of the tokens' vectors; zeros for no tokens.
    pub(super) fn mean(&self, tokens: &[u32]) -> Array1<f32> {
        let mut sum = Array1::zeros(self.dimensions());
        for &token in tokens {
            let token = token as usize;
            let place = self.places.as_ref().map_or(token, |places| places[token]);
            let weight = self.weights.as_ref().map_or(1.0, |weights| weights[token]);
            sum.scaled_add(weight, &self.vectors.row(place));
        }
        sum / (tokens.len().max(1) as f32)
    }
}
