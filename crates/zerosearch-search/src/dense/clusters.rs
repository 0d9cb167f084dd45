//! Clusters: vectors that lie in like directions, around a centroid each (spherical k-means, Dhillon and Modha 2001).
//! Of a query's passages, most lie in the few clusters whose centroids are nearest: an inverted file (Jégou et al. 2011).

use ndarray::{Array2, ArrayView2, Axis, s};
use rayon::prelude::*;

use super::best::Best;
use super::vectors::dot;
use crate::seed::{Purpose, draw};

/// How often centroids are moved. More changed no recall by a hundredth.
const ROUNDS: usize = 8;
/// Vectors that are compared with all centroids in one product.
const BLOCK: usize = 1024;

/// Centroids of length 1, one a row, for `count` clusters of the vectors in `sample`. Equal samples give equal bits.
pub(super) fn centroids(sample: ArrayView2<'_, f32>, count: usize) -> Array2<f32> {
    let mut centroids = first(sample, count);
    for _ in 0..ROUNDS {
        let nearest = assign(sample, centroids.view());
        let mut sums = Array2::<f32>::zeros(centroids.raw_dim());
        for (vector, &cluster) in sample.rows().into_iter().zip(&nearest) {
            let mut sum = sums.row_mut(cluster as usize);
            sum += &vector;
        }
        for (mut centroid, sum) in centroids.rows_mut().into_iter().zip(sums.rows()) {
            let length = sum.dot(&sum).sqrt();
            // A cluster that nothing fell into stays where it is.
            if length > 0.0 {
                centroid.assign(&(&sum / length));
            }
        }
    }
    centroids
}

/// Different vectors of the sample, drawn by a fixed seed: a shuffle of which only the beginning is made.
fn first(sample: ArrayView2<'_, f32>, count: usize) -> Array2<f32> {
    let mut places: Vec<usize> = (0..sample.nrows()).collect();
    for at in 0..count {
        let left = (places.len() - at) as u64;
        let other = at + (draw(0, Purpose::Clusters, at as u64) % left) as usize;
        places.swap(at, other);
    }
    sample.select(Axis(0), &places[..count])
}

/// The cluster of every vector: the centroid with the largest inner product, the first of equals.
pub(super) fn assign(vectors: ArrayView2<'_, f32>, centroids: ArrayView2<'_, f32>) -> Vec<u32> {
    let blocks: Vec<usize> = (0..vectors.nrows()).step_by(BLOCK).collect();
    let nearest = |begin: usize| {
        let end = (begin + BLOCK).min(vectors.nrows());
        let scores = vectors.slice(s![begin..end, ..]).dot(&centroids.t());
        let best = |row: ndarray::ArrayView1<'_, f32>| {
            let mut best = (f32::NEG_INFINITY, 0);
            for (at, score) in (0_u32..).zip(row) {
                if *score > best.0 {
                    best = (*score, at);
                }
            }
            best.1
        };
        scores.rows().into_iter().map(best).collect::<Vec<u32>>()
    };
    blocks.into_par_iter().map(nearest).collect::<Vec<_>>().concat()
}

/// Which passages each cluster holds.
pub(super) struct Clusters {
    centroids: Vec<f32>,
    /// The places of the passages, cluster after cluster, in the order of the corpus within each.
    places: Vec<u32>,
    /// Where each cluster begins in `places`, and where the last one ends.
    begins: Vec<usize>,
}

impl Clusters {
    /// From the centroids, row after row, and the cluster of every passage; `None` if one is in no cluster.
    pub(super) fn new(centroids: Vec<f32>, count: usize, cluster_of: &[u32]) -> Option<Self> {
        let mut begins = vec![0; count + 1];
        for &cluster in cluster_of {
            *begins.get_mut(cluster as usize + 1)? += 1;
        }
        for at in 0..count {
            begins[at + 1] += begins[at];
        }
        let mut next = begins.clone();
        let mut places = vec![0; cluster_of.len()];
        for (place, &cluster) in (0_u32..).zip(cluster_of) {
            places[next[cluster as usize]] = place;
            next[cluster as usize] += 1;
        }
        Some(Self { centroids, places, begins })
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.begins.len() - 1
    }

    /// The passages of the `probes` clusters that are nearest to `query`.
    pub(super) fn near(&self, query: &[f32], probes: usize) -> Vec<&[u32]> {
        let mut best = Best::new(probes);
        for (at, centroid) in self.centroids.chunks_exact(query.len()).enumerate() {
            best.offer((dot(query, centroid), at));
        }
        best.into_hits()
            .into_iter()
            .map(|(_, at)| &self.places[self.begins[at]..self.begins[at + 1]])
            .collect()
    }
}
