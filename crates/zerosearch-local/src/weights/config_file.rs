//! `config.json`: what `transformers` writes about a model, read with its defaults and written for it.

use std::path::Path;

use serde_json::{Map, Value, json};
use zerosearch_learner::{LearnerError, Result};

use crate::model::config::{Family, Llama3Scaling, ModelConfig};

/// No dimension of a real model is larger; a larger one is a damaged file.
const LARGEST: u64 = 1 << 30;
const MOST_LAYERS: u64 = 1 << 12;

impl ModelConfig {
    /// Reads the content of the `config.json` at `path`, in the spelling of transformers 4 (`rope_theta`,
    /// `rope_scaling`) or 5 (`rope_parameters`). A model that computes anything this program does not know is refused.
    pub fn from_json(path: &Path, json: &Map<String, Value>) -> Result<Self> {
        let file = ConfigFile { path, json };
        let family = file.family()?;
        file.refuse_what_is_not_known(family)?;
        let layers = file.needed("num_hidden_layers", MOST_LAYERS)?;
        let heads = file.needed("num_attention_heads", LARGEST)?;
        let width = file.needed("hidden_size", LARGEST)?;
        let config = Self {
            family,
            vocabulary: file.needed("vocab_size", LARGEST)?,
            width,
            layers,
            heads,
            kv_heads: file.count("num_key_value_heads", LARGEST)?.unwrap_or(heads),
            head_width: file.head_width(family, width, heads)?,
            mlp_width: file.needed("intermediate_size", LARGEST)?,
            norm_epsilon: file.number("rms_norm_eps")?.unwrap_or(1e-6) as f32,
            rope_theta: file.rope_theta()?,
            rope_scaling: file.rope_scaling()?,
            context_length: file.count("max_position_embeddings", LARGEST)?.unwrap_or(match family {
                Family::Llama => 2048,
                Family::Qwen2 | Family::Qwen3 => 32_768,
            }),
            tied_head: file.switch("tie_word_embeddings")?,
            qkv_bias: family == Family::Qwen2,
            qk_norm: family == Family::Qwen3,
        };
        config.check().map_err(|problem| file.refuse(problem))?;
        Ok(config)
    }

    /// The `config.json` of a model that came without one, in both spellings, so that transformers 4 and 5, vLLM and
    /// llama.cpp read it. Types and special tokens are left to the caller.
    pub fn to_json(&self) -> Map<String, Value> {
        let scaling = self.rope_scaling.map(scaling_json);
        let mut parameters = scaling.clone().unwrap_or_else(|| json!({ "rope_type": "default" }));
        parameters["rope_theta"] = json!(self.rope_theta);
        let mut json = super::directory::object(json!({
            "architectures": [self.family.architecture()],
            "model_type": self.family.name(),
            "vocab_size": self.vocabulary,
            "hidden_size": self.width,
            "intermediate_size": self.mlp_width,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_width,
            "hidden_act": "silu",
            "rms_norm_eps": shortest(self.norm_epsilon),
            "max_position_embeddings": self.context_length,
            "rope_theta": self.rope_theta,
            "rope_scaling": scaling,
            "rope_parameters": parameters,
            "tie_word_embeddings": self.tied_head,
            "attention_dropout": 0.0,
            "use_cache": true,
        }));
        match self.family {
            Family::Llama => {
                json.extend([("attention_bias".into(), false.into()), ("mlp_bias".into(), false.into())])
            }
            Family::Qwen2 => json.extend(no_window()),
            Family::Qwen3 => {
                json.insert("attention_bias".into(), false.into());
                json.extend(no_window());
            }
        }
        json
    }
}

fn no_window() -> [(String, Value); 2] {
    [("use_sliding_window".into(), false.into()), ("sliding_window".into(), Value::Null)]
}

fn scaling_json(scaling: Llama3Scaling) -> Value {
    json!({
        "rope_type": "llama3",
        "factor": shortest(scaling.factor),
        "low_freq_factor": shortest(scaling.low_freq_factor),
        "high_freq_factor": shortest(scaling.high_freq_factor),
        "original_max_position_embeddings": scaling.original_context,
    })
}

/// The shortest decimal number that is `number` in 32 bits: 1e-5, not 9.999999747378752e-6.
fn shortest(number: f32) -> f64 {
    number.to_string().parse().unwrap_or(f64::from(number))
}

/// A `config.json` being read.
struct ConfigFile<'a> {
    path: &'a Path,
    json: &'a Map<String, Value>,
}

impl ConfigFile<'_> {
    fn refuse(&self, problem: impl Into<String>) -> LearnerError {
        LearnerError::bad_model(self.path, problem)
    }

    /// A key's value; `null` counts as not given, as it does for transformers.
    fn get(&self, key: &str) -> Option<&Value> {
        self.json.get(key).filter(|value| !value.is_null())
    }

    fn count(&self, key: &str, largest: u64) -> Result<Option<usize>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match value.as_u64() {
            Some(count) if (1..=largest).contains(&count) => Ok(Some(count as usize)),
            _ => {
                Err(self.refuse(format!("`{key}` is {value}; it must be a whole number from 1 to {largest}")))
            }
        }
    }

    fn needed(&self, key: &str, largest: u64) -> Result<usize> {
        self.count(key, largest)?.ok_or_else(|| self.refuse(format!("`{key}` is missing")))
    }

    fn number(&self, key: &str) -> Result<Option<f64>> {
        self.get(key).map(|value| self.positive(key, value)).transpose()
    }

    fn positive(&self, key: &str, value: &Value) -> Result<f64> {
        let number = value.as_f64().filter(|number| *number > 0.0 && number.is_finite());
        number.ok_or_else(|| self.refuse(format!("`{key}` is {value}; it must be a number above 0")))
    }

    fn switch(&self, key: &str) -> Result<bool> {
        match self.get(key) {
            None => Ok(false),
            Some(Value::Bool(on)) => Ok(*on),
            Some(value) => Err(self.refuse(format!("`{key}` is {value}; it must be true or false"))),
        }
    }

    fn family(&self) -> Result<Family> {
        let known = Family::ALL.map(Family::name).join(", ");
        let Some(kind) = self.get("model_type").and_then(Value::as_str) else {
            return Err(self.refuse(format!("`model_type` is missing; known are {known}")));
        };
        let family = Family::ALL.into_iter().find(|family| family.name() == kind).ok_or_else(|| {
            self.refuse(format!(
                "models of type `{kind}` are not supported; known are {known} (SmolLM2 is a llama)"
            ))
        })?;
        let architectures = self.get("architectures").and_then(Value::as_array);
        let Some(architectures) = architectures.filter(|list| !list.is_empty()) else { return Ok(family) };
        if architectures.iter().any(|name| name == family.architecture()) {
            return Ok(family);
        }
        let names: Vec<String> = architectures.iter().map(Value::to_string).collect();
        Err(self.refuse(format!(
            "`architectures` says {}; of this type only {} is supported",
            names.join(", "),
            family.architecture()
        )))
    }

    fn refuse_what_is_not_known(&self, family: Family) -> Result<()> {
        if let Some(activation) = self.get("hidden_act").filter(|name| *name != "silu" && *name != "swish") {
            return Err(self.refuse(format!("`hidden_act` is {activation}; only \"silu\" is supported")));
        }
        for key in ["attention_bias", "mlp_bias"] {
            if family != Family::Qwen2 && self.switch(key)? {
                return Err(self.refuse(format!(
                    "`{key}` is true; of biases only those of qwen2 (queries, keys and values) are supported"
                )));
            }
        }
        for key in ["num_experts", "num_local_experts", "n_routed_experts"] {
            if let Some(value) = self.get(key).filter(|value| value.as_u64() != Some(0)) {
                return Err(self.refuse(format!("`{key}` is {value}: mixtures of experts are not supported")));
            }
        }
        if self.get("quantization_config").is_some() {
            return Err(self.refuse(
                "`quantization_config` is given: quantised weights are read from GGUF files only; use the original \
                 model or a GGUF of it",
            ));
        }
        if let Some(share) = self.get("partial_rotary_factor").filter(|share| share.as_f64() != Some(1.0)) {
            return Err(
                self.refuse(format!("`partial_rotary_factor` is {share}; only whole heads are turned here"))
            );
        }
        self.refuse_windows(family)
    }

    /// Attention that sees only the last tokens. Qwen configurations carry a window that is switched off.
    fn refuse_windows(&self, family: Family) -> Result<()> {
        let layers = self.get("num_hidden_layers").and_then(Value::as_u64).unwrap_or(0);
        let kinds = self.get("layer_types").and_then(Value::as_array);
        let windowed = match kinds {
            Some(kinds) => kinds.iter().any(|kind| kind != "full_attention"),
            None => {
                let first = self.get("max_window_layers").and_then(Value::as_u64).unwrap_or(28);
                family != Family::Llama
                    && self.switch("use_sliding_window")?
                    && self.json.get("sliding_window").is_none_or(|window| !window.is_null())
                    && first < layers
            }
        };
        match windowed {
            true => Err(self.refuse(
                "it uses attention in a sliding window (`use_sliding_window`, `layer_types`), which is not supported",
            )),
            false => Ok(()),
        }
    }

    fn head_width(&self, family: Family, width: usize, heads: usize) -> Result<usize> {
        match (self.count("head_dim", LARGEST)?, family) {
            (Some(given), _) => Ok(given),
            (None, Family::Qwen3) => Ok(128),
            (None, _) if width.is_multiple_of(heads) => Ok(width / heads),
            (None, _) => Err(self.refuse(format!(
                "`hidden_size` {width} cannot be cut into {heads} heads, and `head_dim` is missing"
            ))),
        }
    }

    /// What describes rotary positions: the new key, or the old one, which had the base beside it.
    fn rope(&self) -> Option<&Value> {
        self.get("rope_parameters").or_else(|| self.get("rope_scaling"))
    }

    fn rope_theta(&self) -> Result<f64> {
        let inside = self.rope().and_then(|rope| rope.get("rope_theta")).filter(|value| !value.is_null());
        match inside {
            Some(value) => self.positive("rope_theta", value),
            None => Ok(self.number("rope_theta")?.unwrap_or(10_000.0)),
        }
    }

    fn rope_scaling(&self) -> Result<Option<Llama3Scaling>> {
        let Some(rope) = self.rope() else { return Ok(None) };
        let kind = rope.get("rope_type").or_else(|| rope.get("type")).unwrap_or(&Value::Null);
        match kind.as_str() {
            Some("default") => Ok(None),
            None if kind.is_null() && rope.as_object().is_some_and(|rope| rope.keys().all(|key| key == "rope_theta")) => {
                Ok(None)
            }
            Some("llama3") => self.llama3(rope).map(Some),
            _ => Err(self.refuse(format!(
                "positions are scaled by {kind}; only \"default\" and \"llama3\" are supported (a \"yarn\" that only \
                 lengthens the context can be taken out of the file)"
            ))),
        }
    }

    fn llama3(&self, rope: &Value) -> Result<Llama3Scaling> {
        let number = |key: &str| self.positive(key, rope.get(key).unwrap_or(&Value::Null));
        let (low, high) = (number("low_freq_factor")?, number("high_freq_factor")?);
        if low >= high {
            return Err(
                self.refuse(format!("`low_freq_factor` {low} must be below `high_freq_factor` {high}"))
            );
        }
        Ok(Llama3Scaling {
            factor: number("factor")? as f32,
            low_freq_factor: low as f32,
            high_freq_factor: high as f32,
            original_context: number("original_max_position_embeddings")? as usize,
        })
    }
}

#[cfg(test)]
#[path = "config_file_tests.rs"]
mod tests;
