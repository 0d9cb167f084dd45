//! A desk: whoever answers the searches of a policy, and what its calls were like.

use std::sync::Arc;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use zerosearch_learner::Policy;
use zerosearch_learner::text::Text;
use zerosearch_search::{
    CacheCounts, CachedEngine, Quality, SearchEngine, SelfSearch, ServerCounts, Servers,
};

use crate::simulator::PolicyWriter;

/// Whoever answers search calls, and how well a simulator does it.
#[derive(Clone, Default)]
pub struct Desk {
    clerk: Clerk,
    /// What a simulator's calls were like.
    pub quality: Option<Arc<Quality>>,
    /// The engine again, where its results are kept.
    cache: Option<Arc<CachedEngine>>,
    /// The servers that are asked, where there are several.
    servers: Option<Arc<Servers>>,
}

/// Who sits there.
#[derive(Clone, Default)]
enum Clerk {
    /// Nobody: the policy answers from what it knows.
    #[default]
    Nobody,
    /// The same engine for every policy.
    Engine(Arc<dyn SearchEngine>),
    /// The policy that asks.
    Policy(SelfSearch),
}

/// What came from the cache, and how large it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheUse {
    /// Searches that the cache answered.
    pub hits: u64,
    /// Searches that it could not answer.
    pub misses: u64,
    /// Results in it.
    pub results: usize,
    /// Bytes of its file.
    pub bytes: u64,
}

impl Desk {
    /// A desk with `engine`.
    pub(super) fn of(engine: Arc<dyn SearchEngine>) -> Self {
        Self { clerk: Clerk::Engine(engine), ..Self::default() }
    }

    /// The same desk behind `engine`, which asks the one that sat there.
    pub(super) fn behind(self, engine: Arc<dyn SearchEngine>) -> Self {
        Self { clerk: Clerk::Engine(engine), ..self }
    }

    /// The same desk, which reports to `quality`.
    pub(super) fn reporting(self, quality: Arc<Quality>) -> Self {
        Self { quality: Some(quality), ..self }
    }

    /// The same desk, whose engine is `cached`.
    pub(super) fn remembering(self, cached: Arc<CachedEngine>) -> Self {
        Self { cache: Some(cached), ..self }
    }

    /// The same desk, whose engine asks `servers`.
    pub(super) fn asking(self, servers: Option<Arc<Servers>>) -> Self {
        Self { servers: servers.filter(|servers| servers.counts().all > 1), ..self }
    }

    /// A desk at which each policy sits itself, with the weights that ask.
    pub(super) fn of_policy(own: SelfSearch) -> Self {
        Self { clerk: Clerk::Policy(own), ..Self::default() }
    }

    /// Whoever answers the searches of `policy`, which speaks in `text`.
    pub fn engine(
        &self,
        policy: &Arc<dyn Policy>,
        text: &Arc<Text>,
        step: u64,
    ) -> Result<Option<Arc<dyn SearchEngine>>> {
        Ok(match &self.clerk {
            Clerk::Nobody => None,
            Clerk::Engine(engine) => Some(Arc::clone(engine)),
            Clerk::Policy(own) => {
                let name = format!("the policy of step {step}");
                let writer = PolicyWriter::new(Arc::clone(policy), Arc::clone(text), name.clone(), name);
                Some(Arc::new(own.of(Arc::new(writer))?))
            }
        })
    }

    /// Whoever answers anybody who asks; nobody where each policy answers itself.
    pub fn for_all(&self) -> Option<Arc<dyn SearchEngine>> {
        match &self.clerk {
            Clerk::Engine(engine) => Some(Arc::clone(engine)),
            Clerk::Nobody | Clerk::Policy(_) => None,
        }
    }

    /// All that decides what is found, as one line of JSON whose `engine` is a name; the policy itself, where it answers
    /// its own searches, is not part of it. Nothing where nobody answers.
    pub fn identity(&self) -> Option<String> {
        match &self.clerk {
            Clerk::Nobody => None,
            Clerk::Engine(engine) => Some(engine.identity()),
            Clerk::Policy(own) => Some(own.identity()),
        }
    }

    /// Whether documents are written for labels, so that noise can be among them.
    pub fn writes_to_order(&self) -> bool {
        self.for_all().is_some_and(|engine| engine.writes_to_order())
    }

    /// Whether documents are made up, so that seeds decide them too.
    pub fn makes_up(&self) -> bool {
        match &self.clerk {
            Clerk::Nobody => false,
            Clerk::Engine(engine) => engine.makes_up(),
            Clerk::Policy(_) => true,
        }
    }

    /// What the calls since the last time were like, as metrics. Latencies go under `timing_s/` and servers under `perf/`,
    /// because they differ from run to run.
    pub fn entries(&self) -> Vec<(&'static str, f64)> {
        let name = |name| match name {
            "sim/latency_p50" => "timing_s/sim_latency_p50",
            "sim/latency_p95" => "timing_s/sim_latency_p95",
            other => other,
        };
        let quality = self.quality.iter().flat_map(|quality| quality.drain().entries());
        let entries = quality.map(|(key, value)| (name(key), value));
        let cache = self.cache_use().into_iter().flat_map(|it| {
            [
                ("cache/hits", it.hits as f64),
                ("cache/misses", it.misses as f64),
                ("cache/results", it.results as f64),
                ("cache/bytes", it.bytes as f64),
            ]
        });
        let servers = self.servers.iter().flat_map(|servers| {
            let ServerCounts { up, removed, returned, .. } = servers.counts();
            [
                ("perf/servers_up", up as f64),
                ("perf/servers_removed", removed as f64),
                ("perf/servers_returned", returned as f64),
            ]
        });
        entries.chain(cache).chain(servers).collect()
    }

    /// What came from the cache since the last time; nothing where results are not kept.
    pub fn cache_use(&self) -> Option<CacheUse> {
        let engine = self.cache.as_ref()?;
        let (CacheCounts { hits, misses }, size) = (engine.drain(), engine.cache().size());
        Some(CacheUse { hits, misses, results: size.results, bytes: size.bytes })
    }
}

impl CacheUse {
    /// In one line.
    pub fn line(&self) -> String {
        let Self { hits, misses, results, bytes } = self;
        let megabytes = *bytes as f64 / 1e6;
        format!(
            "cache: {hits} searches answered from it, {misses} not; it holds {results} results, {megabytes:.1} MB\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use zerosearch_search::{PromptTemplate, Query, SimulatedSettings, Structure};

    use super::*;
    use crate::rollout::fakes::Script;

    /// Two policies at one desk: each reads what it would write itself.
    #[tokio::test]
    async fn a_policy_that_searches_itself_is_answered_by_the_weights_that_ask() {
        let settings = SimulatedSettings {
            structure: Structure::Forced,
            ..SimulatedSettings::new(PromptTemplate::own().unwrap())
        };
        let desk = Desk::of_policy(SelfSearch::new(settings, Arc::default()).unwrap());
        for words in ["first weights", "second weights"] {
            let script = Script::new(move |_, _| format!(" {words}\n"));
            let text = Arc::clone(&script.text);
            let policy: Arc<dyn Policy> = Arc::new(script);
            let engine = desk.engine(&policy, &text, 1).unwrap().unwrap();
            let query = Query { text: "who".into(), k: 1, labels: None, seed: 1, context: None };
            let documents = engine.search(&query).await.unwrap();
            assert_eq!((documents[0].text.as_str(), engine.name()), (words, "self"));
        }
    }
}
