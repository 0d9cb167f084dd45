//! Engines: from a plan to whoever answers search calls.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use zerosearch_hub::Hub;
use zerosearch_learner::Policy;
use zerosearch_learner::text::Text;
use zerosearch_search::{
    Bm25Engine, Bm25Index, Cache, CachedEngine, DenseEngine, DenseIndex, DenseSettings, Dialect,
    HybridEngine, Key, Numbers, OpenAiSettings, OpenAiWriter, PromptTemplate, Quality, Reach, RetrieveEngine,
    RetrieveSettings, Route, ScriptedEngine, SearchEngine, SelfSearch, Servers, SimulatedEngine,
    SimulatedSettings, Structure, Words, Writer, encoder_folder,
};

use crate::config::{self, ApiName, DenseSearch, DialectName, EngineName, Plan, SimulatorMode};
use crate::learners::{self, Pool};
use crate::problem::problem;
use crate::run::{EngineJournal, Journal, Replies};
use crate::simulator::{Manner, PolicyWriter};

/// A model that can play the engine when the plan names none: the one that training starts from.
pub struct Stock {
    /// Its weights.
    pub policy: Arc<dyn Policy>,
    /// Its words.
    pub text: Arc<Text>,
    /// Names its weights and their arithmetic.
    pub identity: String,
}

mod desk;
mod web;

pub use desk::{CacheUse, Desk};

/// Whether the plan's simulator is the model that training starts from.
pub fn needs_stock(plan: &Plan) -> bool {
    plan.simulator_model().is_none() && plan.simulator.urls.is_empty()
}

/// The engines of a run: simulator and corpus are opened at most once, however many desks ask for them.
pub struct Engines<'a> {
    plan: &'a Plan,
    pool: &'a Pool,
    stock: Option<Stock>,
    replies: Option<Arc<Replies>>,
    writer: Option<Arc<dyn Writer>>,
    /// The servers of that writer, where it is asked there.
    servers: Option<Arc<Servers>>,
    bm25: Option<Bm25Engine>,
    dense: Option<DenseEngine>,
    cache: Option<Arc<Cache>>,
}

impl<'a> Engines<'a> {
    /// Engines as `plan` says. `replies` is where the replies of servers are kept.
    pub fn new(plan: &'a Plan, pool: &'a Pool, stock: Option<Stock>, replies: Option<Arc<Replies>>) -> Self {
        Self { plan, pool, stock, replies, writer: None, servers: None, bm25: None, dense: None, cache: None }
    }

    /// Whoever goes by `name`.
    ///
    /// # Errors
    /// When a simulator, a corpus or the cache cannot be opened, or a server does not answer: better now than after the
    /// first token. Offline no server is asked.
    pub async fn open(&mut self, name: EngineName) -> Result<Desk> {
        match name {
            EngineName::None => Ok(Desk::default()),
            EngineName::Bm25 => {
                let engine = Arc::new(self.bm25().await?);
                Ok(self.remembered(engine)?.0)
            }
            EngineName::Dense => {
                let engine = Arc::new(self.dense().await?);
                Ok(self.remembered(engine)?.0)
            }
            EngineName::Hybrid => {
                let engine = Arc::new(HybridEngine::new(self.bm25().await?, self.dense().await?)?);
                Ok(self.remembered(engine)?.0)
            }
            EngineName::Retrieve => {
                let engine = self.retrieve().await.context("the search server cannot be used")?;
                let servers = engine.servers();
                Ok(self.remote_desk(engine)?.asking(Some(servers)))
            }
            EngineName::Web => {
                let engine = web::open(&self.plan.web, self.plan.cache.offline).await;
                self.remote_desk(Arc::new(engine.context("the web cannot be searched")?))
            }
            EngineName::Scripted => {
                let quality = Arc::new(Quality::default());
                let engine = Arc::new(ScriptedEngine::new(Arc::clone(&quality)));
                Ok(self.remembered(engine)?.0.reporting(quality))
            }
            EngineName::Simulated => {
                let writer = self.writer().await.context("the simulator cannot be used")?;
                let quality = Arc::new(Quality::default());
                let settings = settings(&self.plan.simulator)?;
                let engine = Arc::new(SimulatedEngine::new(settings, writer, Arc::clone(&quality))?);
                Ok(self.remembered(engine)?.0.reporting(quality).asking(self.servers.clone()))
            }
            EngineName::SelfSearch => {
                let quality = Arc::new(Quality::default());
                let own = SelfSearch::new(own_settings(&self.plan.simulator)?, Arc::clone(&quality))?;
                Ok(Desk::of_policy(own).reporting(quality))
            }
        }
    }

    /// A desk with `engine`, whose results are kept where the plan says so; and the engine as it sits there.
    fn remembered(&mut self, engine: Arc<dyn SearchEngine>) -> Result<(Desk, Arc<dyn SearchEngine>)> {
        let Some(cache) = self.cache()? else { return Ok((Desk::of(Arc::clone(&engine)), engine)) };
        let cached = Arc::new(CachedEngine::new(engine, cache));
        let engine: Arc<dyn SearchEngine> = Arc::<CachedEngine>::clone(&cached);
        Ok((Desk::of(Arc::clone(&engine)).remembering(cached), engine))
    }

    /// A desk with somebody else's `engine`, whose replies are kept in the run's folder too.
    fn remote_desk(&mut self, engine: Arc<dyn SearchEngine>) -> Result<Desk> {
        let (desk, engine) = self.remembered(engine)?;
        Ok(match &self.replies {
            Some(replies) => desk.behind(Arc::new(EngineJournal::new(engine, Arc::clone(replies)))),
            None => desk,
        })
    }

    fn cache(&mut self) -> Result<Option<Arc<Cache>>> {
        let config::Cache { folder, offline } = &self.plan.cache;
        if self.cache.is_none() && !folder.is_empty() {
            let open = if *offline { Cache::open_offline } else { Cache::open };
            self.cache = Some(Arc::new(open(folder.as_ref())?));
        }
        Ok(self.cache.clone())
    }

    async fn retrieve(&self) -> Result<Arc<RetrieveEngine>> {
        let engine = retrieve(&self.plan.retrieve)?;
        if !self.plan.cache.offline {
            engine.check().await?;
        }
        Ok(Arc::new(engine))
    }

    async fn bm25(&mut self) -> Result<Bm25Engine> {
        if let Some(engine) = &self.bm25 {
            return Ok(engine.clone());
        }
        let config::Bm25 { corpus, index, stemming, stop_words } = self.plan.bm25.clone();
        let words = Words { stemming: stemming.unwrap_or(true), stop_words: stop_words.unwrap_or(true) };
        let open = move || match index.as_str() {
            "" => Ok::<_, anyhow::Error>(Bm25Index::of_file(corpus.as_ref(), words)?),
            folder => Ok(Bm25Index::open(folder.as_ref())?),
        };
        let index = tokio::task::spawn_blocking(open).await??;
        tracing::debug!("{} passages are indexed", index.len());
        Ok(self.bm25.insert(Bm25Engine::new(index)).clone())
    }

    async fn dense(&mut self) -> Result<DenseEngine> {
        if let Some(engine) = &self.dense {
            return Ok(engine.clone());
        }
        let config::Dense { index, encoder, search, probes, int8 } = self.plan.dense.clone();
        let reach = match search {
            DenseSearch::Exact => Reach::Exact,
            DenseSearch::Approximate => Reach::Approximate(probes),
        };
        let settings = DenseSettings { reach, numbers: if int8 { Numbers::Int8 } else { Numbers::F32 } };
        let open = move || {
            let index = DenseIndex::open(index.as_ref(), settings)?;
            let folder = encoder_folder(&encoder, &Hub::from_environment())?;
            Ok::<_, anyhow::Error>(DenseEngine::new(index, &folder)?)
        };
        let engine = tokio::task::spawn_blocking(open).await??;
        tracing::debug!("{} passages are indexed", engine.index().len());
        Ok(self.dense.insert(engine).clone())
    }

    /// The model that plays the engine.
    pub(crate) async fn writer(&mut self) -> Result<Arc<dyn Writer>> {
        if let Some(writer) = &self.writer {
            return Ok(Arc::clone(writer));
        }
        let plan = &self.plan.simulator;
        let writer: Arc<dyn Writer> = if !plan.urls.is_empty() && self.plan.cache.offline {
            Arc::new(on_servers(plan, None)?)
        } else if !plan.urls.is_empty() {
            let writer = reached(plan).await?;
            self.servers = Some(writer.servers());
            match self.replies.clone() {
                Some(replies) => Arc::new(Journal::new(Arc::new(writer), replies)),
                None => Arc::new(writer),
            }
        } else if let Some((model, adapter)) = self.plan.simulator_model() {
            Manner::warn_of_another(self.plan)?;
            let voice = learners::open_voice((&model, &adapter), self.plan.run.seed, 0, self.pool).await?;
            let name = plan.newest_weights().to_owned();
            Arc::new(PolicyWriter::new(voice.policy, voice.text, name, voice.identity))
        } else {
            let stock = self.stock.take().context("no model was given to play the engine")?;
            Arc::new(PolicyWriter::new(stock.policy, stock.text, "start weights", stock.identity))
        };
        self.writer = Some(Arc::clone(&writer));
        Ok(writer)
    }
}

/// The hash of the template that the plan's simulator uses.
pub fn template_hash(plan: &config::Simulator) -> Result<String> {
    Ok(template(plan)?.hash().to_owned())
}

/// The writer on the plan's servers, each of which was found to answer.
pub(crate) async fn reached(plan: &config::Simulator) -> Result<OpenAiWriter> {
    let writer = on_servers(plan, key("simulator.key_env", &plan.key_env)?)?;
    writer.check().await?;
    Ok(writer)
}

/// The writer on the plan's servers, which were not asked yet.
fn on_servers(plan: &config::Simulator, key: Option<Key>) -> Result<OpenAiWriter> {
    Ok(OpenAiWriter::new(OpenAiSettings {
        key,
        route: match plan.api {
            ApiName::Chat => Route::Chat,
            ApiName::Completions => Route::Completions,
        },
        timeout: seconds(plan.timeout_s),
        concurrency: plan.concurrency,
        tries: tries(plan.retries),
        ..OpenAiSettings::new(plan.urls.clone(), &plan.model_name)
    })?)
}

fn retrieve(plan: &config::Retrieve) -> Result<RetrieveEngine> {
    let dialect = match plan.dialect {
        DialectName::SearchR1 => Dialect::SearchR1,
        DialectName::SkyRl => Dialect::SkyRl,
        DialectName::ZeroSearch => Dialect::ZeroSearch,
    };
    Ok(RetrieveEngine::new(RetrieveSettings {
        timeout: seconds(plan.timeout_s),
        concurrency: plan.concurrency,
        tries: tries(plan.retries),
        ..RetrieveSettings::new(plan.urls.clone(), dialect)
    })?)
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::from_secs(3600))
}

fn tries(retries: usize) -> u32 {
    u32::try_from(retries).unwrap_or(u32::MAX).saturating_add(1)
}

/// Secrets come by environment only; the plan names the variable under `setting`.
pub(crate) fn key(setting: &str, variable: &str) -> Result<Option<Key>> {
    if variable.is_empty() {
        return Ok(None);
    }
    let secret = std::env::var(variable).map_err(|_| {
        problem(format!("{setting} names the environment variable {variable}, which is not set"))
            .hint(format!("`export {variable}=...` with the server's key, or leave {setting} out"))
    })?;
    Ok(Some(Key::new(&secret)?.of_variable(variable)))
}

pub(crate) fn settings(plan: &config::Simulator) -> Result<SimulatedSettings> {
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

/// How a policy is asked that searches itself: as a simulator, but with a prompt that shows no golden answer.
pub(crate) fn own_settings(plan: &config::Simulator) -> Result<SimulatedSettings> {
    let settings = settings(plan)?;
    if plan.mode == SimulatorMode::Template {
        return Ok(settings);
    }
    Ok(SimulatedSettings { template: PromptTemplate::own()?, ..settings })
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
