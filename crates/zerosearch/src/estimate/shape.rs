//! A shape: the dimensions of a model, known by its name or read from its `config.json`, without its weights.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Map, Value};
use zerosearch_local::{Family, ModelConfig};

use crate::problem::problem;

/// Bytes of a number in bf16.
pub(super) const BF16: f64 = 2.0;

/// Models that are known by name: layers, width, heads, key and value heads, width of a head, inner width, vocabulary, and
/// whether the head is the embedding, as their `config.json` on the hub have it.
const KNOWN: [(&str, Family, [usize; 7], bool); 13] = [
    ("SmolLM2-135M", Family::Llama, [30, 576, 9, 3, 64, 1536, 49_152], true),
    ("Qwen2.5-0.5B", Family::Qwen2, [24, 896, 14, 2, 64, 4864, 151_936], true),
    ("Qwen2.5-1.5B", Family::Qwen2, [28, 1536, 12, 2, 128, 8960, 151_936], true),
    ("Qwen2.5-3B", Family::Qwen2, [36, 2048, 16, 2, 128, 11_008, 151_936], true),
    ("Qwen2.5-7B", Family::Qwen2, [28, 3584, 28, 4, 128, 18_944, 152_064], false),
    ("Qwen2.5-14B", Family::Qwen2, [48, 5120, 40, 8, 128, 13_824, 152_064], false),
    ("Qwen2.5-32B", Family::Qwen2, [64, 5120, 40, 8, 128, 27_648, 152_064], false),
    ("Llama-3.2-1B", Family::Llama, [16, 2048, 32, 8, 64, 8192, 128_256], true),
    ("Llama-3.2-3B", Family::Llama, [28, 3072, 24, 8, 128, 8192, 128_256], true),
    ("Llama-3.1-8B", Family::Llama, [32, 4096, 32, 8, 128, 14_336, 128_256], false),
    ("Qwen3-4B", Family::Qwen3, [36, 2560, 32, 8, 128, 9728, 151_936], true),
    ("Qwen3-8B", Family::Qwen3, [36, 4096, 32, 8, 128, 12_288, 151_936], false),
    ("Qwen3-14B", Family::Qwen3, [40, 5120, 40, 8, 128, 17_408, 151_936], false),
];

/// The shape of `model`, which the config names under `key`: a folder with a `config.json`, or a known name with or without
/// its organisation and `-Instruct` or `-Base`.
pub(super) fn shape(key: &str, model: &str) -> Result<ModelConfig> {
    let file = Path::new(model).join("config.json");
    if file.is_file() {
        let text =
            std::fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?;
        let json: Map<String, Value> =
            serde_json::from_str(&text).with_context(|| format!("{} is not JSON", file.display()))?;
        return Ok(ModelConfig::from_json(&file, &json)?);
    }
    let name = model.rsplit('/').next().unwrap_or_default();
    let name = name.strip_suffix("-Instruct").or_else(|| name.strip_suffix("-Base")).unwrap_or(name);
    let known = KNOWN.iter().find(|(known, ..)| known.eq_ignore_ascii_case(name));
    let Some(&(_, family, sizes, tied_head)) = known else {
        let names: Vec<&str> = KNOWN.iter().map(|(name, ..)| *name).collect();
        return Err(problem(format!("{key} = \"{model}\": its shape is not known"))
            .hint(format!("name a folder with its config.json, or one of {}", names.join(", ")))
            .into());
    };
    Ok(known_as(family, sizes, tied_head))
}

fn known_as(family: Family, sizes: [usize; 7], tied_head: bool) -> ModelConfig {
    let [layers, width, heads, kv_heads, head_width, mlp_width, vocabulary] = sizes;
    ModelConfig {
        family,
        vocabulary,
        width,
        layers,
        heads,
        kv_heads,
        head_width,
        mlp_width,
        norm_epsilon: 1e-6,
        rope_theta: 1e6,
        rope_scaling: None,
        context_length: 32_768,
        tied_head,
        qkv_bias: family == Family::Qwen2,
        qk_norm: family == Family::Qwen3,
    }
}

/// Bytes of the keys and values of one token in bf16: two of each layer's key heads.
pub(super) fn token_bytes(shape: &ModelConfig) -> f64 {
    (2 * shape.layers * shape.kv_heads * shape.head_width) as f64 * BF16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of parameters as the hub counts them in the safetensors of each model.
    #[test]
    fn known_models_have_the_parameters_that_the_hub_counts() {
        for (name, parameters) in [
            ("HuggingFaceTB/SmolLM2-135M-Instruct", 134_515_008),
            ("Qwen/Qwen2.5-0.5B", 494_032_768),
            ("Qwen/Qwen2.5-1.5B-Instruct", 1_543_714_304),
            ("Qwen/Qwen2.5-3B", 3_085_938_688),
            ("qwen2.5-7b", 7_615_616_512),
            ("Qwen/Qwen2.5-14B-Instruct", 14_770_033_664),
            ("Qwen/Qwen2.5-32B", 32_763_876_352),
            ("meta-llama/Llama-3.2-1B", 1_235_814_400),
            ("meta-llama/Llama-3.2-3B", 3_212_749_824),
            ("meta-llama/Llama-3.1-8B", 8_030_261_248),
            ("Qwen/Qwen3-4B", 4_022_468_096),
            ("Qwen/Qwen3-8B-Base", 8_190_735_360),
            ("Qwen/Qwen3-14B", 14_768_307_200),
        ] {
            assert_eq!(shape("model.path", name).unwrap().parameters(), parameters, "{name}");
        }
    }

    /// Qwen2.5-7B by hand: 2 x 28 layers x 4 heads x 128 numbers x 2 bytes.
    #[test]
    fn keys_and_values_are_counted_by_layers_and_key_heads() {
        assert_eq!(token_bytes(&shape("model.path", "Qwen2.5-7B").unwrap()), 57_344.0);
    }

    #[test]
    fn a_shape_that_is_not_known_is_refused_with_those_that_are() {
        let why = shape("cost.simulator", "my/simulator").unwrap_err();
        let told = crate::problem::report(&why);
        assert!(told.contains("cost.simulator = \"my/simulator\"") && told.contains("Qwen2.5-14B"), "{told}");
    }
}
