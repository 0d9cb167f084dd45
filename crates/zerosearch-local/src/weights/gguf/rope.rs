//! Rotary scaling: the stretched positions of Llama 3, recovered from the factors that a GGUF file stores.

use std::f64::consts::TAU;

use zerosearch_learner::Result;

use super::config::Keys;
use super::header::Header;
use crate::model::config::Llama3Scaling;

/// The tensor of factors: one for each pair of a head, by which the pair's frequency is divided.
const FACTORS: &str = "rope_freqs.weight";
/// Stored factors are 32-bit floats of numbers computed in 32 bits.
const TOLERANCE: f64 = 1e-4;

/// The scaling of the file's model, if any. Every kind but that of Llama 3 is refused.
pub(super) fn scaling(
    header: &Header<'_>,
    keys: &Keys<'_>,
    head_width: usize,
) -> Result<Option<Llama3Scaling>> {
    refuse_other_kinds(keys)?;
    let Some(tensor) = header.tensors.iter().find(|tensor| tensor.name == FACTORS) else {
        return Ok(None);
    };
    let stored: Vec<f64> =
        tensor.encoding.decode(header.bytes_of(tensor)).into_iter().map(f64::from).collect();
    if tensor.shape != [head_width / 2] {
        return Err(keys
            .metadata
            .refuse(format!("tensor `{FACTORS}` does not have one factor for each pair of a head")));
    }
    if stored.iter().all(|&factor| factor == 1.0) {
        return Ok(None);
    }
    let theta = keys.number("rope.freq_base")?.unwrap_or(10_000.0);
    recover(&stored, theta).map(Some).ok_or_else(|| {
        keys.metadata.refuse(format!(
            "the factors in tensor `{FACTORS}` are not those of Llama 3; use the Hugging Face directory of this model"
        ))
    })
}

fn refuse_other_kinds(keys: &Keys<'_>) -> Result<()> {
    let key = keys.name("rope.scaling.type");
    match keys.metadata.text(&key)? {
        None | Some("none") => {}
        Some(other) => {
            return Err(keys.metadata.refuse(format!(
                "`{key}` is `{other}`, which is not supported; only unscaled positions and those of Llama 3 are"
            )));
        }
    }
    for key in ["rope.scaling.factor", "rope.scale_linear"] {
        if let Some(factor) = keys.number(key)?.filter(|&factor| factor != 0.0 && factor != 1.0) {
            return Err(keys.metadata.refuse(format!(
                "`{}` is {factor}: linearly scaled positions are not supported",
                keys.name(key)
            )));
        }
    }
    Ok(())
}

/// The scaling that gives these factors. All released models of Llama 3.1 and later differ in `factor` alone, and the
/// lowest frequency is divided by all of it.
fn recover(stored: &[f64], theta: f64) -> Option<Llama3Scaling> {
    let &factor = stored.last()?;
    let expected = (0..stored.len()).map(|pair| llama3_factor(pair, stored.len(), theta, factor));
    let close = |(stored, expected): (&f64, f64)| (stored - expected).abs() <= TOLERANCE * expected;
    stored.iter().zip(expected).all(close).then_some(Llama3Scaling {
        factor: factor as f32,
        low_freq_factor: LOW as f32,
        high_freq_factor: HIGH as f32,
        original_context: ORIGINAL_CONTEXT as usize,
    })
}

const LOW: f64 = 1.0;
const HIGH: f64 = 4.0;
const ORIGINAL_CONTEXT: f64 = 8192.0;

/// What Llama 3 divides the frequency of a pair by: 1 for short waves, `factor` for long ones, a blend between.
///
/// ```text
/// wave = 2 pi theta^(pair / pairs),   s = (context / wave - low) / (high - low) clamped to [0, 1]
/// 1 / ((1 - s) / factor + s)
/// ```
fn llama3_factor(pair: usize, pairs: usize, theta: f64, factor: f64) -> f64 {
    let wave = TAU * theta.powf(pair as f64 / pairs as f64);
    let blend = ((ORIGINAL_CONTEXT / wave - LOW) / (HIGH - LOW)).clamp(0.0, 1.0);
    1.0 / ((1.0 - blend) / factor + blend)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Llama 3.2 1B: 32 pairs, theta 500000, factor 32. By hand, pair 0 has a wave of 2 pi tokens, far below 8192 / 4, and
    /// pair 31 one of 2 pi * 500000^(31/32) = 2.1 million, far above 8192. Pair 16: 2 pi * sqrt(500000) = 4442.88, so
    /// s = (8192 / 4442.88 - 1) / 3 = 0.281283 and the factor is 1 / (0.718717 / 32 + 0.281283) = 3.292262.
    #[test]
    fn factors_follow_the_formula() {
        assert_eq!(llama3_factor(0, 32, 500_000.0, 32.0), 1.0);
        assert_eq!(llama3_factor(31, 32, 500_000.0, 32.0), 32.0);
        assert!((llama3_factor(16, 32, 500_000.0, 32.0) - 3.292_262).abs() < 1e-5);
    }

    #[test]
    fn factors_of_llama_3_are_recognised_and_others_are_not() {
        let mut stored: Vec<f64> =
            (0..32).map(|pair| f64::from(llama3_factor(pair, 32, 500_000.0, 8.0) as f32)).collect();
        let found = recover(&stored, 500_000.0).unwrap();
        assert_eq!((found.factor, found.original_context), (8.0, 8192));
        stored[16] *= 1.01;
        assert!(recover(&stored, 500_000.0).is_none());
        assert!(recover(&[], 500_000.0).is_none());
    }
}
