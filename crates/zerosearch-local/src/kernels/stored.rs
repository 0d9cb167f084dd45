//! Numbers put away for later, rounded to what an arithmetic stores: bf16 takes half the room.

use super::element::Arithmetic;
use super::isa::{Isa, for_each_isa};
use super::pack::narrow_row;
use super::pair::Pair;
use super::threads::Threads;
use super::workspace::Buffer;

/// Pairs of one item of work.
const CHUNK: usize = 8192;

/// Numbers as their arithmetic stores them.
pub(crate) enum Stored {
    /// As they are.
    Exact(Buffer),
    /// Rounded to bf16, two in each word.
    Rounded(Buffer),
}

impl Stored {
    /// Puts `numbers`, of which there is an even number, away.
    pub(crate) fn of(arithmetic: Arithmetic, numbers: Buffer, (isa, threads): (Isa, &Threads)) -> Self {
        assert!(numbers.len().is_multiple_of(2), "numbers go in pairs");
        if arithmetic == Arithmetic::F32 {
            return Self::Exact(numbers);
        }
        let mut words = threads.kept().take(numbers.len() / 2);
        threads.each_chunk(words.numbers_mut::<Pair>(), CHUNK, |index, pairs| {
            narrow_row(isa, &numbers[index * 2 * CHUNK..][..2 * pairs.len()], pairs);
        });
        Self::Rounded(words)
    }

    /// Writes the numbers from `first` on, which is even, into `to`, whose length is even.
    pub(super) fn read(&self, isa: Isa, first: usize, to: &mut [f32]) {
        match self {
            Self::Exact(numbers) => to.copy_from_slice(&numbers[first..][..to.len()]),
            Self::Rounded(words) => widen(isa, &words.numbers()[first / 2..][..to.len() / 2], to),
        }
    }
}

for_each_isa! {
    fn widen(from: &[Pair], to: &mut [f32]) = widen_body;
}

#[inline(always)]
fn widen_body<const FUSED: bool>(from: &[Pair], to: &mut [f32]) {
    for (to, pair) in to.as_chunks_mut::<2>().0.iter_mut().zip(from) {
        *to = [pair.first(), pair.second()];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The arithmetic's own rounding is the expected value; three chunks, the last one short.
    #[test]
    fn what_is_put_away_comes_back_rounded() {
        let threads = Threads::new(2);
        let mut numbers = threads.workspace().take(4 * CHUNK + 38);
        numbers.iter_mut().enumerate().for_each(|(at, number)| *number = (at as f32 - 999.0) / 7.0);
        for isa in Isa::ALL.into_iter().filter(|isa| isa.available()) {
            for arithmetic in [Arithmetic::Bf16, Arithmetic::F32] {
                let stored = Stored::of(arithmetic, threads.workspace().copy_of(&numbers), (isa, &threads));
                for (first, length) in [(0, numbers.len()), (2 * CHUNK - 6, 50)] {
                    let mut expected = numbers[first..][..length].to_vec();
                    arithmetic.round(&mut expected);
                    let mut back = vec![0.0; length];
                    stored.read(isa, first, &mut back);
                    assert_eq!(back, expected, "{isa} {arithmetic} from {first}");
                }
            }
        }
    }
}
