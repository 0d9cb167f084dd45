//! The bigram learner against the facts that every learner must satisfy, and the facts against learners that break one.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;

use zerosearch_learner::contract::{Subject, check_all};
use zerosearch_learner::scripted::BigramLearner;
use zerosearch_learner::text::tiny_text;
use zerosearch_learner::{
    Adam, Boxed, Capabilities, Example, Learner, Loss, LossReport, Policy, Result, Sample, SamplingRequest,
    StepReport, TokenId,
};

fn bigram() -> BigramLearner {
    BigramLearner::new(Arc::new(tiny_text()), 512)
}

async fn check(open: &(dyn Fn() -> Arc<dyn Learner> + Sync)) {
    let text = Arc::new(tiny_text());
    let folder = tempfile::TempDir::new().unwrap();
    let prompts = ["the cat sat on the mat", "a search engine finds documents", "who wrote it?"];
    let subject = Subject {
        open,
        prompts: prompts.map(|prompt| text.encode(prompt)).to_vec(),
        text,
        learning_rate: 0.3,
        reopen: None,
        folder: folder.path(),
    };
    check_all(&subject).await;
}

#[tokio::test]
async fn the_bigram_learner_satisfies_the_contract() {
    check(&|| Arc::new(bigram())).await;
}

/// How a learner or its policies may be broken.
#[derive(Default)]
struct Fault {
    request: Option<fn(&mut SamplingRequest)>,
    sample: Option<fn(&mut Sample)>,
    temperature_of_scores: Option<f32>,
    batch: Option<fn(&mut Vec<Example>)>,
    loss: Option<fn(&mut Loss)>,
    adam: Option<fn(&mut Adam)>,
    report: Option<fn(&mut LossReport)>,
    /// Policies read the weights that the learner has now.
    thawed: bool,
    /// Steps without gradients, and after loading, are taken.
    eager: bool,
    /// Nothing is loaded.
    forgetful: bool,
}

/// A bigram learner with a fault.
struct Broken {
    learner: Arc<BigramLearner>,
    fault: Arc<Fault>,
}

struct BrokenPolicy {
    frozen: Arc<dyn Policy>,
    learner: Arc<BigramLearner>,
    fault: Arc<Fault>,
}

impl BrokenPolicy {
    async fn policy(&self) -> Result<Arc<dyn Policy>> {
        if self.fault.thawed { self.learner.snapshot().await } else { Ok(Arc::clone(&self.frozen)) }
    }
}

impl Policy for BrokenPolicy {
    fn sample(&self, mut request: SamplingRequest) -> Boxed<'_, Result<Sample>> {
        Box::pin(async move {
            if let Some(change) = self.fault.request {
                change(&mut request);
            }
            let mut sample = self.policy().await?.sample(request).await?;
            if let Some(change) = self.fault.sample {
                change(&mut sample);
            }
            Ok(sample)
        })
    }

    fn score<'a>(&'a self, rows: &'a [Vec<TokenId>], temperature: f32) -> Boxed<'a, Result<Vec<Vec<f32>>>> {
        Box::pin(async move {
            let temperature = self.fault.temperature_of_scores.unwrap_or(temperature);
            self.policy().await?.score(rows, temperature).await
        })
    }

    fn context_length(&self) -> usize {
        self.frozen.context_length()
    }
}

impl Learner for Broken {
    fn capabilities(&self) -> Capabilities {
        self.learner.capabilities()
    }

    fn accumulate<'a>(&'a self, batch: &'a [Example], loss: &'a Loss) -> Boxed<'a, Result<LossReport>> {
        Box::pin(async move {
            let (mut batch, mut loss) = (batch.to_vec(), loss.clone());
            if let Some(change) = self.fault.batch {
                change(&mut batch);
            }
            if let Some(change) = self.fault.loss {
                change(&mut loss);
            }
            let mut report = self.learner.accumulate(&batch, &loss).await?;
            if let Some(change) = self.fault.report {
                change(&mut report);
            }
            Ok(report)
        })
    }

    fn step<'a>(&'a self, adam: &'a Adam) -> Boxed<'a, Result<StepReport>> {
        Box::pin(async move {
            let mut adam = adam.clone();
            if let Some(change) = self.fault.adam {
                change(&mut adam);
            }
            match self.learner.step(&adam).await {
                Err(_) if self.fault.eager => Ok(StepReport::default()),
                taken => taken,
            }
        })
    }

    fn snapshot(&self) -> Boxed<'_, Result<Arc<dyn Policy>>> {
        Box::pin(async move {
            let frozen = self.learner.snapshot().await?;
            let (learner, fault) = (Arc::clone(&self.learner), Arc::clone(&self.fault));
            Ok(Arc::new(BrokenPolicy { frozen, learner, fault }) as Arc<dyn Policy>)
        })
    }

    fn save<'a>(&'a self, directory: &'a Path) -> Boxed<'a, Result<()>> {
        self.learner.save(directory)
    }

    fn load<'a>(&'a self, directory: &'a Path) -> Boxed<'a, Result<()>> {
        if self.fault.forgetful {
            return Box::pin(async { Ok(()) });
        }
        self.learner.load(directory)
    }

    fn export<'a>(&'a self, directory: &'a Path) -> Boxed<'a, Result<()>> {
        self.learner.export(directory)
    }
}

/// What [`check_all`] says about a learner with this fault.
fn complaint(fault: Fault) -> String {
    let fault = Arc::new(fault);
    let open =
        || Arc::new(Broken { learner: Arc::new(bigram()), fault: Arc::clone(&fault) }) as Arc<dyn Learner>;
    let run = || tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(check(&open));
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).expect_err("a broken learner");
    panic.downcast_ref::<String>().unwrap().clone()
}

#[test]
fn a_policy_that_breaks_a_fact_is_caught() {
    let request = |change| Fault { request: Some(change), ..Fault::default() };
    let faults = [
        (request(|it| it.max_tokens += 1), "a reply has at most `max_tokens` tokens"),
        (request(|it| it.stop_tokens.clear()), "a stop token ends a reply"),
        (request(|it| it.stop_strings.clear()), "a stop string ends a reply"),
        (
            request(|it| {
                if !it.stop_strings.is_empty() {
                    it.stop_tokens.clear();
                }
            }),
            "a stop token that completes a stop string stops as a token",
        ),
        (request(|it| it.seed = 1), "the same request with the same seed"),
        (request(|it| it.temperature = it.temperature.max(0.1)), "a sampled token's log-probability"),
        (request(|it| it.top_k = 0), "top_k and top_p leave the likeliest tokens"),
        (request(|it| it.top_p = it.top_p.max(0.9)), "top_k and top_p leave the likeliest tokens"),
        (
            Fault { temperature_of_scores: Some(1.0), ..Fault::default() },
            "a sampled token's log-probability is the one that `score` gives it",
        ),
        (
            Fault {
                sample: Some(|it| it.logprobs.iter_mut().for_each(|logprob| *logprob += 1e-6)),
                ..Fault::default()
            },
            "a sampled token's log-probability is the one that `score` gives it",
        ),
        (Fault { thawed: true, ..Fault::default() }, "a snapshot is frozen"),
    ];
    for (fault, name) in faults {
        let said = complaint(fault);
        assert!(said.starts_with(name), "`{said}` for `{name}`");
    }
}

#[test]
fn a_learner_that_breaks_a_fact_is_caught() {
    let loss = |change| Fault { loss: Some(change), ..Fault::default() };
    let batch = |change| Fault { batch: Some(change), ..Fault::default() };
    let faults = [
        (loss(|it| it.temperature = 1.0), "training reports the log-probabilities of `score`"),
        (loss(|it| it.kl = None), "a reported loss is what its formula gives"),
        (loss(|it| it.entropy_bonus *= -1.0), "a reported loss is what its formula gives"),
        (
            Fault { report: Some(|it| it.loss *= 1.001), ..Fault::default() },
            "a reported loss is what its formula gives",
        ),
        (
            // A mean over the rows of each call.
            batch(|it| {
                let rows = it.len() as f32;
                it.iter_mut().flat_map(|row| &mut row.weights).for_each(|weight| *weight /= rows);
            }),
            "a reported loss is what its formula gives",
        ),
        (Fault { adam: Some(|it| it.learning_rate *= -1.0), ..Fault::default() }, "cross-entropy raises"),
        (Fault { adam: Some(|it| it.max_grad_norm = None), ..Fault::default() }, "a step heeds"),
        (Fault { eager: true, ..Fault::default() }, "a step without gradients is refused"),
        (Fault { forgetful: true, ..Fault::default() }, "a loaded learner has the saved weights"),
        (
            batch(|it| it.retain(|row| row.check(true, true).is_ok() || row.check(false, false).is_ok())),
            "a batch with a bad row is refused",
        ),
    ];
    for (fault, name) in faults {
        let said = complaint(fault);
        assert!(said.starts_with(name), "`{said}` for `{name}`");
    }
}
