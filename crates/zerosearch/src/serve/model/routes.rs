//! The routes of a policy's server.

use std::sync::Arc;

use anyhow::Result;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use prometheus_client::registry::Registry;
use serde_json::{Map, Value, json};

use super::super::asked::Asked;
use super::super::open::Sign;
use super::super::refusal::Refusal;
use super::super::traffic::{Traffic, figures};
use super::order::Order;
use super::speaker::{PolicyService, Speaker};
use super::stream::stream;

/// What all routes share.
struct Hall {
    speaker: Arc<Speaker>,
    registry: Registry,
}

type Shared = State<Arc<Hall>>;

/// `service` with its routes.
pub fn model(service: PolicyService) -> Sign {
    let mut registry = Registry::with_prefix("zerosearch");
    let traffic = Arc::new(Traffic::new(&mut registry));
    let speaker = Arc::new(Speaker::new(service, &mut registry));
    let router = Router::new()
        .route("/v1/completions", post(completions))
        .route("/v1/chat/completions", post(chat))
        .route("/v1/models", get(models))
        .route("/v1/models/{*name}", get(named))
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .with_state(Arc::new(Hall { speaker, registry }));
    Sign { router, traffic }
}

async fn completions(State(it): Shared, Asked(body): Asked<Map<String, Value>>) -> Result<Response, Refusal> {
    let service = &it.speaker.service;
    let body = it.without_model(body)?;
    it.answer(Order::completion(body, &service.text, service.policy.context_length())?).await
}

async fn chat(State(it): Shared, Asked(body): Asked<Map<String, Value>>) -> Result<Response, Refusal> {
    let service = &it.speaker.service;
    let body = it.without_model(body)?;
    it.answer(Order::chat(body, &service.text, service.policy.context_length())?).await
}

async fn models(State(it): Shared) -> Json<Value> {
    Json(json!({"object": "list", "data": [it.card()]}))
}

async fn named(State(it): Shared, Path(name): Path<String>) -> Result<Json<Value>, Refusal> {
    it.check_name(&name)?;
    Ok(Json(it.card()))
}

async fn health(State(it): Shared) -> Json<Value> {
    Json(json!({"status": "ok", "model": it.speaker.service.name}))
}

async fn metrics(State(it): Shared) -> Response {
    figures(&it.registry)
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
