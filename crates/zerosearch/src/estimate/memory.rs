//! Memory: what a policy and a simulator take of GPUs, and how many GPUs hold them.
//!
//! ```text
//! each of N GPUs that train all weights   16 P / N [+ 2 P / N] + max(2 P + R / N * C * kv, T * (2 L W + 34 W + 10 V))
//! each that trains an adapter             (2 P + 16 A) / N + the same
//! a simulator's GPUs together             2 S + R * C * kv
//! ```
//!
//! P, A, S are parameters of policy, adapter and simulator; 16 bytes are weights and gradients in 16 bits and weights and two
//! moments in 32 (ZeRO, arXiv 1910.02054, section 3), shared by all GPUs; 2 more are a reference where KL is asked for. R rows
//! are sampled at once, with C tokens each at the end, of kv bytes; T tokens are trained on together: 2 bytes for each of W
//! numbers of L layers are kept, 34 for those of the layer that is computed again (arXiv 2205.05198), 10 for each logit of V.

use anyhow::Result;
use zerosearch_local::ModelConfig;

use super::shape::{BF16, token_bytes};
use super::sheet::{Sheet, amount};
use crate::config::{Cost, Gpu};
use crate::problem::problem;

/// What is trained and sampled.
pub(super) struct Trained<'a> {
    pub(super) shape: &'a ModelConfig,
    /// Parameters of the adapter that is trained in place of the model.
    pub(super) adapter: Option<usize>,
    /// Whether a reference is kept beside it.
    pub(super) reference: bool,
    /// Rows that are sampled at once.
    pub(super) rows: f64,
    /// Tokens of a row at its end.
    pub(super) sequence: f64,
    /// Tokens that are trained on together.
    pub(super) micro_batch: f64,
}

/// Counts of GPUs that are tried: whole nodes hold a power of two.
const MOST: u32 = 12;

impl Trained<'_> {
    /// Bytes on each of `gpus`.
    fn bytes(&self, gpus: f64) -> f64 {
        self.state() / gpus + self.sampling(gpus).max(self.activations())
    }

    fn parameters(&self) -> f64 {
        self.shape.parameters() as f64
    }

    /// What is shared by all.
    fn state(&self) -> f64 {
        match self.adapter {
            None => self.parameters() * if self.reference { 18.0 } else { 16.0 },
            Some(adapter) => BF16 * self.parameters() + 16.0 * adapter as f64,
        }
    }

    fn sampling(&self, gpus: f64) -> f64 {
        BF16 * self.parameters() + (self.rows / gpus).ceil() * self.sequence * token_bytes(self.shape)
    }

    fn activations(&self) -> f64 {
        let ModelConfig { width, layers, vocabulary, .. } = self.shape;
        self.micro_batch * (2 * width * layers + 34 * width + 10 * vocabulary) as f64
    }

    fn state_words(&self) -> String {
        let parameters = amount(self.parameters());
        match self.adapter {
            None if self.reference => format!("(16 + 2 of the reference) bytes x {parameters} parameters"),
            None => format!("16 bytes x {parameters} parameters"),
            Some(adapter) => {
                format!(
                    "2 bytes x {parameters} parameters + 16 bytes x {} of the adapter",
                    amount(adapter as f64)
                )
            }
        }
    }

    /// Puts how many GPUs hold it and what each then holds; says how many.
    ///
    /// # Errors
    /// When `cost.gpus` do not hold it, or no number would.
    pub(super) fn place(&self, cost: &Cost, gpu: &Gpu, sheet: &mut Sheet) -> Result<usize> {
        let room = room(cost, gpu);
        let fits = |gpus: usize| self.bytes(gpus as f64) <= room;
        let count = match cost.gpus {
            0 => (0..=MOST).map(|power| 1 << power).find(|&gpus| fits(gpus)),
            written => Some(written).filter(|&gpus| fits(gpus)),
        };
        let Some(count) = count else {
            let tried = if cost.gpus == 0 { 1 << MOST } else { cost.gpus };
            return Err(too_large("the policy", (self.bytes(tried as f64), room), tried, gpu));
        };
        let gpus = count as f64;
        let state =
            sheet.computed("policy: state of training", (gib(self.state()), "GiB"), self.state_words());
        let sampling = sheet.computed(
            "policy: sampling, a GPU",
            (gib(self.sampling(gpus)), "GiB"),
            format!(
                "2 bytes x {} parameters + {} rows x {} tokens x {} bytes",
                amount(self.parameters()),
                (self.rows / gpus).ceil(),
                amount(self.sequence),
                amount(token_bytes(self.shape))
            ),
        );
        let ModelConfig { width, layers, vocabulary, .. } = self.shape;
        let activations = sheet.computed(
            "policy: activations, a GPU",
            (gib(self.activations()), "GiB"),
            format!(
                "{} tokens x (2 x {width} x {layers} + 34 x {width} + 10 x {vocabulary}) bytes",
                self.micro_batch
            ),
        );
        let from = format!(
            "{} / {count} + max({}, {}), of {} x {} GiB",
            amount(state),
            amount(sampling),
            amount(activations),
            cost.memory_share.value,
            amount(gpu.gib)
        );
        sheet.computed("policy: memory, a GPU", (gib(self.bytes(gpus)), "GiB"), from);
        Ok(count)
    }
}

/// A simulator's rows, each with its prompt and reply.
pub(super) struct Played<'a> {
    pub(super) shape: &'a ModelConfig,
    pub(super) rows: f64,
    pub(super) sequence: f64,
}

impl Played<'_> {
    fn weights(&self) -> f64 {
        BF16 * self.shape.parameters() as f64
    }

    fn kept(&self) -> f64 {
        self.rows * self.sequence * token_bytes(self.shape)
    }

    /// Puts what it takes; says how many GPUs hold one copy, and how many copies there are.
    ///
    /// # Errors
    /// When `cost.simulator_gpus` do not hold it.
    pub(super) fn place(&self, cost: &Cost, gpu: &Gpu, sheet: &mut Sheet) -> Result<(usize, usize)> {
        let room = room(cost, gpu);
        let sizes = (0..=MOST).map(|power| 1usize << power);
        let written = cost.simulator_gpus;
        let bytes = |each: usize, copies: usize| (self.weights() + self.kept() / copies as f64) / each as f64;
        let placed = match written {
            0 => sizes.map(|each| (each, 1)).find(|&(each, copies)| bytes(each, copies) <= room),
            _ => sizes
                .filter(|each| written.is_multiple_of(*each))
                .map(|each| (each, written / each))
                .find(|&(each, copies)| bytes(each, copies) <= room),
        };
        let Some((each, copies)) = placed else {
            let tried = written.max(1);
            return Err(too_large("the simulator", (bytes(tried, 1), room), tried, gpu));
        };
        let from = format!(
            "2 bytes x {} parameters + {} rows x {} tokens x {} bytes / {copies} copies",
            amount(self.shape.parameters() as f64),
            amount(self.rows),
            amount(self.sequence),
            amount(token_bytes(self.shape))
        );
        let all = bytes(each, copies) * each as f64;
        let copy = sheet.computed("simulator: memory, a copy", (gib(all), "GiB"), from);
        let from =
            format!("{} / {each}, of {} x {} GiB", amount(copy), cost.memory_share.value, amount(gpu.gib));
        sheet.computed("simulator: memory, a GPU", (copy / each as f64, "GiB"), from);
        Ok((each, copies))
    }
}

/// Bytes of one GPU that may be used.
fn room(cost: &Cost, gpu: &Gpu) -> f64 {
    cost.memory_share.value * gpu.gib * f64::from(1 << 30)
}

fn too_large(what: &str, (needed, room): (f64, f64), gpus: usize, gpu: &Gpu) -> anyhow::Error {
    problem(format!(
        "{what} does not fit: on {gpus} {} each would hold {} GiB of {} that may be used",
        gpu.name,
        amount(gib(needed)),
        amount(gib(room))
    ))
    .hint(
        "use more GPUs or a kind with more memory (cost.gpus, cost.simulator_gpus, cost.gpu), a smaller \
         model.micro_batch_tokens or rollout.concurrency, or an adapter (adapter.rank)",
    )
    .into()
}

fn gib(bytes: f64) -> f64 {
    bytes / f64::from(1 << 30)
}
