//! How is each operation computed, exactly and fast?
//!
//! Every kernel obeys one rule: an output element is summed over its inner dimension in an order fixed by that dimension
//! alone. Which other rows are in the batch, how rows are cut into tiles and how many threads work never changes a
//! bit. Kernels come in one plain body that the compiler turns into code for each instruction set ([`Isa`]); the
//! matrix product in bf16 has a hand-written one for machines with bf16 dot products.

mod adamw;
mod attention;
mod attention_backward;
mod block;
#[cfg(target_arch = "x86_64")]
mod dot;
mod element;
mod exp;
mod isa;
mod logprob;
mod matmul;
mod norm;
mod operand;
mod pack;
mod pair;
mod panels;
mod probe;
mod rotary;
mod stored;
mod strip;
mod swiglu;
mod threads;
mod workspace;

pub(crate) use adamw::{AdamwTerms, adamw};
pub(crate) use attention::{AttentionRow, AttentionShape, WIDEST_HEAD, attention};
pub(crate) use attention_backward::{AttentionGradients, attention_backward};
pub(crate) use block::{BLOCK, KeyValueBlocks};
pub use element::Arithmetic;
pub use isa::Isa;
pub(crate) use logprob::{
    LogSoftmax, RowGradient, STRETCH, log_softmax_and_sums, log_softmax_rows, logits_gradient, weights,
};
pub(crate) use matmul::{Addition, Product, multiply};
pub(crate) use norm::{rms_norm, rms_norm_backward};
pub(crate) use operand::Operand;
pub(crate) use panels::Panels;
pub(crate) use probe::{dot_products, read};
pub(crate) use rotary::{RotaryTable, rotate};
pub(crate) use stored::Stored;
pub(crate) use swiglu::{swiglu, swiglu_backward};
pub use threads::Threads;
pub(crate) use workspace::{Buffer, Workspace};
