//! The service: from a request to the documents that it gets.

use std::sync::Arc;

use anyhow::Result;
use axum::http::StatusCode;
use futures::{StreamExt, TryStreamExt};
use prometheus_client::registry::Registry;
use serde::Serialize;
use utoipa::ToSchema;
use zerosearch_learner::seed::Seed;
use zerosearch_search::{Document, Label, Labels, Query, QuestionContext, SearchEngine, SearchError, clean};

use super::super::refusal::Refusal;
use super::figures::Figures;
use super::request::{Kind, SearchRequest};
use crate::curriculum::Curriculum;
use crate::engines::Desk;
use crate::problem::problem;

/// Queries of one request that are searched at once.
const QUERIES_AT_ONCE: usize = 64;

/// An engine, and what a client gets that does not say what it wants.
#[derive(Clone)]
pub struct SearchService {
    /// Who answers.
    pub desk: Desk,
    /// Documents of a request that names no number.
    pub k: usize,
    /// The chance of noise for a request that says nothing of it; without one, a simulated engine refuses such requests.
    pub noise: Option<f64>,
    /// One coin for each document instead of one for each query.
    pub coin_per_document: bool,
    /// The root of the seeds of requests that bring none.
    pub seed: u64,
    /// Queries that one request may hold.
    pub max_queries: usize,
}

/// A service that is open: the engine, and who counts.
pub(super) struct Clerk {
    service: SearchService,
    engine: Arc<dyn SearchEngine>,
    figures: Figures,
}

/// What a request of our own gets.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SearchReply {
    /// The engine.
    engine: String,
    /// The query as it was searched.
    query: String,
    /// The seed that the documents follow from.
    seed: u64,
    /// Best first.
    documents: Vec<Found>,
}

/// A document and where it came from.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Found {
    /// The title; may be empty.
    title: String,
    /// The text, without the title.
    text: String,
    /// Where it came from.
    provenance: Origin,
}

/// Where a document came from.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Origin {
    /// The engine.
    engine: String,
    /// What a simulated engine was asked to write.
    label: Option<Kind>,
    /// The beginning of the SHA-256 of a simulated engine's prompt template.
    template: Option<String>,
    /// Higher is better, on the engine's own scale.
    score: Option<f32>,
    /// The engine's own identifier: a passage id or an address.
    id: Option<String>,
}

impl Clerk {
    /// Opens `service`; `registry` tells what it counts.
    pub(super) fn new(service: SearchService, registry: &mut Registry) -> Result<Self> {
        let Some(engine) = service.desk.for_all() else {
            return Err(problem("the engine none has nothing to serve, and self needs the policy that asks")
                .hint("choose another `--engine`")
                .into());
        };
        if service.noise.is_some() && !engine.writes_to_order() {
            let what =
                format!("the engine {} finds what there is, so no noise can be asked of it", engine.name());
            return Err(problem(what).hint("leave `--noise` out, or choose `--engine simulated`").into());
        }
        Ok(Self { service, engine, figures: Figures::new(registry) })
    }

    /// The engine's name.
    pub(super) fn name(&self) -> &str {
        self.engine.name()
    }

    /// The documents of one request, with all that is known of them.
    pub(super) async fn answer(&self, asked: SearchRequest) -> Result<SearchReply, Refusal> {
        if clean(&asked.query).is_empty() {
            return Err(Refusal::bad("the query has no words in it").about("query"));
        }
        let (query, documents) = self.search(asked).await?;
        let documents = documents.into_iter().map(Found::of).collect();
        Ok(SearchReply { engine: self.name().to_owned(), query: query.text, seed: query.seed, documents })
    }

    /// The documents of all requests, in their order. Policies search for nothing now and then: that finds nothing.
    pub(super) async fn answer_all(&self, asked: Vec<SearchRequest>) -> Result<Vec<Vec<Document>>, Refusal> {
        if asked.len() > self.service.max_queries {
            let (count, most) = (asked.len(), self.service.max_queries);
            let message = format!("{count} queries came at once; this server takes {most} in one request");
            return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message)
                .about("queries")
                .coded("too_many_queries"));
        }
        let searches = asked.into_iter().map(|asked| async move {
            if clean(&asked.query).is_empty() {
                self.figures.answered(&[]);
                return Ok(Vec::new());
            }
            Ok(self.search(asked).await?.1)
        });
        futures::stream::iter(searches).buffered(QUERIES_AT_ONCE).try_collect().await
    }

    async fn search(&self, asked: SearchRequest) -> Result<(Query, Vec<Document>), Refusal> {
        let query = self.query(asked)?;
        let found = self.engine.search(&query).await;
        if let Some(quality) = &self.service.desk.quality {
            self.figures.simulated(&quality.drain());
        }
        match found {
            Ok(documents) => {
                self.figures.answered(&documents);
                Ok((query, documents))
            }
            Err(why) => {
                self.figures.failed();
                Err(refusal(&why))
            }
        }
    }

    /// What the engine is asked.
    fn query(&self, asked: SearchRequest) -> Result<Query, Refusal> {
        let wanted = asked.k.filter(|k| *k > 0).or(asked.labels.as_ref().map(Vec::len));
        let k = wanted.unwrap_or(self.service.k);
        let seed = asked.seed.unwrap_or_else(|| self.seed(&asked));
        let labels = self.labels(&asked, k, Seed::run(seed))?;
        let context = labels.is_some().then(|| QuestionContext {
            // The question defaults to the query: the client searches for what it wants to know.
            question: asked.question.unwrap_or_else(|| asked.query.clone()),
            golden_answers: asked.golden_answers.unwrap_or_default(),
        });
        Ok(Query { text: asked.query.trim().to_owned(), k, labels, seed, context })
    }

    /// One that follows from what is asked. It has 53 bits, which every reader of JSON keeps.
    fn seed(&self, asked: &SearchRequest) -> u64 {
        let question = asked.question.as_deref().unwrap_or_default();
        Seed::run(self.service.seed).purpose(&asked.query).purpose(question).number() >> 11
    }

    /// What an engine that writes to order is told; nothing for others.
    fn labels(&self, asked: &SearchRequest, k: usize, seed: Seed) -> Result<Option<Labels>, Refusal> {
        let named = [
            ("label", asked.label.is_some()),
            ("labels", asked.labels.is_some()),
            ("noise", asked.noise.is_some()),
        ];
        let named: Vec<&str> = named.iter().filter(|field| field.1).map(|field| field.0).collect();
        if !self.engine.writes_to_order() {
            return match named.first() {
                None => Ok(None),
                Some(field) => Err(Refusal::bad(format!(
                    "the engine {} finds what there is and writes nothing to order; leave `{field}` out, or ask a simulated \
                     engine",
                    self.name()
                ))
                .about(*field)
                .coded("not_simulated")),
            };
        }
        if let [one, other, ..] = named.as_slice() {
            return Err(Refusal::bad(format!("`{one}` and `{other}` do not go together; send one of them"))
                .about(*one));
        }
        let labels = match (asked.label, &asked.labels, asked.noise.or(self.service.noise)) {
            (Some(label), _, _) => Labels::All(label),
            (_, Some(labels), _) => Labels::Each(labels.clone()),
            (_, _, Some(noise)) => return self.coin(asked, noise, k, seed).map(Some),
            (None, None, None) => {
                let message = "a simulated engine must be told what to write: send `label` (useful or noisy), `labels` or \
                               `noise`, or have the server started with --noise";
                return Err(Refusal::bad(message).about("label").coded("no_label"));
            }
        };
        if labels.ask_for(Label::Useful) {
            self.needs_golds(asked)?;
        }
        Ok(Some(labels))
    }

    /// Labels by the fall of a coin. Whether a request can be served must not depend on that.
    fn coin(&self, asked: &SearchRequest, noise: f64, k: usize, seed: Seed) -> Result<Labels, Refusal> {
        let curriculum = Curriculum::constant(noise).map_err(|_| {
            Refusal::bad(format!("`noise` is {noise}; it must lie between 0 and 1")).about("noise")
        })?;
        if noise < 1.0 {
            self.needs_golds(asked)?;
        }
        Ok(curriculum.per_document(self.service.coin_per_document).labels(1, k, seed.purpose("labels")))
    }

    fn needs_golds(&self, asked: &SearchRequest) -> Result<(), Refusal> {
        let answers = asked.golden_answers.iter().flatten();
        if answers.into_iter().any(|answer| !answer.trim().is_empty()) {
            return Ok(());
        }
        let message = "useful documents hold an answer, and none came with the request: send `golden_answers` (and \
                       `question`), or ask for noise alone with `label`: \"noisy\"";
        Err(Refusal::bad(message).about("golden_answers").coded("no_golden_answers"))
    }
}

/// What a client is told of an engine's failure.
fn refusal(why: &SearchError) -> Refusal {
    let (status, code) = match why {
        SearchError::BadQuery(_) => (StatusCode::BAD_REQUEST, "bad_query"),
        SearchError::Silent { .. } => (StatusCode::GATEWAY_TIMEOUT, "engine_silent"),
        SearchError::Index(_) | SearchError::BadSetting { .. } => {
            (StatusCode::INTERNAL_SERVER_ERROR, "engine_broken")
        }
        _ => (StatusCode::BAD_GATEWAY, "engine_failed"),
    };
    Refusal::new(status, why.to_string()).coded(code)
}

impl Found {
    fn of(document: Document) -> Self {
        let Document { title, text, provenance: it } = document;
        let label = it.label.map(Kind::from);
        Self {
            title,
            text,
            provenance: Origin {
                engine: it.engine,
                label,
                template: it.template,
                score: it.score,
                id: it.id,
            },
        }
    }
}
