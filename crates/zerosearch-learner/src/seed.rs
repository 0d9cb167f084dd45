//! Seeds: every random draw of a run is a pure function of where in the run it happens.
//!
//! A [`Seed`] is narrowed step by step (`run -> step -> question -> member -> turn -> purpose`); the number that comes
//! out feeds a counter-based generator (ChaCha), so that no draw depends on what was drawn elsewhere before it.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// A place in the tree of random draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(u64);

impl Seed {
    /// The root: the seed that the user gave.
    pub fn run(seed: u64) -> Self {
        Self(mix(seed ^ 0x7a65_726f_7365_6172))
    }

    /// The branch named `purpose` (a word such as "shuffle" or "coin").
    #[must_use]
    pub fn purpose(self, purpose: &str) -> Self {
        purpose.bytes().fold(self.index(purpose.len() as u64), |seed, byte| seed.index(u64::from(byte)))
    }

    /// The branch numbered `index` (a step, a question, a member, a turn).
    #[must_use]
    pub fn index(self, index: u64) -> Self {
        Self(mix(self.0.rotate_left(25) ^ mix(index.wrapping_add(0x9e37_79b9_7f4a_7c15))))
    }

    /// The seed as a number, for a request or a record.
    pub fn number(self) -> u64 {
        self.0
    }

    /// A generator that starts here.
    pub fn generator(self) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(self.0)
    }
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014): a bijection of 64 bits that leaves no visible structure.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_depends_on_its_whole_path() {
        let run = Seed::run(1);
        let numbers = [
            run.number(),
            Seed::run(2).number(),
            run.index(0).number(),
            run.index(1).number(),
            run.index(0).index(1).number(),
            run.index(1).index(0).number(),
            run.purpose("coin").number(),
            run.purpose("shuffle").number(),
        ];
        let distinct: std::collections::HashSet<u64> = numbers.into_iter().collect();
        assert_eq!(distinct.len(), numbers.len());
        assert_eq!(Seed::run(1).index(3).purpose("coin"), Seed::run(1).index(3).purpose("coin"));
    }
}
