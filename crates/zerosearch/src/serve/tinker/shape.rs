//! A shape: what of a model trains.

use serde::{Deserialize, Serialize};
use zerosearch_learner::tinker::wire::{LoraConfig, OptimizerConfig};

use super::super::refusal::Refusal;
use crate::config::{Adapter, AdapterTarget};

/// All weights, or an adapter of which parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Shape {
    /// Rank of the adapter; 0 for none: all weights train.
    pub(super) rank: usize,
    pub(super) train_attn: bool,
    pub(super) train_mlp: bool,
    pub(super) train_unembed: bool,
}

/// What an adapter's factors are multiplied by is this over the rank, always.
const ALPHA: f64 = 32.0;

impl Shape {
    /// What a client wants to train.
    pub(super) fn of(lora: Option<&LoraConfig>) -> Result<Self, Refusal> {
        let whole = Self { rank: 0, train_attn: true, train_mlp: true, train_unembed: true };
        let Some(lora) = lora.filter(|lora| lora.rank > 0) else { return Ok(whole) };
        let LoraConfig { rank, train_attn, train_mlp, train_unembed, .. } = *lora;
        if !(train_attn || train_mlp || train_unembed) {
            let message = "an adapter of nothing was asked for; let one of train_attn, train_mlp and train_unembed be true";
            return Err(Refusal::bad(message).about("lora_config"));
        }
        Ok(Self { rank, train_attn, train_mlp, train_unembed })
    }

    /// The adapter that trains, if the model itself does not.
    pub(super) fn adapter(self) -> Adapter {
        use AdapterTarget::{Down, Gate, Head, Key, Output, Query, Up, Value};
        let parts = [
            (self.train_attn, &[Query, Key, Value, Output][..]),
            (self.train_mlp, &[Gate, Up, Down]),
            (self.train_unembed, &[Head]),
        ];
        let targets = parts.iter().filter(|part| part.0).flat_map(|part| part.1).copied().collect();
        match self.rank {
            0 => Adapter::default(),
            rank => Adapter { rank, alpha: ALPHA, targets, ..Adapter::default() },
        }
    }

    pub(super) fn is_adapter(self) -> bool {
        self.rank > 0
    }

    /// In words.
    pub(super) fn words(self) -> String {
        if !self.is_adapter() {
            return "all weights".into();
        }
        let parts = [
            (self.train_attn, "attention"),
            (self.train_mlp, "feed-forward parts"),
            (self.train_unembed, "head"),
        ];
        let parts: Vec<&str> = parts.iter().filter(|part| part.0).map(|part| part.1).collect();
        format!("an adapter of rank {} of {}", self.rank, parts.join(", "))
    }
}

/// Refuses every optimizer but AdamW.
pub(super) fn check_optimizer(wanted: Option<&OptimizerConfig>) -> Result<(), Refusal> {
    match wanted {
        Some(other) if other.r#type != "adamw" => {
            let message = format!("there is no optimizer {:?} here; this server has adamw", other.r#type);
            Err(Refusal::bad(message).about("optimizer_config").coded("unsupported_parameter"))
        }
        _ => Ok(()),
    }
}
