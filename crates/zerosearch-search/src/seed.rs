//! Seeds inside one search call: every draw is a pure function of the query's seed and what the draw is for.

/// What a draw is for; no two purposes share a stream.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    /// The sampling of one write: (document or label, try).
    Write,
    /// The jitter of a pause between tries.
    Pause,
    /// The choices of the scripted engine.
    Script,
    /// The vectors from which clusters begin.
    Clusters,
}

/// The draw numbered `index` for `purpose` under `seed`.
pub(crate) fn draw(seed: u64, purpose: Purpose, index: u64) -> u64 {
    let place = mix(index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ mix(purpose as u64 + 1));
    mix(seed ^ place.rotate_left(23))
}

/// The same as a number in [0, 1).
pub(crate) fn draw_unit(seed: u64, purpose: Purpose, index: u64) -> f64 {
    // 53 bits: every value is exact in f64.
    (draw(seed, purpose, index) >> 11) as f64 / (1_u64 << 53) as f64
}

/// SplitMix64's finaliser (Steele, Lea and Flood, 2014): a bijection that spreads every input bit.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_differ_by_seed_purpose_and_index_and_repeat() {
        assert_eq!(draw(7, Purpose::Write, 3), draw(7, Purpose::Write, 3));
        let all = [
            draw(7, Purpose::Write, 3),
            draw(8, Purpose::Write, 3),
            draw(7, Purpose::Pause, 3),
            draw(7, Purpose::Write, 4),
        ];
        let distinct: std::collections::BTreeSet<u64> = all.into_iter().collect();
        assert_eq!(distinct.len(), all.len());
    }

    /// A fair generator's mean of 10,000 draws lies within 5 standard errors (0.289 / 100) of one half.
    #[test]
    fn unit_draws_fill_the_unit_interval() {
        let draws: Vec<f64> = (0..10_000).map(|i| draw_unit(1, Purpose::Pause, i)).collect();
        assert!(draws.iter().all(|&u| (0.0..1.0).contains(&u)));
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        assert!((mean - 0.5).abs() < 5.0 * 0.00289, "{mean}");
    }
}
