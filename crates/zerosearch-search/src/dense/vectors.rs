//! Vectors: the passages' in the numbers in which they are held in memory, and how near a query's is to each.
//!
//! Nearness is the inner product. In 8 bits, a vector is whole numbers from -127 to 127 times a scale of its own:
//!     code = round(127 x / max |x|)        x . y = scale_x scale_y (code_x . code_y), the last product exact

/// Sums side by side, so that a processor can add several at once.
const LANES: usize = 16;

/// The inner product, added up in an order that the length alone fixes.
pub(super) fn dot(one: &[f32], other: &[f32]) -> f32 {
    let ((one, one_rest), (other, other_rest)) = (one.as_chunks::<LANES>(), other.as_chunks::<LANES>());
    let mut sums = [0.0; LANES];
    for (one, other) in one.iter().zip(other) {
        for lane in 0..LANES {
            sums[lane] += one[lane] * other[lane];
        }
    }
    let rest: f32 = one_rest.iter().zip(other_rest).map(|(one, other)| one * other).sum();
    sums.iter().sum::<f32>() + rest
}

/// The inner product of codes; a query's are widened once.
pub(super) fn dot_codes(query: &[i16], codes: &[i8]) -> i32 {
    query.iter().zip(codes).map(|(query, code)| i32::from(*query) * i32::from(*code)).sum()
}

/// The codes of a vector and their scale.
pub(super) fn coded(vector: &[f32]) -> (Vec<i8>, f32) {
    let most = vector.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    if most == 0.0 {
        return (vec![0; vector.len()], 0.0);
    }
    (vector.iter().map(|x| (x / most * 127.0).round() as i8).collect(), most / 127.0)
}

/// The vectors of all passages.
pub(super) enum Vectors {
    /// As they were computed.
    F32(Vec<f32>),
    /// A quarter of that: codes and scales.
    Int8 { codes: Vec<i8>, scales: Vec<f32> },
}

/// A query's vector in the numbers that [`Vectors`] need.
pub(super) enum Sought {
    F32(Vec<f32>),
    Int8(Vec<i16>, f32),
}

impl Vectors {
    /// The query in the same numbers.
    pub(super) fn seek(&self, query: &[f32]) -> Sought {
        match self {
            Self::F32(_) => Sought::F32(query.to_vec()),
            Self::Int8 { .. } => {
                let (codes, scale) = coded(query);
                Sought::Int8(codes.into_iter().map(i16::from).collect(), scale)
            }
        }
    }

    /// How near the passage at `place` is.
    pub(super) fn score(&self, sought: &Sought, place: usize) -> f32 {
        match (self, sought) {
            (Self::F32(vectors), Sought::F32(query)) => dot(query, row(vectors, query.len(), place)),
            (Self::Int8 { codes, scales }, Sought::Int8(query, scale)) => {
                dot_codes(query, row(codes, query.len(), place)) as f32 * scale * scales[place]
            }
            _ => 0.0,
        }
    }
}

fn row<T>(numbers: &[T], length: usize, place: usize) -> &[T] {
    &numbers[place * length..(place + 1) * length]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: 1 + 4 + ... + 400 = 20 * 21 * 41 / 6.
    #[test]
    fn products_are_sums_of_products() {
        let numbers: Vec<f32> = (1..=20).map(|n| n as f32).collect();
        assert_eq!(dot(&numbers, &numbers), 2870.0);
        assert_eq!(dot_codes(&[127, -3, 5], &[-127, 4, 100]), -16129 - 12 + 500);
    }

    /// By hand: the largest becomes 127 and its scale 4 / 127; -1 becomes round(-31.75); zeros stay zeros.
    #[test]
    fn codes_are_shares_of_the_largest() {
        let (codes, scale) = coded(&[4.0, -1.0, 0.01]);
        assert_eq!(codes, [127, -32, 0]);
        assert!((scale - 4.0 / 127.0).abs() < 1e-9);
        assert_eq!(coded(&[0.0, 0.0]), (vec![0, 0], 0.0));
    }
}
