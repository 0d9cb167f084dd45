//! Quirks: what servers of the same protocol do differently, as far as it changes what is computed.

use super::wire::{JSON, PROTOBUF};
use crate::{Adam, LearnerError, Result};

/// In what form large bodies travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// As text; for servers of before protobuf.
    Json,
    /// As little-endian arrays.
    Protobuf,
}

impl Wire {
    /// The media type that results are asked for in.
    pub(super) fn media(self) -> &'static str {
        match self {
            Self::Json => JSON,
            Self::Protobuf => PROTOBUF,
        }
    }
}

/// What a server makes of the losses of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// Their sum.
    Sum,
    /// The mean of each row, and the mean of those over all rows since the last step.
    MeanOfRows,
}

/// Who decides a number of the optimizer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Decided {
    /// Each step, as it is asked for.
    PerStep,
    /// The server, which always takes this.
    Always(f32),
}

/// What the factors of every new adapter are multiplied by, times its rank.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Alpha {
    /// This, whatever the rank.
    Fixed(f64),
    /// So many times the rank.
    OfRank(f64),
}

impl Alpha {
    /// For an adapter of `rank`.
    pub fn at(self, rank: usize) -> f64 {
        match self {
            Self::Fixed(alpha) => alpha,
            Self::OfRank(times) => times * rank as f64,
        }
    }
}

/// Everything in which servers differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Quirks {
    /// How large bodies travel.
    pub wire: Wire,
    /// How the losses of tokens become one.
    pub reduction: Reduction,
    /// The decays of both moments, and epsilon. Where the server decides, they are those of `torch.optim.AdamW`.
    pub moments_per_step: bool,
    /// Weight decay.
    pub weight_decay: Decided,
    /// The bound of the gradient's norm; 0 for none.
    pub max_grad_norm: Decided,
    /// The strength of new adapters.
    pub alpha: Alpha,
    /// Whether all weights can be trained (rank 0).
    pub full_training: bool,
    /// Whether a string ends a sample the moment it is complete. Where not, samples are cut here, afterwards.
    pub stop_strings: bool,
    /// Whether an end of text ends a sample although strings were given to stop at.
    pub stops_at_end: bool,
    /// Whether weights that were made ready for sampling are sampled from after later steps, unchanged.
    pub lasting_samplers: bool,
    /// Whether the base model can be sampled from beside the one that trains.
    pub base_sampling: bool,
    /// Whether a request with the number of an earlier one is not carried out again.
    pub repeatable: bool,
}

/// Names of servers that [`Quirks::preset`] knows.
pub const PRESETS: [&str; 6] = ["hosted", "skyrl-jax", "skyrl-fsdp", "skyrl-megatron", "tuft", "zerosearch"];

impl Quirks {
    /// Those of a server that is known by name.
    pub fn preset(name: &str) -> Option<Self> {
        match name {
            "hosted" => Some(Self::hosted()),
            "skyrl-jax" => Some(Self::skyrl_jax()),
            "skyrl-fsdp" | "skyrl-megatron" => Some(Self::skyrl_torch()),
            "tuft" => Some(Self::tuft()),
            "zerosearch" => Some(Self { full_training: true, ..Self::hosted() }),
            _ => None,
        }
    }

    fn hosted() -> Self {
        Self {
            wire: Wire::Protobuf,
            reduction: Reduction::Sum,
            moments_per_step: true,
            weight_decay: Decided::PerStep,
            max_grad_norm: Decided::PerStep,
            alpha: Alpha::Fixed(32.0),
            full_training: false,
            stop_strings: true,
            stops_at_end: false,
            lasting_samplers: true,
            base_sampling: true,
            repeatable: true,
        }
    }

    /// Its weight decay would shrink the adapters of everybody on the server, and a sampler of old weights writes them over
    /// those that train.
    fn skyrl_jax() -> Self {
        Self {
            wire: Wire::Json,
            reduction: Reduction::MeanOfRows,
            weight_decay: Decided::Always(0.0),
            max_grad_norm: Decided::Always(0.0),
            stop_strings: false,
            lasting_samplers: false,
            repeatable: false,
            ..Self::hosted()
        }
    }

    fn skyrl_torch() -> Self {
        Self {
            wire: Wire::Json,
            moments_per_step: false,
            weight_decay: Decided::Always(0.01),
            max_grad_norm: Decided::Always(1.0),
            full_training: true,
            stops_at_end: true,
            lasting_samplers: false,
            base_sampling: false,
            repeatable: false,
            ..Self::hosted()
        }
    }

    fn tuft() -> Self {
        Self { alpha: Alpha::OfRank(2.0), stops_at_end: true, repeatable: false, ..Self::hosted() }
    }

    /// Refuses numbers that a step would not honour. `rank` 0 is training of all weights.
    pub fn check_adam(&self, adam: &Adam, rank: usize) -> Result<()> {
        let usual = Adam::default();
        let moments = [
            ("beta1", adam.beta1, usual.beta1),
            ("beta2", adam.beta2, usual.beta2),
            ("epsilon", adam.epsilon, usual.epsilon),
        ];
        for (name, asked, always) in moments {
            if !self.moments_per_step && asked != always {
                return Err(not_honoured(name, asked, always));
            }
        }
        let bound = adam.max_grad_norm.unwrap_or(0.0);
        for (name, asked, decided) in [
            ("weight_decay", adam.weight_decay, self.weight_decay),
            ("max_grad_norm", bound, self.max_grad_norm),
        ] {
            match decided {
                Decided::Always(always) if asked != always => return Err(not_honoured(name, asked, always)),
                Decided::Always(_) | Decided::PerStep => {}
            }
        }
        if rank == 0 && adam.weight_decay != 0.0 && !adam.decay_all {
            return Err(LearnerError::Unsupported(
                "optimizer.decay_all = false: the server decays norms and biases too; set it to true, or \
                 optimizer.weight_decay to 0"
                    .into(),
            ));
        }
        Ok(())
    }

    /// Refuses a rank that the server cannot train.
    pub(super) fn check_rank(&self, rank: usize) -> Result<()> {
        if rank > 0 || self.full_training {
            return Ok(());
        }
        Err(LearnerError::Unsupported(
            "adapter.rank = 0: the server trains adapters and no whole models; give a rank, for example 16"
                .into(),
        ))
    }
}

fn not_honoured(name: &str, asked: f32, always: f32) -> LearnerError {
    LearnerError::Unsupported(format!(
        "optimizer.{name} = {asked}: the server always takes {always}; set it to {always}, or say in [tinker] what your server \
         does"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> Adam {
        Adam { weight_decay: 0.0, max_grad_norm: None, ..Adam::default() }
    }

    fn why(preset: &str, adam: &Adam, rank: usize) -> Option<String> {
        Quirks::preset(preset).unwrap().check_adam(adam, rank).err().map(|error| error.to_string())
    }

    #[test]
    fn numbers_that_a_server_would_change_are_refused_by_name() {
        assert_eq!(why("skyrl-jax", &plain(), 8), None);
        assert_eq!(why("hosted", &Adam { beta2: 0.95, ..Adam::default() }, 8), None);
        // The defaults of the program are those of the torch backends.
        for name in ["skyrl-fsdp", "skyrl-megatron"] {
            assert_eq!(why(name, &Adam::default(), 8), None);
        }
        for (preset, adam, key) in [
            ("skyrl-jax", Adam { weight_decay: 0.01, ..plain() }, "optimizer.weight_decay = 0.01"),
            ("skyrl-jax", Adam { max_grad_norm: Some(1.0), ..plain() }, "optimizer.max_grad_norm = 1"),
            ("skyrl-fsdp", Adam { beta2: 0.95, ..Adam::default() }, "optimizer.beta2 = 0.95"),
            ("skyrl-fsdp", Adam { epsilon: 1e-12, ..Adam::default() }, "optimizer.epsilon"),
            ("skyrl-megatron", plain(), "optimizer.weight_decay = 0"),
            ("skyrl-fsdp", Adam { max_grad_norm: None, ..Adam::default() }, "optimizer.max_grad_norm = 0"),
        ] {
            let said = why(preset, &adam, 8).unwrap_or_default();
            assert!(said.starts_with(key), "`{said}` for `{key}` on {preset}");
        }
    }

    #[test]
    fn whole_models_decay_whole_and_only_where_they_can_be_trained() {
        let said = why("skyrl-fsdp", &Adam::default(), 0).unwrap_or_default();
        assert!(said.starts_with("optimizer.decay_all"), "{said}");
        assert_eq!(why("skyrl-fsdp", &Adam { decay_all: true, ..Adam::default() }, 0), None);
        for name in PRESETS {
            let quirks = Quirks::preset(name).unwrap();
            assert_eq!(quirks.check_rank(0).is_ok(), quirks.full_training, "{name}");
            assert!(quirks.check_rank(1).is_ok());
        }
        assert_eq!(Quirks::preset("skyrl"), None);
    }
}
