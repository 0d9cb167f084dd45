//! Shapes by name: models to be measured with random weights, as their `config.json` gives them.

use super::config::{Family, Llama3Scaling, ModelConfig};

/// A name and what it stands for.
type Shape = (&'static str, fn() -> ModelConfig);

impl ModelConfig {
    /// The shapes that have a name.
    pub const SHAPES: [Shape; 6] = [
        ("tiny", Self::tiny),
        ("smollm2-135m", Self::smollm2_135m),
        ("qwen2.5-0.5b", Self::qwen2_5_0_5b),
        ("qwen3-0.6b", Self::qwen3_0_6b),
        ("qwen2.5-1.5b", Self::qwen2_5_1_5b),
        ("llama-3.2-3b", Self::llama_3_2_3b),
    ];

    /// The shape of that name.
    ///
    /// # Errors
    /// The names that there are.
    pub fn of_shape(name: &str) -> Result<Self, String> {
        let found = Self::SHAPES.into_iter().find(|(known, _)| *known == name);
        found.map(|(_, shape)| shape()).ok_or_else(|| Self::SHAPES.map(|(known, _)| known).join(", "))
    }

    /// SmolLM2's proportions in two thin layers: enough to see that something runs.
    pub fn tiny() -> Self {
        Self {
            vocabulary: 512,
            width: 48,
            layers: 2,
            heads: 3,
            kv_heads: 1,
            head_width: 16,
            mlp_width: 128,
            ..Self::smollm2_135m()
        }
    }

    /// SmolLM2-135M.
    pub fn smollm2_135m() -> Self {
        Self {
            family: Family::Llama,
            vocabulary: 49_152,
            width: 576,
            layers: 30,
            heads: 9,
            kv_heads: 3,
            head_width: 64,
            mlp_width: 1536,
            norm_epsilon: 1e-5,
            rope_theta: 100_000.0,
            rope_scaling: None,
            context_length: 8192,
            tied_head: true,
            qkv_bias: false,
            qk_norm: false,
        }
    }

    fn qwen2_5_0_5b() -> Self {
        Self {
            family: Family::Qwen2,
            vocabulary: 151_936,
            width: 896,
            layers: 24,
            heads: 14,
            kv_heads: 2,
            mlp_width: 4864,
            norm_epsilon: 1e-6,
            rope_theta: 1_000_000.0,
            context_length: 32_768,
            qkv_bias: true,
            ..Self::smollm2_135m()
        }
    }

    fn qwen2_5_1_5b() -> Self {
        Self {
            width: 1536,
            layers: 28,
            heads: 12,
            head_width: 128,
            mlp_width: 8960,
            context_length: 131_072,
            ..Self::qwen2_5_0_5b()
        }
    }

    fn qwen3_0_6b() -> Self {
        Self {
            family: Family::Qwen3,
            width: 1024,
            layers: 28,
            heads: 16,
            kv_heads: 8,
            head_width: 128,
            mlp_width: 3072,
            context_length: 40_960,
            qkv_bias: false,
            qk_norm: true,
            ..Self::qwen2_5_0_5b()
        }
    }

    fn llama_3_2_3b() -> Self {
        Self {
            vocabulary: 128_256,
            width: 3072,
            layers: 28,
            heads: 24,
            kv_heads: 8,
            head_width: 128,
            mlp_width: 8192,
            rope_theta: 500_000.0,
            rope_scaling: Some(Llama3Scaling {
                factor: 32.0,
                low_freq_factor: 1.0,
                high_freq_factor: 4.0,
                original_context: 8192,
            }),
            context_length: 131_072,
            ..Self::smollm2_135m()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the model cards count them, embeddings that are tied once.
    #[test]
    fn shapes_have_as_many_parameters_as_the_models() {
        for (name, millions) in [
            ("smollm2-135m", 134.5),
            ("qwen2.5-0.5b", 494.0),
            ("qwen3-0.6b", 596.0),
            ("qwen2.5-1.5b", 1543.7),
            ("llama-3.2-3b", 3212.7),
        ] {
            let found = ModelConfig::of_shape(name).unwrap().parameters() as f64 / 1e6;
            assert!((found - millions).abs() < 0.1, "{name}: {found}");
        }
    }
}
