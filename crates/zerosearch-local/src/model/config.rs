//! A model's dimensions and switches, and the one list of its parameters.

use crate::kernels::WIDEST_HEAD;

/// No dimension of a real model is larger; a larger one is a damaged file.
const LARGEST: usize = 1 << 30;
const MOST_LAYERS: usize = 1 << 12;
/// No model reads more; the rotary table grows with it.
const LONGEST_CONTEXT: usize = 1 << 24;

/// The families that this program knows. They share one decoder and differ by switches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Llama 3.x and what is built like it: SmolLM2, TinyLlama.
    Llama,
    /// Qwen2 and Qwen2.5: biases on queries, keys and values.
    Qwen2,
    /// Qwen3: queries and keys are normalised, heads have their own width.
    Qwen3,
}

impl Family {
    /// Every family.
    pub const ALL: [Self; 3] = [Self::Llama, Self::Qwen2, Self::Qwen3];

    /// What `model_type` says in a `config.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
        }
    }

    /// What `architectures` says in a `config.json`.
    pub fn architecture(self) -> &'static str {
        match self {
            Self::Llama => "LlamaForCausalLM",
            Self::Qwen2 => "Qwen2ForCausalLM",
            Self::Qwen3 => "Qwen3ForCausalLM",
        }
    }
}

/// What a decoder is made of. Counts are never 0, `heads` is a multiple of `kv_heads`, `head_width` is even.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// Which kind of model it is.
    pub family: Family,
    /// Rows of the embedding; at least as many as the tokenizer has entries.
    pub vocabulary: usize,
    /// Width of the residual stream (`hidden_size`).
    pub width: usize,
    /// How many layers.
    pub layers: usize,
    /// Query heads of a layer.
    pub heads: usize,
    /// Key and value heads of a layer; each serves `heads / kv_heads` query heads.
    pub kv_heads: usize,
    /// Width of one head.
    pub head_width: usize,
    /// Inner width of the feed-forward part.
    pub mlp_width: usize,
    /// Added to the mean square in RMSNorm.
    pub norm_epsilon: f32,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Stretched positions, if the model has them.
    pub rope_scaling: Option<Llama3Scaling>,
    /// The longest row the model was made for, in tokens.
    pub context_length: usize,
    /// Whether the head is the embedding.
    pub tied_head: bool,
    /// Whether queries, keys and values have biases.
    pub qkv_bias: bool,
    /// Whether queries and keys are normalised head by head.
    pub qk_norm: bool,
}

/// How Llama 3.1 and later stretch positions (`rope_type: llama3`): low frequencies are divided by `factor`, high ones
/// stay, those between are blended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Llama3Scaling {
    /// What low frequencies are divided by.
    pub factor: f32,
    /// Waves longer than `original_context / low_freq_factor` are low.
    pub low_freq_factor: f32,
    /// Waves shorter than `original_context / high_freq_factor` are high.
    pub high_freq_factor: f32,
    /// The context before stretching, in tokens.
    pub original_context: usize,
}

impl ModelConfig {
    /// Whether this program can compute such a model. Whoever reads a model's dimensions asks before using them.
    ///
    /// # Errors
    /// Says which value is impossible, and what is possible.
    pub fn check(&self) -> Result<(), String> {
        self.check_counts()?;
        self.check_heads()?;
        let positive = |what: &str, number: f64| {
            let is_usable = number > 0.0 && number.is_finite();
            is_usable.then_some(()).ok_or_else(|| format!("{what} is {number}; it must be a number above 0"))
        };
        positive("the epsilon of the norms", self.norm_epsilon.into())?;
        positive("the base of the rotary frequencies", self.rope_theta)?;
        let Some(scaling) = self.rope_scaling else { return Ok(()) };
        positive("the rotary scaling's factor", scaling.factor.into())?;
        positive("the rotary scaling's low frequency factor", scaling.low_freq_factor.into())?;
        positive("the rotary scaling's high frequency factor", scaling.high_freq_factor.into())?;
        positive("the rotary scaling's original context", scaling.original_context as f64)?;
        if scaling.low_freq_factor >= scaling.high_freq_factor {
            return Err("the rotary scaling's low frequency factor must be below its high one".into());
        }
        Ok(())
    }

    fn check_counts(&self) -> Result<(), String> {
        for (what, count, most) in [
            ("the vocabulary", self.vocabulary, LARGEST),
            ("the width", self.width, LARGEST),
            ("the number of layers", self.layers, MOST_LAYERS),
            ("the number of query heads", self.heads, LARGEST),
            ("the number of key heads", self.kv_heads, LARGEST),
            ("the width of the feed-forward part", self.mlp_width, LARGEST),
            ("the context", self.context_length, LONGEST_CONTEXT),
        ] {
            if !(1..=most).contains(&count) {
                return Err(format!("{what} is {count}; it must be from 1 to {most}"));
            }
        }
        Ok(())
    }

    fn check_heads(&self) -> Result<(), String> {
        let Self { heads, kv_heads, head_width, .. } = *self;
        if !heads.is_multiple_of(kv_heads) {
            return Err(format!("{heads} query heads cannot share {kv_heads} key heads evenly"));
        }
        if head_width == 0 || !head_width.is_multiple_of(2) {
            return Err(format!("heads of width {head_width} cannot be turned in pairs"));
        }
        if head_width > WIDEST_HEAD {
            return Err(format!("heads of width {head_width} are wider than {WIDEST_HEAD}, the most known"));
        }
        Ok(())
    }

    /// Every parameter, by its name in a Hugging Face checkpoint and with its shape (rows first), in the order in which
    /// everything here walks them: embedding, layer by layer, last norm, head (unless it is the embedding).
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let mut tensors = vec![("model.embed_tokens.weight".to_owned(), vec![self.vocabulary, self.width])];
        for layer in 0..self.layers {
            let named = |(name, shape)| (format!("model.layers.{layer}.{name}"), shape);
            tensors.extend(self.layer().into_iter().map(named));
        }
        tensors.push(("model.norm.weight".to_owned(), vec![self.width]));
        if !self.tied_head {
            tensors.push(("lm_head.weight".to_owned(), vec![self.vocabulary, self.width]));
        }
        tensors
    }

    /// How many numbers the model has.
    pub fn parameters(&self) -> usize {
        let count =
            |shape: &[usize]| shape.iter().fold(1usize, |product, &size| product.saturating_mul(size));
        let layer = self.layer().iter().fold(0usize, |sum, (_, shape)| sum.saturating_add(count(shape)));
        let ends = if self.tied_head { 1 } else { 2 };
        let outside = count(&[ends, self.vocabulary, self.width]).saturating_add(self.width);
        layer.saturating_mul(self.layers).saturating_add(outside)
    }

    fn layer(&self) -> Vec<(&'static str, Vec<usize>)> {
        let (width, mlp_width) = (self.width, self.mlp_width);
        let queries = self.heads.saturating_mul(self.head_width);
        let keys = self.kv_heads.saturating_mul(self.head_width);
        let mut tensors = vec![("input_layernorm.weight", vec![width])];
        tensors.push(("self_attn.q_proj.weight", vec![queries, width]));
        tensors.push(("self_attn.k_proj.weight", vec![keys, width]));
        tensors.push(("self_attn.v_proj.weight", vec![keys, width]));
        if self.qkv_bias {
            tensors.push(("self_attn.q_proj.bias", vec![queries]));
            tensors.push(("self_attn.k_proj.bias", vec![keys]));
            tensors.push(("self_attn.v_proj.bias", vec![keys]));
        }
        if self.qk_norm {
            tensors.push(("self_attn.q_norm.weight", vec![self.head_width]));
            tensors.push(("self_attn.k_norm.weight", vec![self.head_width]));
        }
        tensors.push(("self_attn.o_proj.weight", vec![width, queries]));
        tensors.push(("post_attention_layernorm.weight", vec![width]));
        tensors.push(("mlp.gate_proj.weight", vec![mlp_width, width]));
        tensors.push(("mlp.up_proj.weight", vec![mlp_width, width]));
        tensors.push(("mlp.down_proj.weight", vec![width, mlp_width]));
        tensors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_computed_is_refused_with_what_can() {
        assert_eq!(ModelConfig::smollm2_135m().check(), Ok(()));
        let scaling = Llama3Scaling {
            factor: 8.0,
            low_freq_factor: 4.0,
            high_freq_factor: 4.0,
            original_context: 8192,
        };
        type Change<'a> = &'a dyn Fn(&mut ModelConfig);
        let changes: [(Change<'_>, &str); 10] = [
            (&|it| it.layers = 0, "the number of layers is 0; it must be from 1 to 4096"),
            (&|it| it.kv_heads = 0, "the number of key heads is 0"),
            (&|it| it.kv_heads = 2, "9 query heads cannot share 2 key heads evenly"),
            (&|it| it.head_width = 63, "heads of width 63 cannot be turned in pairs"),
            (&|it| it.head_width = 258, "heads of width 258 are wider than 256"),
            (&|it| it.context_length = usize::MAX, "the context is 18446744073709551615"),
            (&|it| it.norm_epsilon = 1e-60_f64 as f32, "the epsilon of the norms is 0"),
            (&|it| it.rope_theta = f64::NAN, "the base of the rotary frequencies is NaN"),
            (&|it| it.vocabulary = LARGEST + 1, "the vocabulary is 1073741825"),
            (&|it| it.rope_scaling = Some(scaling), "must be below its high one"),
        ];
        for (change, expected) in changes {
            let mut config = ModelConfig::smollm2_135m();
            change(&mut config);
            let problem = config.check().unwrap_err();
            assert!(problem.starts_with(expected) || problem.ends_with(expected), "{expected}: {problem}");
        }
    }

    /// SmolLM2-135M as its model card gives it: 134,515,008 parameters (the head is the embedding).
    #[test]
    fn smollm2_has_the_parameters_it_is_named_for() {
        let mut config = ModelConfig::smollm2_135m();
        assert_eq!(config.parameters(), 134_515_008);
        let listed = |config: &ModelConfig| -> usize {
            config.tensors().iter().map(|(_, shape)| shape.iter().product::<usize>()).sum()
        };
        assert_eq!(listed(&config), config.parameters());
        (config.tied_head, config.qkv_bias, config.qk_norm) = (false, true, true);
        assert_eq!(listed(&config), config.parameters());
    }
}
