//! A trial: one query, asked of one simulator with one label, and what came of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use zerosearch_search::{
    Boxed, Document, Label, Quality, Query, ScriptedEngine, SearchEngine, SearchError, SimulatedEngine,
    SimulatedSettings, Tally, WriteRequest, Writer, Written,
};

use super::Candidate;
use crate::config::EngineName;
use crate::engines::{Engines, settings};
use crate::learners::Pool;
use crate::run::VERSION;

/// One line of the `rows.jsonl` of `zerosearch sim eval`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// [`VERSION`].
    pub version: u32,
    /// The simulator's name.
    pub simulator: String,
    /// The fingerprint of the pair whose query was asked.
    pub pair: String,
    /// What it was told to write.
    pub label: Label,
    /// How many documents it was asked for.
    pub asked: usize,
    /// What it wrote.
    pub documents: Vec<Document>,
    /// Documents without a word, dropped.
    pub empty: usize,
    /// Documents that repeat an earlier one of the call, dropped.
    pub repeated: usize,
    /// Replies that were written again.
    pub rewritten: usize,
    /// Tokens that it wrote, where it knows.
    pub tokens: Option<usize>,
    /// How long the call took, waiting for others included.
    pub latency_s: f64,
    /// Why there are no documents: what it wrote held none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub failure: Option<String>,
    /// Why it was not measured: something of ours failed. It is asked again.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub broken: Option<String>,
}

/// A simulator that can be asked.
pub(super) enum Player {
    Scripted,
    Simulated { settings: Box<SimulatedSettings>, writer: Arc<dyn Writer> },
}

impl Player {
    /// Opens the model of `candidate`, or reaches its servers.
    pub(super) async fn open(candidate: &Candidate, pool: &Pool) -> Result<Self> {
        let plan = &candidate.plan;
        if plan.eval.engine == EngineName::Scripted {
            return Ok(Self::Scripted);
        }
        let writer = Engines::new(plan, pool, None, None).writer().await;
        let writer = writer.with_context(|| format!("the simulator {} cannot be used", candidate.name))?;
        let settings = Box::new(settings(&plan.simulator)?);
        settings.check(writer.can_continue())?;
        Ok(Self::Simulated { settings, writer })
    }

    /// Asks `query`, which has one label for all its documents.
    pub(super) async fn ask(&self, simulator: &str, pair: String, label: Label, query: &Query) -> Trial {
        let started = Instant::now();
        let quality = Arc::new(Quality::default());
        let (outcome, tokens) = match self {
            Self::Scripted => (ScriptedEngine::new(Arc::clone(&quality)).search(query).await, None),
            Self::Simulated { settings, writer } => {
                let meter = Arc::new(Meter {
                    writer: Arc::clone(writer),
                    tokens: AtomicUsize::new(0),
                    silent: AtomicUsize::new(0),
                });
                let outcome = simulated(settings, &meter, &quality, query).await;
                (outcome, meter.tokens())
            }
        };
        let Tally { empty, repeated, rewritten, .. } = quality.drain().tally;
        let (documents, failure, broken) = match outcome {
            Ok(documents) => (documents, None, None),
            Err(error @ SearchError::NoDocuments { .. }) => (Vec::new(), Some(error.to_string()), None),
            Err(error) => (Vec::new(), None, Some(error.to_string())),
        };
        let latency_s = started.elapsed().as_secs_f64();
        let (simulator, asked) = (simulator.to_owned(), query.k);
        Trial {
            version: VERSION,
            simulator,
            pair,
            label,
            asked,
            documents,
            empty,
            repeated,
            rewritten,
            tokens,
            latency_s,
            failure,
            broken,
        }
    }
}

async fn simulated(
    settings: &SimulatedSettings,
    meter: &Arc<Meter>,
    quality: &Arc<Quality>,
    query: &Query,
) -> Result<Vec<Document>, SearchError> {
    let writer: Arc<dyn Writer> = Arc::<Meter>::clone(meter);
    SimulatedEngine::new(settings.clone(), writer, Arc::clone(quality))?.search(query).await
}

/// A writer that counts the tokens it writes.
struct Meter {
    writer: Arc<dyn Writer>,
    tokens: AtomicUsize,
    /// Replies whose tokens are not known.
    silent: AtomicUsize,
}

impl Meter {
    fn tokens(&self) -> Option<usize> {
        (self.silent.load(Ordering::Relaxed) == 0).then(|| self.tokens.load(Ordering::Relaxed))
    }
}

impl Writer for Meter {
    fn write<'a>(&'a self, request: &'a WriteRequest) -> Boxed<'a, Result<Written, SearchError>> {
        Box::pin(async move {
            let written = self.writer.write(request).await?;
            match written.tokens {
                Some(tokens) => self.tokens.fetch_add(tokens, Ordering::Relaxed),
                None => self.silent.fetch_add(1, Ordering::Relaxed),
            };
            Ok(written)
        })
    }

    fn name(&self) -> &str {
        self.writer.name()
    }

    fn identity(&self) -> String {
        self.writer.identity()
    }

    fn can_continue(&self) -> bool {
        self.writer.can_continue()
    }
}
