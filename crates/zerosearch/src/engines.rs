//! Engines: from a plan to whoever answers search calls.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use zerosearch_learner::Policy;
use zerosearch_learner::text::Text;
use zerosearch_search::{
    Key, OpenAiSettings, OpenAiWriter, PromptTemplate, Quality, Route, ScriptedEngine, SearchEngine,
    SimulatedEngine, SimulatedSettings, Structure, Writer,
};

use crate::config::{self, ApiName, EngineName, Model, Plan, SimulatorMode};
use crate::learners::{self, Pool};
use crate::problem::problem;
use crate::run::{Journal, Replies};
use crate::simulator::PolicyWriter;

/// A model that can play the engine when the plan names none: the one that training starts from.
pub struct Stock {
    /// Its weights.
    pub policy: Arc<dyn Policy>,
    /// Its words.
    pub text: Arc<Text>,
}

/// Whoever answers search calls, and how well a simulator does it.
#[derive(Clone)]
pub struct Desk {
    /// Nobody, where the policy answers from what it knows.
    pub engine: Option<Arc<dyn SearchEngine>>,
    /// What a simulator's calls were like.
    pub quality: Option<Arc<Quality>>,
}

/// Whether the plan's simulator is the model that training starts from.
pub fn needs_stock(plan: &Plan) -> bool {
    plan.simulator.model.is_empty() && plan.simulator.urls.is_empty()
}

/// The engines of a run: the simulator is opened at most once, however many desks ask for it.
pub struct Engines<'a> {
    plan: &'a Plan,
    pool: &'a Pool,
    stock: Option<Stock>,
    replies: Option<Arc<Replies>>,
    writer: Option<Arc<dyn Writer>>,
}

impl<'a> Engines<'a> {
    /// Engines as `plan` says. `replies` is where a remote simulator's replies are kept.
    pub fn new(plan: &'a Plan, pool: &'a Pool, stock: Option<Stock>, replies: Option<Arc<Replies>>) -> Self {
        Self { plan, pool, stock, replies, writer: None }
    }

    /// Whoever goes by `name`.
    ///
    /// # Errors
    /// When a simulator cannot be opened, or its server does not answer: better now than after the first token.
    pub async fn open(&mut self, name: EngineName) -> Result<Desk> {
        Ok(match name {
            EngineName::None => Desk { engine: None, quality: None },
            EngineName::Scripted => {
                let quality = Arc::new(Quality::default());
                let engine = ScriptedEngine::new(Arc::clone(&quality));
                Desk { engine: Some(Arc::new(engine)), quality: Some(quality) }
            }
            EngineName::Simulated => {
                let writer = self.writer().await.context("the simulator cannot be used")?;
                let quality = Arc::new(Quality::default());
                let engine =
                    SimulatedEngine::new(settings(&self.plan.simulator)?, writer, Arc::clone(&quality))?;
                Desk { engine: Some(Arc::new(engine)), quality: Some(quality) }
            }
        })
    }

    async fn writer(&mut self) -> Result<Arc<dyn Writer>> {
        if let Some(writer) = &self.writer {
            return Ok(Arc::clone(writer));
        }
        let plan = &self.plan.simulator;
        let writer: Arc<dyn Writer> = if !plan.urls.is_empty() {
            remote(plan, self.replies.clone()).await?
        } else if plan.model.is_empty() {
            let stock = self.stock.take().context("no model was given to play the engine")?;
            Arc::new(PolicyWriter::new(stock.policy, stock.text, "start weights"))
        } else {
            let model = Model { path: plan.model.clone(), ..self.plan.model.clone() };
            let voice = learners::open_voice(&model, self.plan.run.seed, 0, self.pool).await?;
            Arc::new(PolicyWriter::new(voice.policy, voice.text, plan.model.clone()))
        };
        self.writer = Some(Arc::clone(&writer));
        Ok(writer)
    }
}

/// The hash of the template that the plan's simulator uses.
pub fn template_hash(plan: &config::Simulator) -> Result<String> {
    Ok(template(plan)?.hash().to_owned())
}

async fn remote(plan: &config::Simulator, replies: Option<Arc<Replies>>) -> Result<Arc<dyn Writer>> {
    let settings = OpenAiSettings {
        key: key(&plan.key_env)?,
        route: match plan.api {
            ApiName::Chat => Route::Chat,
            ApiName::Completions => Route::Completions,
        },
        timeout: Duration::try_from_secs_f64(plan.timeout_s).unwrap_or(Duration::from_secs(3600)),
        concurrency: plan.concurrency,
        tries: u32::try_from(plan.retries).unwrap_or(u32::MAX).saturating_add(1),
        ..OpenAiSettings::new(plan.urls.clone(), &plan.model_name)
    };
    let writer = OpenAiWriter::new(settings)?;
    writer.check().await?;
    let writer: Arc<dyn Writer> = Arc::new(writer);
    Ok(match replies {
        Some(replies) => Arc::new(Journal::new(writer, replies)),
        None => writer,
    })
}

/// Secrets come by environment only; the plan names the variable.
fn key(variable: &str) -> Result<Option<Key>> {
    if variable.is_empty() {
        return Ok(None);
    }
    let secret = std::env::var(variable).map_err(|_| {
        problem(format!("simulator.key_env names the environment variable {variable}, which is not set"))
            .hint(format!("`export {variable}=...` with the server's key, or leave simulator.key_env out"))
    })?;
    Ok(Some(Key::new(&secret)?))
}

fn settings(plan: &config::Simulator) -> Result<SimulatedSettings> {
    Ok(SimulatedSettings {
        structure: match plan.structure {
            config::Structure::Free => Structure::Free,
            config::Structure::Forced => Structure::Forced,
        },
        words: plan.words,
        most_words: plan.max_words,
        max_tokens: u32::try_from(plan.max_tokens).unwrap_or(u32::MAX),
        temperature: plan.temperature as f32,
        top_p: plan.top_p as f32,
        rewrites: u32::try_from(plan.rewrites).unwrap_or(u32::MAX),
        ..SimulatedSettings::new(template(plan)?)
    })
}

fn template(plan: &config::Simulator) -> Result<PromptTemplate> {
    match (plan.mode, &plan.template) {
        (SimulatorMode::Template, Some(path)) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("the simulator's template {} cannot be read", path.display()))?;
            Ok(PromptTemplate::from_text(&path.display().to_string(), &text)?)
        }
        (SimulatorMode::Tuned, _) => Ok(PromptTemplate::tuned()?),
        (SimulatorMode::Instruct | SimulatorMode::Template, _) => Ok(PromptTemplate::instruct()?),
    }
}

impl Desk {
    /// What the simulator's calls since the last time were like, as metrics; nothing for other engines. Latencies go
    /// under `timing_s/`, because they differ from run to run.
    pub fn entries(&self) -> Vec<(&'static str, f64)> {
        let name = |name| match name {
            "sim/latency_p50" => "timing_s/sim_latency_p50",
            "sim/latency_p95" => "timing_s/sim_latency_p95",
            other => other,
        };
        let Some(quality) = &self.quality else { return Vec::new() };
        quality.drain().entries().into_iter().map(|(key, value)| (name(key), value)).collect()
    }
}
