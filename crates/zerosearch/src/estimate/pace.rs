//! A pace: how long machines read, decode and train, by what they can compute and what they can read.

use super::sheet::amount;

/// Machines that hold one copy of a model together, and how many such copies there are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Machines {
    /// Operations that the machines of one copy do in a second, as far as they reach them.
    pub(super) flops: f64,
    /// Bytes that they read in a second, as far as they reach them.
    pub(super) bytes: f64,
    /// Copies.
    pub(super) copies: f64,
}

/// A model as it is computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Model {
    /// Its numbers. A token costs two operations for each, forwards.
    pub(super) parameters: f64,
    /// Bytes of its weights.
    pub(super) bytes: f64,
    /// Bytes of the keys and values of one token.
    pub(super) token_bytes: f64,
}

/// Rows that are decoded together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rows {
    /// How many, over all copies.
    pub(super) count: f64,
    /// Tokens that each has behind it, on average.
    pub(super) behind: f64,
}

/// Seconds and what they are made of.
pub(super) type Told = (f64, String);

impl Machines {
    /// How long `tokens` take at `per_parameter` operations for each number of `model`.
    pub(super) fn compute(&self, tokens: f64, per_parameter: f64, model: &Model) -> Told {
        let seconds = tokens * per_parameter * model.parameters / (self.flops * self.copies);
        let from = format!(
            "{} tokens x {per_parameter} x {} parameters / {} TFLOP/s",
            amount(tokens),
            amount(model.parameters),
            amount(self.flops * self.copies / 1e12)
        );
        (seconds, from)
    }

    /// Tokens that all copies decode in a second: each step reads the weights and what is behind its rows once, and computes a
    /// token for each row; the slower of both counts.
    pub(super) fn decoding(&self, model: &Model, rows: Rows) -> Told {
        let each = (rows.count / self.copies).max(1.0);
        let bytes = model.bytes + each * rows.behind * model.token_bytes;
        let (read, computed) = (each * self.bytes / bytes, self.flops / (2.0 * model.parameters));
        let from = if read <= computed {
            format!(
                "{} rows x {} GB/s / ({} GB weights + {} GB keys and values), {} copies",
                amount(each),
                amount(self.bytes / 1e9),
                amount(model.bytes / 1e9),
                amount((bytes - model.bytes) / 1e9),
                self.copies
            )
        } else {
            format!(
                "{} TFLOP/s / (2 x {} parameters), {} copies",
                amount(self.flops / 1e12),
                amount(model.parameters),
                self.copies
            )
        };
        (read.min(computed) * self.copies, from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A model of 10 parameters in 20 bytes whose tokens hold 2.
    const MODEL: Model = Model { parameters: 10.0, bytes: 20.0, token_bytes: 2.0 };

    /// By hand: 30 tokens x 8 x 10 / (100 x 2) = 12 s.
    #[test]
    fn computing_is_shared_by_the_copies() {
        let machines = Machines { flops: 100.0, bytes: 1.0, copies: 2.0 };
        assert_eq!(machines.compute(30.0, 8.0, &MODEL).0, 12.0);
    }

    /// By hand, of 8 rows on 2 copies with 10 tokens behind each: a step reads 20 + 4 x 10 x 2 = 100 bytes, so at 50 bytes/s 4 rows
    /// take 2 s: 2 tokens/s a copy, 4 in all. With 1,000 times the bandwidth 30 operations/s bound it: 30 / 20 a copy, 3 in all.
    #[test]
    fn decoding_is_as_fast_as_reading_or_computing_allows() {
        let rows = Rows { count: 8.0, behind: 10.0 };
        let slow = Machines { flops: 1e9, bytes: 50.0, copies: 2.0 };
        assert_eq!(slow.decoding(&MODEL, rows).0, 4.0);
        let fast = Machines { flops: 30.0, bytes: 50_000.0, copies: 2.0 };
        let (rate, from) = fast.decoding(&MODEL, rows);
        assert_eq!(rate, 3.0);
        assert!(from.contains("2 x 10 parameters"), "{from}");
    }
}
