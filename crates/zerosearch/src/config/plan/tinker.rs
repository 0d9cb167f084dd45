//! The section of a plan about a training server: where it is, and in what it differs from others of its kind.

use serde::{Deserialize, Serialize};
use zerosearch_learner::tinker::{Alpha, Decided, Quirks, Reduction, Wire};

use super::{PresetName, ReductionName, WireName};

/// `[tinker]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tinker {
    /// The server's address.
    pub url: String,
    /// What kind of server it is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub preset: Option<PresetName>,
    /// The server's name of the model; empty where it is `model.path`.
    pub base_model: String,
    /// The environment variable that holds its key.
    pub key_env: String,
    /// Seconds to wait for the answer to a request.
    pub timeout_s: f64,
    /// Seconds to wait for a result.
    pub wait_s: f64,
    /// Tries after the first.
    pub retries: usize,
    /// Samples in flight at once.
    pub concurrency: usize,
    /// How large bodies travel.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub wire: Option<WireName>,
    /// What becomes of the losses of tokens.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reduction: Option<ReductionName>,
    /// Whether each step decides the optimizer's numbers.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub adam_per_step: Option<bool>,
    /// The weight decay that the server always takes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub weight_decay: Option<f64>,
    /// The bound of the gradient's norm that the server always takes; 0 for none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub max_grad_norm: Option<f64>,
    /// The alpha that it gives to every adapter.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub alpha: Option<f64>,
    /// Whether it can train all weights.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub full_training: Option<bool>,
    /// Whether strings end its samples.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stop_strings: Option<bool>,
    /// Whether an end of text does so beside them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stops_at_end: Option<bool>,
    /// Whether it can sample from weights of earlier steps.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub lasting_samplers: Option<bool>,
    /// Whether it can sample from the base model beside the one that trains.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub base_sampling: Option<bool>,
    /// Whether it knows a request again that it was sent before.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub repeatable: Option<bool>,
}

impl Default for Tinker {
    /// No server; the usual patience.
    fn default() -> Self {
        Self {
            url: String::new(),
            preset: None,
            base_model: String::new(),
            key_env: String::new(),
            timeout_s: 60.0,
            wait_s: 1800.0,
            retries: 5,
            concurrency: 64,
            wire: None,
            reduction: None,
            adam_per_step: None,
            weight_decay: None,
            max_grad_norm: None,
            alpha: None,
            full_training: None,
            stop_strings: None,
            stops_at_end: None,
            lasting_samplers: None,
            base_sampling: None,
            repeatable: None,
        }
    }
}

impl Tinker {
    /// The ways of the server: those of its kind, but for what is written; none where no kind is.
    pub fn quirks(&self) -> Option<Quirks> {
        let usual = Quirks::preset(self.preset?.name())?;
        let decided = |written: Option<f64>, usual: Decided| match (written, self.adam_per_step) {
            (Some(always), _) => Decided::Always(always as f32),
            (None, Some(true)) => Decided::PerStep,
            (None, _) => usual,
        };
        Some(Quirks {
            wire: self.wire.map_or(usual.wire, |wire| match wire {
                WireName::Json => Wire::Json,
                WireName::Protobuf => Wire::Protobuf,
            }),
            reduction: self.reduction.map_or(usual.reduction, |reduction| match reduction {
                ReductionName::Sum => Reduction::Sum,
                ReductionName::MeanOfRows => Reduction::MeanOfRows,
            }),
            moments_per_step: self.adam_per_step.unwrap_or(usual.moments_per_step),
            weight_decay: decided(self.weight_decay, usual.weight_decay),
            max_grad_norm: decided(self.max_grad_norm, usual.max_grad_norm),
            alpha: self.alpha.map_or(usual.alpha, Alpha::Fixed),
            full_training: self.full_training.unwrap_or(usual.full_training),
            stop_strings: self.stop_strings.unwrap_or(usual.stop_strings),
            stops_at_end: self.stops_at_end.unwrap_or(usual.stops_at_end),
            lasting_samplers: self.lasting_samplers.unwrap_or(usual.lasting_samplers),
            base_sampling: self.base_sampling.unwrap_or(usual.base_sampling),
            repeatable: self.repeatable.unwrap_or(usual.repeatable),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_wins_over_the_preset() {
        let server = |change: fn(&mut Tinker)| {
            let mut tinker = Tinker { preset: Some(PresetName::SkyRlFsdp), ..Tinker::default() };
            change(&mut tinker);
            tinker.quirks().unwrap()
        };
        let usual = Quirks::preset("skyrl-fsdp").unwrap();
        assert_eq!(server(|_| ()), usual);
        let per_step = server(|it| (it.adam_per_step, it.max_grad_norm) = (Some(true), Some(0.5)));
        let expected = Quirks {
            moments_per_step: true,
            weight_decay: Decided::PerStep,
            max_grad_norm: Decided::Always(0.5),
            ..usual.clone()
        };
        assert_eq!(per_step, expected);
        let other = server(|it| (it.wire, it.base_sampling) = (Some(WireName::Protobuf), Some(true)));
        assert_eq!(other, Quirks { wire: Wire::Protobuf, base_sampling: true, ..usual });
        assert_eq!(Tinker::default().quirks(), None);
    }

    #[test]
    fn every_preset_of_the_client_has_its_name() {
        let names: Vec<&str> = PresetName::NAMES.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, zerosearch_learner::tinker::PRESETS);
    }
}
