//! The routes of a learner's server, and the document that describes them.

use std::sync::{Arc, Weak};
use std::time::Duration;

use anyhow::Result;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::{OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use zerosearch_learner::tinker::wire::{
    CreateModel, CreateSamplingSession, Forward, ForwardBackward, Future, GetInfo, Heartbeat, LoadWeights,
    ModelInfo, OfWeights, OptimStep, PROTOBUF, RetrieveFuture, SampleOrder, SamplingSession, SaveForSampler,
    SaveWeights, Session, SupportedModel, Supports, TryAgain, UnloadModel, WeightsInfo,
};

use super::super::open::Sign;
use super::super::refusal::{Refusal, RefusalBody};
use super::super::traffic::{Traffic, figures};
use super::address::{Address, Kind};
use super::batch::Batch;
use super::checkpoints::Store;
use super::futures::Outcome;
use super::hall::{Hall, TinkerService};
use super::models::{Answer, Request};
use super::posted::Posted;
use super::runs;
use super::samplers::sampler_of;
use super::worker::{Work, adam};

/// What all routes share.
pub(super) struct House {
    pub(super) hall: Arc<Hall>,
    registry: Registry,
    counts: Family<What, Gauge>,
    description: Value,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, prometheus_client::encoding::EncodeLabelSet)]
struct What {
    what: &'static str,
}

pub(super) type Shared = State<Arc<House>>;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "zerosearch serve tinker",
        description = "A learner over the Tinker API. Bodies are those of the `tinker` package for Python (0.24.1 in JSON, 0.38.0 in \
                       protobuf), whose types describe them; fields that it does not have are ignored."
    ),
    paths(runs::archive, runs::delete)
)]
struct Description;

/// How often sessions are looked after.
const ROUND: Duration = Duration::from_secs(1);

/// `service` with its routes.
///
/// # Errors
/// A folder of checkpoints that cannot be made, or a description that is no JSON.
pub fn tinker(service: TinkerService) -> Result<Sign> {
    let mut registry = Registry::with_prefix("zerosearch");
    let traffic = Arc::new(Traffic::new(&mut registry));
    let counts = Family::<What, Gauge>::default();
    registry.register("open", "Sessions, models, samplers, and requests that wait", counts.clone());
    let store = Store::open(&service.out)?;
    let hall = Arc::new(Hall::new(service, store));
    tokio::spawn(look_after(Arc::downgrade(&hall)));
    let (router, description) = OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(client_config))
        .routes(routes!(dynamic_config))
        .routes(routes!(healthz))
        .routes(routes!(capabilities))
        .routes(routes!(telemetry))
        .routes(routes!(create_session))
        .routes(routes!(session_heartbeat))
        .routes(routes!(finish_session))
        .routes(routes!(create_model))
        .routes(routes!(get_info))
        .routes(routes!(unload_model))
        .routes(routes!(forward))
        .routes(routes!(forward_backward))
        .routes(routes!(optim_step))
        .routes(routes!(save_weights))
        .routes(routes!(load_weights))
        .routes(routes!(weights_info))
        .routes(routes!(save_weights_for_sampler))
        .routes(routes!(create_sampling_session))
        .routes(routes!(sampler))
        .routes(routes!(asample))
        .routes(routes!(retrieve_future))
        .routes(routes!(runs::all))
        .routes(routes!(runs::one))
        .routes(routes!(runs::checkpoints))
        .routes(routes!(runs::all_checkpoints))
        // The name of a checkpoint holds a slash, for which OpenAPI has no word.
        .route("/api/v1/training_runs/{run}/checkpoints/{*which}", get(runs::archive).delete(runs::delete))
        .routes(routes!(health))
        .routes(routes!(metrics))
        .routes(routes!(openapi))
        .split_for_parts();
    let house = House { hall, registry, counts, description: serde_json::to_value(description)? };
    Ok(Sign { router: router.with_state(Arc::new(house)), traffic, verb: "serve tinker" })
}

/// Sweeps as long as there is a hall.
async fn look_after(hall: Weak<Hall>) {
    loop {
        tokio::time::sleep(ROUND).await;
        let Some(hall) = hall.upgrade() else { return };
        hall.sweep();
    }
}

/// Declares routes that take a body in JSON and give one.
macro_rules! posts {
    ($($(#[$doc:meta])* $path:literal $name:ident($it:ident, $asked:ident: $body:ty, $request:ident) -> $reply:ty { $($work:tt)* })*) => {$(
        $(#[$doc])*
        #[utoipa::path(
            post, path = $path, request_body = Value,
            responses(
                (status = 200, body = Value),
                (status = "4XX", body = RefusalBody, description = "The request is wrong, or comes too often (429)"),
                (status = "5XX", body = RefusalBody, description = "Something of the server's failed, or it is full (503)"),
            )
        )]
        async fn $name(State(house): Shared, posted: Posted) -> Result<Json<$reply>, Refusal> {
            let $it = &house.hall;
            let $asked: $body = posted.json()?;
            let $request = Request { digest: posted.digest($path), bytes: posted.len() };
            let reply: Result<$reply, Refusal> = async { $($work)* }.await;
            reply.map(Json)
        }
    )*};
}

posts! {
    /// What clients ask first: how they are to behave
    "/api/v1/client/config" client_config(_it, _asked: Value, _request) -> Value {
        Ok(Hall::client_config())
    }

    /// The same, asked again and again: nothing changes
    "/api/v1/client/dynamic_config" dynamic_config(_it, _asked: Value, _request) -> Value {
        Ok(json!({}))
    }

    /// Takes what clients tell of themselves, and drops it
    "/api/v1/telemetry" telemetry(_it, _asked: serde::de::IgnoredAny, _request) -> Value {
        Ok(json!({"status": "accepted"}))
    }

    /// Opens a session, which owns models and samplers as long as its heart beats
    "/api/v1/create_session" create_session(it, _asked: serde::de::IgnoredAny, _request) -> Session {
        Ok(Session { session_id: it.open_session()?, ..Session::default() })
    }

    /// Says that a session is still wanted
    "/api/v1/session_heartbeat" session_heartbeat(it, asked: Heartbeat, _request) -> Heartbeat {
        it.state().hear(&asked.session_id)?;
        Ok(asked)
    }

    /// Makes a model: an adapter of the rank that is asked for, or all weights for rank 0
    "/api/v1/create_model" create_model(it, asked: CreateModel, request) -> Future {
        it.create(&asked, request)
    }

    /// What a model is
    "/api/v1/get_info" get_info(it, asked: GetInfo, _request) -> ModelInfo {
        it.info(&asked.model_id)
    }

    /// Gives up a model, after all that was asked of it before
    "/api/v1/unload_model" unload_model(it, asked: UnloadModel, request) -> Future {
        it.submit(&asked.model_id, None, request, |_, _| Ok(Work::Unload))
    }

    /// The loss of rows, without gradients
    "/api/v1/forward" forward(it, asked: Forward, request) -> Future {
        let read = |hall: &Hall, _| Ok(Work::Look(Batch::of(&asked.forward_input, hall.reads())?));
        it.submit(&asked.model_id, asked.seq_id, request, read)
    }

    /// A step of AdamW with the gradients gathered since the last one
    "/api/v1/optim_step" optim_step(it, asked: OptimStep, request) -> Future {
        let read = |_: &Hall, _| {
            adam(&asked.adam_params).map(Work::Step).map_err(|why| Refusal::bad(why).about("adam_params"))
        };
        it.submit(&asked.model_id, asked.seq_id, request, read)
    }

    /// Saves what training goes on from
    "/api/v1/save_weights" save_weights(it, asked: SaveWeights, request) -> Future {
        let read = |_: &Hall, _| {
            let name = asked.path.as_deref().unwrap_or_default();
            let address = Address::new(&asked.model_id, Kind::Training, name)?;
            Ok(Work::Save { address, overwrite: asked.overwrite })
        };
        it.submit(&asked.model_id, asked.seq_id, request, read)
    }

    /// Takes up what was saved: in a model, or, with `session_id` and `model_seq_id`, in a new one
    "/api/v1/load_weights" load_weights(it, asked: LoadWeights, request) -> Future {
        it.load(&asked, request)
    }

    /// What saved weights are
    "/api/v1/weights_info" weights_info(it, asked: OfWeights, _request) -> WeightsInfo {
        Ok(it.store.card(&Address::parse(&asked.tinker_path)?)?.info())
    }

    /// Makes the weights as they are now ready to be sampled from: under a name that lasts, or for a sampling session alone
    "/api/v1/save_weights_for_sampler" save_weights_for_sampler(it, asked: SaveForSampler, request) -> Future {
        it.submit(&asked.model_id, asked.seq_id, request, |_, _| for_sampler(&asked))
    }

    /// Opens a sampling session on saved weights, or on the base model
    "/api/v1/create_sampling_session" create_sampling_session(it, asked: CreateSamplingSession, _request) -> SamplingSession {
        Ok(SamplingSession { sampling_session_id: it.open_sampler(&asked).await? })
    }

    /// Samples continuations of a prompt; without `stop`, the model's own last tokens end them
    "/api/v1/asample" asample(it, asked: SampleOrder, request) -> Future {
        it.sample(asked, request).await
    }
}

/// Frozen weights under a name, or for a sampling session of the model's own session.
fn for_sampler(asked: &SaveForSampler) -> Result<Work, Refusal> {
    if let Some(kind) = asked.kind.as_deref().filter(|kind| *kind != "snapshot") {
        let message =
            format!("there are no samplers of the kind {kind:?} here: all of them are snapshots, frozen");
        return Err(Refusal::bad(message).about("kind").coded("unsupported_parameter"));
    }
    if let Some(name) = &asked.path {
        let address = Address::new(&asked.model_id, Kind::Sampler, name)?;
        return Ok(Work::Save { address, overwrite: false });
    }
    let session = asked.model_id.split(':').next().unwrap_or_default();
    match asked.sampling_session_seq_id {
        Some(index) => Ok(Work::Snapshot { sampler: sampler_of(session, index.max(0)) }),
        None => {
            let message =
                "say what the weights are for: `path` for a name that lasts, or `sampling_session_seq_id`";
            Err(Refusal::bad(message).about("path"))
        }
    }
}

/// Adds the gradients of rows to those gathered, in JSON or protobuf; with `forward_only`, gives their loss alone
#[utoipa::path(
    post, path = "/api/v1/forward_backward",
    request_body(content((Value = "application/json"), (Vec<u8> = "application/x-protobuf"))),
    responses(
        (status = 200, body = Value),
        (status = "4XX", body = RefusalBody, description = "The request is wrong, or comes too often (429)"),
        (status = "5XX", body = RefusalBody, description = "Something of the server's failed, or it is full (503)"),
    )
)]
async fn forward_backward(State(house): Shared, posted: Posted) -> Result<Json<Future>, Refusal> {
    let asked: ForwardBackward = posted.rows()?;
    let request = Request { digest: posted.digest("/api/v1/forward_backward"), bytes: posted.len() };
    let read = |hall: &Hall, _| {
        let batch = Batch::of(&asked.forward_backward_input, hall.reads())?;
        Ok(if asked.forward_only { Work::Look(batch) } else { Work::Teach(batch) })
    };
    let answer: Answer = house.hall.submit(&asked.model_id, asked.seq_id, request, read);
    answer.map(Json)
}

/// What came of a request, in protobuf where that is accepted; waits a while, then says `try_again`
///
/// A request that failed is told with status 200, as `error` and `category`.
#[utoipa::path(
    post, path = "/api/v1/retrieve_future", request_body = Value,
    responses(
        (status = 200, content((Value = "application/json"), (Vec<u8> = "application/x-protobuf"))),
        (status = "4XX", body = RefusalBody, description = "There is no such request (404), or its result is no longer kept (410)"),
    )
)]
async fn retrieve_future(
    State(house): Shared,
    headers: HeaderMap,
    posted: Posted,
) -> Result<Response, Refusal> {
    let RetrieveFuture { request_id, .. } = posted.json()?;
    let service = &house.hall.service;
    let patience = async {
        tokio::select! {
            _ = service.stop.wished() => {}
            () = tokio::time::sleep(service.patience) => {}
        }
    };
    let Some(outcome) = house.hall.futures.wait(&request_id, patience).await? else {
        return Ok(Json(TryAgain { request_id, queue_state: Some("active".into()) }).into_response());
    };
    let accepts = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let wants_protobuf =
        accepts.flat_map(|value| value.split(',')).any(|kind| kind.trim().starts_with(PROTOBUF));
    let protobuf = |bytes: Vec<u8>| ([(header::CONTENT_TYPE, PROTOBUF)], bytes).into_response();
    Ok(match &*outcome {
        Outcome::Rows(reply) if wants_protobuf => protobuf(reply.to_protobuf()),
        Outcome::Rows(reply) => Json(reply).into_response(),
        Outcome::Samples(reply) if wants_protobuf => {
            protobuf(reply.to_protobuf().map_err(|why| {
                Refusal::new(axum::http::StatusCode::INTERNAL_SERVER_ERROR, why.to_string())
            })?)
        }
        Outcome::Samples(reply) => Json(reply).into_response(),
        Outcome::Told(value) => Json(value).into_response(),
        Outcome::Failed(why) => Json(why).into_response(),
    })
}

/// What sampler this is
#[utoipa::path(
    get, path = "/api/v1/samplers/{id}", params(("id" = String, Path)),
    responses((status = 200, body = Value), (status = "4XX", body = RefusalBody, description = "There is none"))
)]
async fn sampler(State(house): Shared, Path(id): Path<String>) -> Result<Json<Value>, Refusal> {
    house.hall.sampler_info(&id).map(Json)
}

/// Ends a session: its models are unloaded
#[utoipa::path(
    post, path = "/api/v1/sessions/{id}/finish", params(("id" = String, Path)), request_body = Value,
    responses((status = 200, body = Value), (status = "4XX", body = RefusalBody, description = "There is none"))
)]
async fn finish_session(State(house): Shared, Path(id): Path<String>) -> Result<Json<Value>, Refusal> {
    house.hall.end_session(&id)?;
    Ok(Json(json!({})))
}

/// Whether the server is there
#[utoipa::path(get, path = "/api/v1/healthz", responses((status = 200, body = Value)))]
async fn healthz() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

/// The base model, and how long rows may be
#[utoipa::path(get, path = "/api/v1/get_server_capabilities", responses((status = 200, body = Value)))]
async fn capabilities(State(house): Shared) -> Json<Supports> {
    let model_name = Some(house.hall.service.name.clone());
    let max_context_length = Some(house.hall.reads().context);
    Json(Supports { supported_models: vec![SupportedModel { model_name, max_context_length }] })
}

/// That a server is there.
#[derive(Serialize, ToSchema)]
struct Health {
    /// `ok`
    status: &'static str,
    /// The base model.
    model: String,
}

/// Whether the server is there; needs no token
#[utoipa::path(get, path = "/health", responses((status = 200, body = Health)))]
async fn health(State(house): Shared) -> Json<Health> {
    Json(Health { status: "ok", model: house.hall.service.name.clone() })
}

/// Requests, sessions, models and samplers, for Prometheus
#[utoipa::path(get, path = "/metrics", responses((status = 200, body = String, content_type = "application/openmetrics-text")))]
async fn metrics(State(house): Shared) -> Response {
    let names = ["sessions", "models", "samplers", "requests"];
    for (what, count) in names.into_iter().zip(house.hall.counts()) {
        house.counts.get_or_create(&What { what }).set(count as i64);
    }
    figures(&house.registry)
}

/// This document
#[utoipa::path(get, path = "/openapi.json", responses((status = 200, body = Value)))]
async fn openapi(State(house): Shared) -> Json<Value> {
    Json(house.description.clone())
}
