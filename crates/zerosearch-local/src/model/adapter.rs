//! An adapter's shape: which projections of a model it changes, and by factors of which rank (LoRA, arXiv 2106.09685).

use super::config::ModelConfig;

/// The projections that an adapter may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AdapterTarget {
    /// Queries.
    Query,
    /// Keys.
    Key,
    /// Values.
    Value,
    /// What attention makes of them.
    Output,
    /// The gate of the feed-forward part.
    Gate,
    /// What the gate lets through.
    Up,
    /// Back from there into the residual stream.
    Down,
    /// The language-model head.
    Head,
}

impl AdapterTarget {
    /// All of them, in the order in which adapters keep them.
    pub const ALL: [Self; 8] =
        [Self::Query, Self::Key, Self::Value, Self::Output, Self::Gate, Self::Up, Self::Down, Self::Head];

    /// The linear layers inside the model: all but the head.
    pub const LINEAR: [Self; 7] =
        [Self::Query, Self::Key, Self::Value, Self::Output, Self::Gate, Self::Up, Self::Down];

    /// The name that `transformers` has for the module.
    pub fn name(self) -> &'static str {
        match self {
            Self::Query => "q_proj",
            Self::Key => "k_proj",
            Self::Value => "v_proj",
            Self::Output => "o_proj",
            Self::Gate => "gate_proj",
            Self::Up => "up_proj",
            Self::Down => "down_proj",
            Self::Head => "lm_head",
        }
    }

    /// The one of that name.
    ///
    /// # Errors
    /// Says which names there are.
    pub fn named(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|target| target.name() == name).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            format!("there is no module `{name}` that an adapter could change; known are {known}")
        })
    }

    /// Where its module is: its own name, or with the part of the layer that it is in.
    pub(crate) fn module(self) -> String {
        match self {
            Self::Head => self.name().to_owned(),
            Self::Gate | Self::Up | Self::Down => format!("mlp.{}", self.name()),
            Self::Query | Self::Key | Self::Value | Self::Output => format!("self_attn.{}", self.name()),
        }
    }

    /// Outputs and inputs of its matrix.
    pub(crate) fn shape(self, config: &ModelConfig) -> [usize; 2] {
        let (queries, keys) = (config.heads * config.head_width, config.kv_heads * config.head_width);
        match self {
            Self::Query => [queries, config.width],
            Self::Key | Self::Value => [keys, config.width],
            Self::Output => [config.width, queries],
            Self::Gate | Self::Up => [config.mlp_width, config.width],
            Self::Down => [config.width, config.mlp_width],
            Self::Head => [config.vocabulary, config.width],
        }
    }
}

/// What an adapter is like, whatever its numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterShape {
    /// Rank of the factors.
    pub rank: usize,
    /// What they are multiplied by is `alpha / rank`.
    pub alpha: f64,
    /// As `alpha / sqrt(rank)` instead (rsLoRA, arXiv 2312.03732).
    pub rslora: bool,
    /// What it changes.
    pub targets: Vec<AdapterTarget>,
}

impl AdapterShape {
    /// What the product of the factors is multiplied by.
    pub fn scale(&self) -> f32 {
        let rank = self.rank as f64;
        (self.alpha / if self.rslora { rank.sqrt() } else { rank }) as f32
    }

    /// Whether a model of `config` can have such an adapter.
    ///
    /// # Errors
    /// Says which value is impossible, and what is possible.
    pub fn check(&self, config: &ModelConfig) -> Result<(), String> {
        if self.targets.is_empty() {
            return Err("the adapter changes no module; name at least one".into());
        }
        if !(self.alpha > 0.0 && self.alpha.is_finite()) {
            return Err(format!("the adapter's alpha is {}; it must be a number above 0", self.alpha));
        }
        for target in &self.targets {
            let most = target.shape(config).into_iter().min().unwrap_or(0);
            if !(1..=most).contains(&self.rank) {
                return Err(format!(
                    "the adapter's rank is {}; for {} of this model it must be from 1 to {most}",
                    self.rank,
                    target.name()
                ));
            }
        }
        Ok(())
    }

    pub(crate) fn has(&self, target: AdapterTarget) -> bool {
        self.targets.contains(&target)
    }

    /// How many numbers it has over a model of `config`.
    pub fn parameters(&self, config: &ModelConfig) -> usize {
        let of = |target: &AdapterTarget| {
            let times = if *target == AdapterTarget::Head { 1 } else { config.layers };
            let numbers = target.shape(config).into_iter().sum::<usize>().saturating_mul(self.rank);
            numbers.saturating_mul(times)
        };
        self.targets.iter().map(of).sum()
    }
}
