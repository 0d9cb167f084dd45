//! Shapes by name: models to be measured with random weights.

use super::config::{Family, ModelConfig};

impl ModelConfig {
    /// SmolLM2-135M, as its model card and its `config.json` give it.
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
}
