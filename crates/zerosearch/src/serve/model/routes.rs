//! The routes of a policy's server, and the document that describes them.

use std::sync::Arc;

use anyhow::Result;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::registry::Registry;
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::{OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::asked::Asked;
use super::super::open::Sign;
use super::super::refusal::{Refusal, RefusalBody};
use super::super::traffic::{Traffic, figures};
use super::description::{
    Card, ChatChunk, ChatReply, ChatRequest, CompletionReply, CompletionRequest, Models,
};
use super::order::Order;
use super::speaker::{PolicyService, Speaker};
use super::stream::stream;

/// What all routes share.
struct Hall {
    speaker: Arc<Speaker>,
    registry: Registry,
    description: Value,
}

type Shared = State<Arc<Hall>>;

#[derive(OpenApi)]
#[openapi(
    info(title = "zerosearch serve model", description = "A policy over the OpenAI API."),
    paths(named)
)]
struct Description;

/// `service` with its routes.
///
/// # Errors
/// A description that is no JSON.
pub fn model(service: PolicyService) -> Result<Sign> {
    let mut registry = Registry::with_prefix("zerosearch");
    let traffic = Arc::new(Traffic::new(&mut registry));
    let speaker = Arc::new(Speaker::new(service, &mut registry));
    let (router, description) = OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(completions))
        .routes(routes!(chat))
        .routes(routes!(models))
        // A name may hold slashes, for which OpenAPI has no word.
        .route("/v1/models/{*name}", get(named))
        .routes(routes!(health))
        .routes(routes!(metrics))
        .routes(routes!(openapi))
        .split_for_parts();
    let description = serde_json::to_value(description)?;
    let hall = Hall { speaker, registry, description };
    Ok(Sign { router: router.with_state(Arc::new(hall)), traffic, verb: "serve model" })
}

/// Continues a text, token ids, or a list of either
#[utoipa::path(
    post, path = "/v1/completions", request_body = CompletionRequest,
    responses(
        (status = 200, content((CompletionReply = "application/json"), (CompletionReply = "text/event-stream"))),
        (status = "4XX", body = RefusalBody, description = "The request is wrong, or comes too often (429)"),
        (status = "5XX", body = RefusalBody, description = "The policy failed, or the server is full (503)"),
    )
)]
async fn completions(State(it): Shared, Asked(body): Asked<Map<String, Value>>) -> Result<Response, Refusal> {
    let service = &it.speaker.service;
    let body = it.without_model(body)?;
    it.answer(Order::completion(body, &service.text, service.policy.context_length())?).await
}

/// Continues a conversation, through the model's chat template
#[utoipa::path(
    post, path = "/v1/chat/completions", request_body = ChatRequest,
    responses(
        (status = 200, content((ChatReply = "application/json"), (ChatChunk = "text/event-stream"))),
        (status = "4XX", body = RefusalBody, description = "The request is wrong, or comes too often (429)"),
        (status = "5XX", body = RefusalBody, description = "The policy failed, or the server is full (503)"),
    )
)]
async fn chat(State(it): Shared, Asked(body): Asked<Map<String, Value>>) -> Result<Response, Refusal> {
    let service = &it.speaker.service;
    let body = it.without_model(body)?;
    it.answer(Order::chat(body, &service.text, service.policy.context_length())?).await
}

/// The models that are served: one
#[utoipa::path(get, path = "/v1/models", responses((status = 200, body = Models)))]
async fn models(State(it): Shared) -> Json<Value> {
    Json(json!({"object": "list", "data": [it.card()]}))
}

/// The model of this name
#[utoipa::path(
    get, path = "/v1/models/{name}", params(("name" = String, Path, description = "May hold slashes")),
    responses((status = 200, body = Card), (status = "4XX", body = RefusalBody, description = "It is another"))
)]
async fn named(State(it): Shared, Path(name): Path<String>) -> Result<Json<Value>, Refusal> {
    it.check_name(&name)?;
    Ok(Json(it.card()))
}

/// That a server is there.
#[derive(Serialize, ToSchema)]
struct Health {
    /// `ok`
    status: &'static str,
    /// The model that is served.
    model: String,
}

/// Whether the server is there; needs no token
#[utoipa::path(get, path = "/health", responses((status = 200, body = Health)))]
async fn health(State(it): Shared) -> Json<Health> {
    Json(Health { status: "ok", model: it.speaker.service.name.clone() })
}

/// Requests, tokens, and replies by how they ended, for Prometheus
#[utoipa::path(get, path = "/metrics", responses((status = 200, body = String, content_type = "application/openmetrics-text")))]
async fn metrics(State(it): Shared) -> Response {
    figures(&it.registry)
}

/// This document
#[utoipa::path(get, path = "/openapi.json", responses((status = 200, body = Value)))]
async fn openapi(State(it): Shared) -> Json<Value> {
    Json(it.description.clone())
}

impl Hall {
    async fn answer(&self, order: Order) -> Result<Response, Refusal> {
        let order = Arc::new(order);
        if order.stream.is_some() {
            return Ok(stream(Arc::clone(&self.speaker), order));
        }
        Ok(Json(self.speaker.reply(&order).await?).into_response())
    }

    /// `body` without the name of a model, which must be ours if it is there.
    fn without_model(&self, mut body: Map<String, Value>) -> Result<Map<String, Value>, Refusal> {
        match body.remove("model") {
            None | Some(Value::Null) => {}
            Some(Value::String(name)) => self.check_name(&name)?,
            Some(other) => return Err(Refusal::bad(format!("`model` is {other}, not a name")).about("model")),
        }
        Ok(body)
    }

    /// An empty name is any model: clients that know of one only send none.
    fn check_name(&self, name: &str) -> Result<(), Refusal> {
        let own = &self.speaker.service.name;
        if name.is_empty() || name == own {
            return Ok(());
        }
        let message = format!("there is no model {name:?} here; this server has {own:?}");
        Err(Refusal::new(StatusCode::NOT_FOUND, message).about("model").coded("model_not_found"))
    }

    fn card(&self) -> Value {
        let service = &self.speaker.service;
        json!({
            "id": service.name, "object": "model", "created": 0, "owned_by": "zerosearch",
            "max_model_len": service.policy.context_length(),
        })
    }
}
