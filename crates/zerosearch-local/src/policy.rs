//! One version of the weights, frozen: samples and scores.
//!
//! A model and adapters over it are versions that share the model's matrices: requests to any of them are sampled together.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Weak};

use zerosearch_learner::text::Text;
use zerosearch_learner::{Boxed, LearnerError, Listener, Policy, Result, Sample, SamplingRequest, TokenId};

use crate::kernels::RotaryTable;
use crate::model::config::ModelConfig;
use crate::model::{LOGITS_AT_ONCE, Layout, Network, Target, rotary_frequencies};
use crate::options::PolicyOptions;
use crate::packed::Packed;
use crate::sampler::{Sampler, Version};
use crate::state::read_weights;
use crate::weights::{Adapter, Checkpoint, refuse_if_too_large};

/// Tokens that are scored together.
const SCORED_TOGETHER: usize = 2048;

/// A policy that runs in this process. Its sampling thread, which it shares with the versions that [`LocalPolicy::adapted`] makes
/// of it, starts with the first request.
#[derive(Clone)]
pub struct LocalPolicy {
    version: Arc<Version>,
    text: Arc<Text>,
    options: PolicyOptions,
}

/// Knows a policy without keeping it in memory.
pub struct WeakPolicy {
    version: Weak<Version>,
    text: Arc<Text>,
    options: PolicyOptions,
}

impl WeakPolicy {
    /// The policy, if anybody still holds it or one that was adapted from it.
    pub fn upgrade(&self) -> Option<LocalPolicy> {
        let version = self.version.upgrade()?;
        Some(LocalPolicy { version, text: Arc::clone(&self.text), options: self.options.clone() })
    }
}

impl LocalPolicy {
    /// Reads a checkpoint's weights, one matrix after another. Refused before anything is read when they would not fit this
    /// machine, when the cache has no room for one row, or when the machine lacks the instruction set.
    pub fn open(checkpoint: &Checkpoint, options: PolicyOptions) -> Result<Self> {
        let config = bounded(checkpoint, &options)?;
        refuse_if_too_large(
            &format!("the model {}", checkpoint.path().display()),
            Self::memory(&config, &options) as u64,
        )?;
        let network = frozen(checkpoint, &config, &options)?;
        Ok(Self::new(Arc::new(network), Arc::clone(&checkpoint.text), options))
    }

    /// The model of a checkpoint with `adapter` on its projections.
    pub fn open_adapted(checkpoint: &Checkpoint, adapter: &Adapter, options: PolicyOptions) -> Result<Self> {
        Ok(Self::open(checkpoint, options)?.adapted(adapter))
    }

    /// The same model with `adapter` instead of the one that this version has, if it has any. Both share the model's matrices and the
    /// cache of keys and values, and sample in the same forward passes. The adapter must have been read or made for this model.
    pub fn adapted(&self, adapter: &Adapter) -> Self {
        let factors = (&*adapter.weights, adapter.shape().scale());
        self.beside(Arc::new(self.network().adapted(&adapter.layout, factors)))
    }

    /// The same weights as a policy of its own, which remembers none of what this one has read.
    pub fn anew(&self) -> Self {
        self.beside(Arc::clone(self.network()))
    }

    /// Bytes of keys and values of one token.
    pub fn key_value_bytes(&self) -> usize {
        Sampler::bytes_per_token(&self.network().config, self.options.arithmetic)
    }

    /// Knows it without keeping it.
    pub fn downgrade(&self) -> WeakPolicy {
        WeakPolicy {
            version: Arc::downgrade(&self.version),
            text: Arc::clone(&self.text),
            options: self.options.clone(),
        }
    }

    /// Another version over the same matrices, sampled together with this one.
    pub(crate) fn beside(&self, network: Arc<Network>) -> Self {
        Self { version: Arc::new(self.version.beside(network)), ..self.clone() }
    }

    pub(crate) fn new(network: Arc<Network>, text: Arc<Text>, options: PolicyOptions) -> Self {
        Self { version: Arc::new(Version::alone(network)), text, options }
    }

    /// Bytes that sampling and scoring take: packed weights, and what a full cache, the logits and the rotary table take, or the
    /// largest matrix as it is read if that is more.
    pub fn memory(config: &ModelConfig, options: &PolicyOptions) -> usize {
        let packed = config.parameters().saturating_mul(options.arithmetic.bytes());
        // Twice in f32: as read, and beside the others of its group. The embedding is read first, a head of its own last.
        let reading = |outputs: usize| outputs.saturating_mul(config.width).saturating_mul(8);
        let embedding = reading(config.vocabulary);
        let last = if config.tied_head { reading(config.mlp_width.saturating_mul(2)) } else { embedding };
        packed.saturating_add(last.max(serving_bytes(config, options))).max(embedding)
    }

    /// Bytes of keys and values of so many tokens of a model.
    pub fn cache_memory(config: &ModelConfig, options: &PolicyOptions, tokens: usize) -> usize {
        Sampler::bytes_per_token(config, options.arithmetic).saturating_mul(tokens)
    }

    /// The tokenizer that its tokens belong to.
    pub fn text(&self) -> &Arc<Text> {
        &self.text
    }

    /// Bytes of its packed weights.
    pub fn weight_bytes(&self) -> usize {
        self.network().bytes()
    }

    pub(crate) fn network(&self) -> &Arc<Network> {
        &self.version.network
    }

    /// Names what decides the bits of its numbers, as [`zerosearch_learner::Capabilities::numeric_path`] does.
    pub fn numeric_path(&self) -> String {
        self.network().machine.numeric_path()
    }

    async fn reply(&self, request: SamplingRequest, listener: Option<Listener>) -> Result<Sample> {
        check_request(self.network(), &request)?;
        let room = self.network().config.context_length - request.prompt.len();
        if room == 0 || request.max_tokens == 0 {
            return Ok(Sample::default());
        }
        let max_tokens = request.max_tokens.min(room);
        let sampler = self.version.sampler(&self.text, self.options.cache_bytes);
        sampler.sample(Arc::clone(&self.version), SamplingRequest { max_tokens, ..request }, listener).await
    }
}

/// The weights of a checkpoint, packed; read one matrix after another.
pub(crate) fn frozen(
    checkpoint: &Checkpoint,
    config: &ModelConfig,
    options: &PolicyOptions,
) -> Result<Network> {
    let layout = Layout::new(config);
    let rotary = Arc::new(RotaryTable::new(&rotary_frequencies(config), config.context_length));
    let read = |place: &_| read_weights(checkpoint, &layout, place).map(Cow::Owned);
    Network::new((config, &layout), read, &options.machine(), rotary)
}

/// The checkpoint's dimensions, with the context that was asked for or that the cache has room for if that is shorter.
pub(crate) fn bounded(checkpoint: &Checkpoint, options: &PolicyOptions) -> Result<ModelConfig> {
    options.check()?;
    let mut config = checkpoint.config.clone();
    if options.context_length > 0 {
        config.context_length = config.context_length.min(options.context_length);
    }
    let room = Sampler::room(&config, options.arithmetic, options.cache_bytes);
    if room > 0 && options.context_length == 0 {
        config.context_length = config.context_length.min(room);
    }
    if config.context_length <= room {
        return Ok(config);
    }
    let needed = config.context_length.saturating_mul(Sampler::bytes_per_token(&config, options.arithmetic));
    let mib = |bytes: usize| bytes as f64 / f64::from(1 << 20);
    Err(LearnerError::Unsupported(format!(
        "keys and values of one row of {} tokens of {} take {:.1} MiB, the cache may take {:.1} MiB: allow it more, or \
         shorten the context",
        config.context_length,
        checkpoint.path().display(),
        mib(needed),
        mib(options.cache_bytes)
    )))
}

/// Bytes that serving takes beside the weights: a full cache of keys and values, logits (in f32, and once more in bf16 for
/// their gradient), and the rotary table.
pub(crate) fn serving_bytes(config: &ModelConfig, options: &PolicyOptions) -> usize {
    let room = Sampler::room(config, options.arithmetic, options.cache_bytes);
    let cache = room.saturating_mul(Sampler::bytes_per_token(config, options.arithmetic));
    let logits = config.vocabulary.saturating_mul(6 * LOGITS_AT_ONCE);
    let rotary = config.context_length.saturating_mul(config.head_width).saturating_mul(4);
    cache.saturating_add(logits).saturating_add(rotary)
}

impl Policy for LocalPolicy {
    fn sample(&self, request: SamplingRequest) -> Boxed<'_, Result<Sample>> {
        Box::pin(self.reply(request, None))
    }

    fn sample_aloud(&self, request: SamplingRequest, listener: Listener) -> Boxed<'_, Result<Sample>> {
        Box::pin(self.reply(request, Some(listener)))
    }

    fn score<'a>(&'a self, rows: &'a [Vec<TokenId>], temperature: f32) -> Boxed<'a, Result<Vec<Vec<f32>>>> {
        Box::pin(async move {
            check_temperature(temperature)?;
            rows.iter().try_for_each(|row| check_row(self.network(), row))?;
            let (network, rows) = (Arc::clone(self.network()), rows.to_vec());
            let work = move || score(&network, &rows, temperature);
            let scores = tokio::task::spawn_blocking(work).await;
            let scores = scores.map_err(|gone| LearnerError::Stopped(gone.to_string()))?;
            scores.iter().enumerate().try_for_each(|(row, scores)| check_scores(row, scores))?;
            Ok(scores)
        })
    }

    fn context_length(&self) -> usize {
        self.network().config.context_length
    }
}

fn score(network: &Network, rows: &[Vec<TokenId>], temperature: f32) -> Vec<Vec<f32>> {
    let mut scores: Vec<Vec<f32>> = rows.iter().map(|row| vec![0.0; row.len()]).collect();
    let rows: Vec<&[TokenId]> = rows.iter().map(Vec::as_slice).collect();
    for packed in Packed::all(&rows, SCORED_TOGETHER) {
        score_together(network, (&packed, &rows), temperature, &mut scores);
    }
    scores
}

fn score_together(
    network: &Network,
    (packed, rows): (&Packed, &[&[TokenId]]),
    temperature: f32,
    scores: &mut [Vec<f32>],
) {
    let _pass = network.machine.threads.pass();
    let mut stream = network.embed(&packed.batch.tokens);
    let mut blocks = packed.blocks(network);
    for layer in 0..network.config.layers {
        network.layer(layer, &mut stream, &packed.batch, (&mut blocks, 0));
    }
    // What rows share is predicted once.
    let (mut targets, mut known, mut places) = (Vec::new(), HashMap::new(), Vec::new());
    for (index, &(row, _)) in packed.rows.iter().enumerate() {
        for (at, &token) in rows[row].iter().enumerate().skip(1) {
            let from = packed.token(index, at - 1);
            let target = *known.entry((from, token)).or_insert(targets.len());
            if target == targets.len() {
                targets.push(Target { from, token });
            }
            places.push((row, at, target));
        }
    }
    let predictions = network.predictions(&stream, &targets, temperature);
    for (row, at, target) in places {
        scores[row][at] = predictions[target].logprob;
    }
}

fn check_scores(row: usize, scores: &[f32]) -> Result<()> {
    let Some(at) = scores.iter().position(|score| !score.is_finite()) else { return Ok(()) };
    Err(LearnerError::NotFinite(format!(
        "token {at} of row {row} has the log-probability {}: the model's numbers have left the finite range",
        scores[at]
    )))
}

fn check_request(network: &Network, request: &SamplingRequest) -> Result<()> {
    let refuse = |problem: String| Err(LearnerError::BadRequest(problem));
    if request.prompt.is_empty() {
        return refuse("the prompt is empty".into());
    }
    if !(request.temperature >= 0.0 && request.temperature.is_finite()) {
        return refuse(format!("the temperature is {}; it must be 0 (greedy) or above", request.temperature));
    }
    if !(request.top_p > 0.0 && request.top_p <= 1.0) {
        return refuse(format!("top_p is {}; it must be above 0 and at most 1", request.top_p));
    }
    if request.stop_strings.iter().any(String::is_empty) {
        return refuse("a stop string is empty".into());
    }
    check_row(network, &request.prompt)
}

pub(crate) fn check_temperature(temperature: f32) -> Result<()> {
    if temperature > 0.0 && temperature.is_finite() {
        return Ok(());
    }
    Err(LearnerError::BadRequest(format!("the temperature is {temperature}; it must be above 0")))
}

pub(crate) fn check_row(network: &Network, row: &[TokenId]) -> Result<()> {
    let config = &network.config;
    if row.len() > config.context_length {
        return Err(LearnerError::TooLong { length: row.len(), context_length: config.context_length });
    }
    match row.iter().find(|&&token| token as usize >= config.vocabulary) {
        Some(&token) => Err(LearnerError::UnknownToken { token, vocabulary: config.vocabulary }),
        None => Ok(()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use zerosearch_learner::text::tiny_text;

    use super::*;
    use crate::kernels::Threads;
    use crate::{AdapterShape, AdapterTarget};

    fn checkpoint() -> Checkpoint {
        let text = Arc::new(tiny_text());
        let config = ModelConfig { vocabulary: text.vocabulary_size(), ..ModelConfig::tiny() };
        Checkpoint::random(config, text, 1).unwrap()
    }

    pub(crate) fn tiny() -> LocalPolicy {
        LocalPolicy::open(&checkpoint(), PolicyOptions::new(Arc::new(Threads::new(2)))).unwrap()
    }

    /// An adapter whose factors are both not zero.
    fn adapter(seed: u64) -> Adapter {
        let targets = AdapterTarget::ALL.to_vec();
        let shape = AdapterShape { rank: 4, alpha: 16.0, rslora: false, targets };
        let adapter = Adapter::new(&checkpoint(), "tiny", shape, seed).unwrap();
        let moved: Vec<f32> =
            adapter.weights.iter().enumerate().map(|(at, weight)| weight + 0.1 * (at as f32).sin()).collect();
        adapter.with_weights(&moved)
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    fn request(index: usize) -> SamplingRequest {
        let prompt = (0..40 + 7 * (index as TokenId % 3)).map(|at| 5 + at % 90).collect();
        SamplingRequest::of_length(prompt, 24, index as u64)
    }

    /// Prompts are the same for every version: keys and values of one must not serve another.
    #[test]
    fn versions_that_sample_together_say_what_each_says_alone() {
        let alone =
            |make: &dyn Fn() -> LocalPolicy, index: usize| run(make().sample(request(index))).unwrap();
        let base = tiny();
        let versions = [base.clone(), base.adapted(&adapter(1)), base.adapted(&adapter(2))];
        let calls = (0..9).map(|index| versions[index % 3].sample(request(index / 3)));
        let together: Vec<Sample> = run(futures::future::try_join_all(calls)).unwrap();
        let makes: [&dyn Fn() -> LocalPolicy; 3] =
            [&tiny, &|| tiny().adapted(&adapter(1)), &|| tiny().adapted(&adapter(2))];
        for (at, sample) in together.iter().enumerate() {
            assert_eq!(*sample, alone(makes[at % 3], at / 3), "request {at}");
        }
        assert_ne!(together[0], together[1], "adapters change what is said");
        assert_ne!(together[1], together[2]);
    }
}
