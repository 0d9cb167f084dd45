//! A batch: rows and a loss as a client sends them, as a learner computes them, and the numbers that come back.
//!
//! A row's target is the token that follows, so that a row of n tokens and n targets is a row of n + 1 tokens to a learner. With
//! log-probability `lp`, sampled `old`, advantage `A`, weight `w` and ratio `r = exp(lp - old)`, a batch's loss is the sum over
//! all tokens of
//!
//! ```text
//! cross_entropy        -w * lp
//! importance_sampling  -A * r
//! ppo                  max(-A * r, -A * clip(r, low, high))
//! cispo                -A * clip(r, low, high) * lp       (the clipped ratio is a constant: arXiv 2506.13585)
//! ```

use std::collections::BTreeMap;

use zerosearch_learner::tinker::wire::{Datum, ForwardBackwardInput, ForwardBackwardReply, Tensor};
use zerosearch_learner::{Example, Learner, Loss, Objective, Result as LearnerResult, TokenId};

use super::super::refusal::Refusal;

/// Rows that were checked, and how they teach.
pub(super) struct Batch {
    examples: Vec<Example>,
    method: Method,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Method {
    CrossEntropy,
    ImportanceSampling,
    Ppo(Clip),
    Cispo(Clip),
}

/// Bounds of a ratio.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Clip {
    low: f64,
    high: f64,
}

/// Which rows a model reads.
#[derive(Clone, Copy)]
pub(super) struct Reads {
    pub(super) vocabulary: usize,
    pub(super) context: usize,
}

impl Batch {
    /// What `input` asks of a model that `reads` so much.
    pub(super) fn of(input: &ForwardBackwardInput, reads: Reads) -> Result<Self, Refusal> {
        let method = Method::of(&input.loss_fn, input.loss_fn_config.as_ref())?;
        if input.data.is_empty() {
            return Err(Refusal::bad("there is no row in it").about("data"));
        }
        let read = |(at, datum)| {
            example(datum, method, reads).map_err(|why| {
                Refusal::bad(format!("row {at} cannot be used: {why}")).about("data").coded("bad_row")
            })
        };
        Ok(Self { examples: input.data.iter().enumerate().map(read).collect::<Result<_, _>>()?, method })
    }

    /// Adds its gradients to those of `learner`.
    pub(super) async fn teach(&self, learner: &dyn Learner) -> LearnerResult<ForwardBackwardReply> {
        let loss = |objective| Loss::sum(objective, self.examples.len());
        let objective = match self.method {
            Method::CrossEntropy => Objective::CrossEntropy,
            Method::ImportanceSampling => Objective::ImportanceSampling,
            Method::Ppo(clip) => {
                Objective::ClippedSurrogate { low: (1.0 - clip.low) as f32, high: (clip.high - 1.0) as f32 }
            }
            Method::Cispo(clip) => {
                return self.teach_cispo(learner, clip, &loss(Objective::ImportanceSampling)).await;
            }
        };
        let report = learner.accumulate(&self.examples, &loss(objective)).await?;
        let mut logprobs: Vec<Vec<f32>> = report.examples.into_iter().map(|row| row.logprobs).collect();
        self.fill_in(learner, &mut logprobs).await?;
        Ok(reply(&logprobs, report.loss))
    }

    /// With the log-probabilities of now as the old ones the ratio is 1, and `-A' * r` has the slope that is wanted.
    async fn teach_cispo(
        &self,
        learner: &dyn Learner,
        clip: Clip,
        loss: &Loss,
    ) -> LearnerResult<ForwardBackwardReply> {
        let logprobs = self.scores(learner, &self.examples).await?;
        let mut examples = self.examples.clone();
        for (example, logprobs) in examples.iter_mut().zip(&logprobs) {
            for (at, &logprob) in logprobs.iter().enumerate().skip(1) {
                example.advantages[at] *= clip.of(ratio(example, at, logprob)) as f32;
            }
            example.old_logprobs.clone_from(logprobs);
        }
        learner.accumulate(&examples, loss).await?;
        Ok(reply(&logprobs, self.loss(&logprobs)))
    }

    /// What its loss is now, without gradients.
    pub(super) async fn look(&self, learner: &dyn Learner) -> LearnerResult<ForwardBackwardReply> {
        let logprobs = self.scores(learner, &self.examples).await?;
        Ok(reply(&logprobs, self.loss(&logprobs)))
    }

    async fn scores(&self, learner: &dyn Learner, examples: &[Example]) -> LearnerResult<Vec<Vec<f32>>> {
        let rows: Vec<Vec<TokenId>> = examples.iter().map(|example| example.tokens.clone()).collect();
        learner.snapshot().await?.score(&rows, 1.0).await
    }

    /// A learner tells nothing of tokens without weight, and clients are told of every token.
    async fn fill_in(&self, learner: &dyn Learner, logprobs: &mut [Vec<f32>]) -> LearnerResult<()> {
        let has_gaps = |example: &Example| example.weights.iter().skip(1).any(|&weight| weight == 0.0);
        let gaps: Vec<usize> = (0..self.examples.len()).filter(|&at| has_gaps(&self.examples[at])).collect();
        if gaps.is_empty() {
            return Ok(());
        }
        let rows: Vec<Example> = gaps.iter().map(|&at| self.examples[at].clone()).collect();
        let scores = self.scores(learner, &rows).await?;
        for (at, scores) in gaps.into_iter().zip(scores) {
            logprobs[at] = scores;
        }
        Ok(())
    }

    fn loss(&self, logprobs: &[Vec<f32>]) -> f64 {
        let of_row = |(example, logprobs): (&Example, &Vec<f32>)| {
            (1..example.tokens.len()).map(|at| self.method.loss(example, at, logprobs[at])).sum::<f64>()
        };
        self.examples.iter().zip(logprobs).map(of_row).sum()
    }
}

/// The first number of a row is of a token that nothing precedes, and no target.
fn reply(logprobs: &[Vec<f32>], loss: f64) -> ForwardBackwardReply {
    let output = |row: &Vec<f32>| {
        let targets = Tensor::Floats(row.get(1..).unwrap_or_default().to_vec());
        BTreeMap::from([("logprobs".to_owned(), targets)])
    };
    ForwardBackwardReply {
        loss_fn_output_type: "ArrayRecord".into(),
        loss_fn_outputs: logprobs.iter().map(output).collect(),
        metrics: [("loss:sum".to_owned(), loss)].into(),
    }
}

fn ratio(example: &Example, at: usize, logprob: f32) -> f64 {
    (f64::from(logprob) - f64::from(example.old_logprobs[at])).exp()
}

impl Clip {
    fn of(self, ratio: f64) -> f64 {
        ratio.clamp(self.low, self.high)
    }

    fn read(settings: &mut BTreeMap<String, f64>) -> Result<Self, Refusal> {
        let clip = Self {
            low: settings.remove("clip_low_threshold").unwrap_or(0.8),
            high: settings.remove("clip_high_threshold").unwrap_or(1.2),
        };
        let (low, high) = (0.0..=1.0, 1.0..=f64::from(f32::MAX));
        if low.contains(&clip.low) && high.contains(&clip.high) {
            return Ok(clip);
        }
        let message = format!(
            "ratios cannot be kept between {} and {}: clip_low_threshold lies from 0 to 1, clip_high_threshold at 1 or above",
            clip.low, clip.high
        );
        Err(Refusal::bad(message).about("loss_fn_config"))
    }
}

impl Method {
    fn of(name: &str, settings: Option<&BTreeMap<String, f64>>) -> Result<Self, Refusal> {
        let mut settings = settings.cloned().unwrap_or_default();
        let method = match name {
            "cross_entropy" => Self::CrossEntropy,
            "importance_sampling" => Self::ImportanceSampling,
            "ppo" => Self::Ppo(Clip::read(&mut settings)?),
            "cispo" => Self::Cispo(Clip::read(&mut settings)?),
            _ => {
                let message = format!(
                    "there is no loss {name:?} here; this server has cross_entropy, importance_sampling, ppo and cispo. Any other \
                     is a forward and an importance_sampling: with the log-probabilities of the forward as `logprobs`, and the \
                     loss's slopes, negated, as `advantages`"
                );
                return Err(Refusal::bad(message).about("loss_fn").coded("unsupported_loss"));
            }
        };
        match settings.keys().next() {
            None => Ok(method),
            Some(other) => {
                let message = format!("the loss {name} has no setting {other:?}; leave it out");
                Err(Refusal::bad(message).about("loss_fn_config").coded("unknown_parameter"))
            }
        }
    }

    /// The names of the numbers that a row may bring, and whether it must.
    fn inputs(self) -> &'static [(&'static str, bool)] {
        match self {
            Self::CrossEntropy => &[("weights", false)],
            _ => &[("logprobs", true), ("advantages", true)],
        }
    }

    fn loss(self, example: &Example, at: usize, logprob: f32) -> f64 {
        if self == Self::CrossEntropy {
            return -f64::from(example.weights[at]) * f64::from(logprob);
        }
        let (advantage, ratio) = (f64::from(example.advantages[at]), ratio(example, at, logprob));
        match self {
            Self::Ppo(clip) => (-advantage * ratio).max(-advantage * clip.of(ratio)),
            Self::Cispo(clip) => -advantage * clip.of(ratio) * f64::from(logprob),
            _ => -advantage * ratio,
        }
    }
}

/// A row as a learner reads it, or what is wrong with it.
fn example(datum: &Datum, method: Method, reads: Reads) -> Result<Example, String> {
    let tokens = row(datum, reads)?;
    let targets = tokens.len() - 1;
    let unknown =
        |name: &&String| *name != "target_tokens" && method.inputs().iter().all(|input| input.0 != **name);
    if let Some(name) = datum.loss_fn_inputs.keys().find(unknown) {
        return Err(format!("the loss takes no `{name}`; leave it out"));
    }
    let mut inputs = BTreeMap::new();
    for &(name, needed) in method.inputs() {
        if let Some(numbers) = numbers(datum, name, targets)? {
            inputs.insert(name, numbers);
        } else if needed {
            return Err(format!("`{name}` is missing"));
        }
    }
    // What was said of a target is said of the token after it.
    let mut shifted = |name, usual: f32| {
        let numbers = inputs.remove(name).unwrap_or_else(|| vec![usual; targets]);
        std::iter::once(0.0).chain(numbers).collect::<Vec<f32>>()
    };
    let weights = shifted("weights", 1.0);
    if method == Method::CrossEntropy {
        return Ok(Example { tokens, weights, ..Example::default() });
    }
    let (advantages, mut old_logprobs) = (shifted("advantages", 0.0), shifted("logprobs", 0.0));
    // A token that teaches nothing has no ratio either, whatever stands beside it.
    old_logprobs.iter_mut().zip(&advantages).filter(|it| *it.1 == 0.0).for_each(|(old, _)| *old = 0.0);
    Ok(Example { tokens, weights, advantages, old_logprobs, reference_logprobs: Vec::new() })
}

/// The tokens of a row, its last target included.
fn row(datum: &Datum, reads: Reads) -> Result<Vec<TokenId>, String> {
    let input: Vec<TokenId> =
        datum.model_input.tokens().map(|id| token(id, reads.vocabulary)).collect::<Result<_, _>>()?;
    let Some(Tensor::Integers(targets)) = datum.loss_fn_inputs.get("target_tokens") else {
        return Err("`target_tokens` is missing, or has no whole numbers".into());
    };
    if input.is_empty() || targets.len() != input.len() {
        return Err(format!(
            "it has {} tokens and {} target_tokens; give one target for each token, and at least one",
            input.len(),
            targets.len()
        ));
    }
    let targets: Vec<TokenId> =
        targets.iter().map(|&id| token(id, reads.vocabulary)).collect::<Result<_, _>>()?;
    if let Some(at) = (1..input.len()).find(|&at| input[at] != targets[at - 1]) {
        return Err(format!(
            "target {} is {}, and token {at} after it is {}: this server trains on rows whose targets are the tokens that follow",
            at - 1,
            targets[at - 1],
            input[at]
        ));
    }
    let length = input.len() + 1;
    if length > reads.context {
        return Err(format!(
            "with its last target it has {length} tokens; this model reads {} of them",
            reads.context
        ));
    }
    Ok(input.into_iter().chain(targets.last().copied()).collect())
}

/// A token of a client's, if the model has it.
pub(super) fn token(id: i64, vocabulary: usize) -> Result<TokenId, String> {
    let known = TokenId::try_from(id).ok().filter(|&token| (token as usize) < vocabulary);
    known.ok_or_else(|| format!("token {id} is not in the vocabulary of {vocabulary} entries"))
}

/// The numbers that `datum` brings as `name`, one for each of its targets.
fn numbers(datum: &Datum, name: &str, targets: usize) -> Result<Option<Vec<f32>>, String> {
    let Some(tensor) = datum.loss_fn_inputs.get(name) else { return Ok(None) };
    let numbers = tensor.to_floats();
    if numbers.len() != targets {
        return Err(format!("`{name}` has {} numbers for {targets} target_tokens", numbers.len()));
    }
    match numbers.iter().position(|number| !number.is_finite()) {
        Some(at) => Err(format!("`{name}` holds {} at target {at}", numbers[at])),
        None => Ok(Some(numbers)),
    }
}
