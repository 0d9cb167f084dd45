//! The routes of a search server, and the document that describes them.

use std::sync::Arc;

use anyhow::Result;
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use prometheus_client::registry::Registry;
use serde::Serialize;
use serde_json::Value;
use utoipa::{OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::asked::Asked;
use super::super::open::Sign;
use super::super::refusal::{Refusal, RefusalBody};
use super::super::traffic::{Traffic, figures};
use super::dialect::{RetrieveReply, RetrieveRequest};
use super::request::{SearchParameters, SearchRequest};
use super::service::{Clerk, SearchReply, SearchService};

/// What all routes share.
struct Counter {
    clerk: Clerk,
    registry: Registry,
    description: Value,
}

type Shared = State<Arc<Counter>>;

#[derive(OpenApi)]
#[openapi(info(
    title = "zerosearch serve search",
    description = "A search engine, real or simulated, in the dialects of those who train policies to search."
))]
struct Description;

/// `service` with its routes.
///
/// # Errors
/// An engine that cannot be served, or not as `service` says.
pub fn search(service: SearchService) -> Result<Sign> {
    let mut registry = Registry::with_prefix("zerosearch");
    let traffic = Arc::new(Traffic::new(&mut registry));
    let clerk = Clerk::new(service, &mut registry)?;
    let (router, description) = OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(retrieve))
        .routes(routes!(search_by_body, search_by_address))
        .routes(routes!(health))
        .routes(routes!(metrics))
        .routes(routes!(openapi))
        .split_for_parts();
    let counter = Counter { clerk, registry, description: serde_json::to_value(description)? };
    Ok(Sign { router: router.with_state(Arc::new(counter)), traffic, verb: "serve search" })
}

/// Documents for queries, in the dialects of Search-R1 (`queries`), SkyRL (`query`, `topk`) and ZeroSearch (`query`, `top_k`)
///
/// A query without words gets an empty list.
#[utoipa::path(
    post, path = "/retrieve", request_body = RetrieveRequest,
    responses(
        (status = 200, body = RetrieveReply),
        (status = "4XX", body = RefusalBody, description = "The request is wrong, or comes too often (429)"),
        (status = "5XX", body = RefusalBody, description = "The engine failed, or the server is full (503)"),
    )
)]
async fn retrieve(
    State(it): Shared,
    Asked(asked): Asked<RetrieveRequest>,
) -> Result<Json<RetrieveReply>, Refusal> {
    let errand = asked.errand()?;
    Ok(Json(errand.manner.reply(it.clerk.answer_all(errand.requests).await?)))
}

/// Documents for a query, with all that is known of them
#[utoipa::path(
    post, path = "/search", request_body = SearchRequest,
    responses(
        (status = 200, body = SearchReply),
        (status = "4XX", body = RefusalBody, description = "The request is wrong, or comes too often (429)"),
        (status = "5XX", body = RefusalBody, description = "The engine failed, or the server is full (503)"),
    )
)]
async fn search_by_body(
    State(it): Shared,
    Asked(asked): Asked<SearchRequest>,
) -> Result<Json<SearchReply>, Refusal> {
    it.clerk.answer(asked).await.map(Json)
}

/// The same, asked by the address alone
#[utoipa::path(
    get, path = "/search", params(SearchParameters),
    responses(
        (status = 200, body = SearchReply),
        (status = "4XX", body = RefusalBody, description = "The request is wrong, or comes too often (429)"),
        (status = "5XX", body = RefusalBody, description = "The engine failed, or the server is full (503)"),
    )
)]
async fn search_by_address(
    State(it): Shared,
    asked: Result<Query<SearchParameters>, QueryRejection>,
) -> Result<Json<SearchReply>, Refusal> {
    let Query(asked) = asked.map_err(|why| Refusal::bad(why.body_text()))?;
    it.clerk.answer(asked.into()).await.map(Json)
}

/// That a server is there.
#[derive(Serialize, ToSchema)]
struct Health {
    /// `ok`
    status: &'static str,
    /// The engine that answers.
    engine: String,
}

/// Whether the server is there; needs no token
#[utoipa::path(get, path = "/health", responses((status = 200, body = Health)))]
async fn health(State(it): Shared) -> Json<Health> {
    Json(Health { status: "ok", engine: it.clerk.name().to_owned() })
}

/// Requests, queries, documents and a simulator's quality, for Prometheus
#[utoipa::path(get, path = "/metrics", responses((status = 200, body = String, content_type = "application/openmetrics-text")))]
async fn metrics(State(it): Shared) -> Response {
    figures(&it.registry)
}

/// This document
#[utoipa::path(get, path = "/openapi.json", responses((status = 200, body = Value)))]
async fn openapi(State(it): Shared) -> Json<Value> {
    Json(it.description.clone())
}
