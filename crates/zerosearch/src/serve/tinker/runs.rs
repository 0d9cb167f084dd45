//! Runs: what was trained here, its checkpoints, and their files to take away.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use zerosearch_learner::tinker::wire::Checkpoint;

use super::super::refusal::{Refusal, RefusalBody};
use super::address::{Address, Kind, is_run};
use super::archive::stream;
use super::checkpoints::{Saved, now};
use super::hall::Hall;
use super::part::Part;
use super::routes::Shared;
use super::shape::Shape;

/// A run as lists have it, from its checkpoints, or from its model where it has none yet.
fn entry(hall: &Hall, run: &str, saved: &[Saved], shape: Option<Shape>) -> Value {
    let last = |kind: Kind| saved.iter().rev().find(|it| it.address.kind == kind).map(Saved::entry);
    let known = saved.last().map(|it| &it.card);
    let shape = shape.or(known.map(|card| card.shape));
    json!({
        "training_run_id": run,
        "base_model": known.map_or(&hall.service.name, |card| &card.base_model),
        "model_owner": "zerosearch",
        "is_lora": shape.is_some_and(Shape::is_adapter),
        "lora_rank": shape.filter(|shape| shape.is_adapter()).map(|shape| shape.rank),
        "corrupted": false,
        "last_request_time": known.map_or_else(now, |card| card.time.clone()),
        "last_checkpoint": last(Kind::Training),
        "last_sampler_checkpoint": last(Kind::Sampler),
    })
}

/// Every run that has a model or a checkpoint, the newest first
#[utoipa::path(get, path = "/api/v1/training_runs", params(Part), responses((status = 200, body = Value)))]
pub(super) async fn all(State(house): Shared, Query(part): Query<Part>) -> Json<Value> {
    let hall = &house.hall;
    let mut runs: Vec<String> = hall.loaded().into_iter().map(|it| it.0).collect();
    for saved in hall.store.all().into_iter().rev() {
        if !runs.contains(&saved.address.run) {
            runs.push(saved.address.run);
        }
    }
    let (runs, cursor) = part.of(runs);
    let entries: Vec<Value> = runs.iter().filter_map(|run| found(hall, run).ok()).collect();
    Json(json!({"training_runs": entries, "cursor": cursor}))
}

fn found(hall: &Hall, run: &str) -> Result<Value, Refusal> {
    let shape = hall.loaded().into_iter().find(|it| it.0 == run).map(|it| it.1);
    let saved = if is_run(run) { hall.store.of(run) } else { Vec::new() };
    if shape.is_none() && saved.is_empty() {
        let message = format!("there is no run {run:?} with a model or a checkpoint here");
        return Err(Refusal::new(StatusCode::NOT_FOUND, message).coded("no_such_run"));
    }
    Ok(entry(hall, run, &saved, shape))
}

/// The run of this name
#[utoipa::path(
    get, path = "/api/v1/training_runs/{run}", params(("run" = String, Path)),
    responses((status = 200, body = Value), (status = "4XX", body = RefusalBody, description = "There is none"))
)]
pub(super) async fn one(State(house): Shared, Path(run): Path<String>) -> Result<Json<Value>, Refusal> {
    found(&house.hall, &run).map(Json)
}

/// The checkpoints of a run, oldest first
#[utoipa::path(
    get, path = "/api/v1/training_runs/{run}/checkpoints", params(("run" = String, Path)),
    responses((status = 200, body = Value), (status = "4XX", body = RefusalBody, description = "There is no such run"))
)]
pub(super) async fn checkpoints(
    State(house): Shared,
    Path(run): Path<String>,
) -> Result<Json<Value>, Refusal> {
    found(&house.hall, &run)?;
    let saved: Vec<Checkpoint> = house.hall.store.of(&run).iter().map(Saved::entry).collect();
    Ok(Json(json!({"checkpoints": saved})))
}

/// The checkpoints of all runs, oldest first
#[utoipa::path(get, path = "/api/v1/checkpoints", params(Part), responses((status = 200, body = Value)))]
pub(super) async fn all_checkpoints(State(house): Shared, Query(part): Query<Part>) -> Json<Value> {
    let saved: Vec<Checkpoint> = house.hall.store.all().iter().map(Saved::entry).collect();
    let (saved, cursor) = part.of(saved);
    Json(json!({"checkpoints": saved, "cursor": cursor}))
}

/// The files of a checkpoint as a compressed tar: `archive` says where they are, `download` gives them
///
/// Weights for sampling: a Hugging Face directory, or an adapter as peft keeps it. Those for training, with the optimizer's state.
#[utoipa::path(
    get, path = "/api/v1/training_runs/{run}/checkpoints/{which}",
    params(("run" = String, Path), ("which" = String, Path, description = "KIND/NAME/archive or KIND/NAME/download")),
    responses(
        (status = 200, body = Vec<u8>, content_type = "application/gzip"),
        (status = 302, description = "There, as `download`"),
        (status = "4XX", body = RefusalBody, description = "There is none")
    )
)]
pub(super) async fn archive(
    State(house): Shared,
    Path((run, which)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (name, what) = which.rsplit_once('/').unwrap_or((&which, ""));
    let address = address(&run, name)?;
    house.hall.store.card(&address)?;
    match what {
        "archive" => {
            let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
            let within = address.within_run();
            let place = format!("http://{host}/api/v1/training_runs/{run}/checkpoints/{within}/download");
            let place = HeaderValue::from_str(&place).map_err(|why| Refusal::bad(why.to_string()))?;
            Ok((StatusCode::FOUND, [(header::LOCATION, place)]).into_response())
        }
        "download" => {
            let kind = [(header::CONTENT_TYPE, "application/gzip")];
            Ok((kind, stream(house.hall.store.files(&address))).into_response())
        }
        _ => {
            let message = format!("{which:?} has no such part; add /archive");
            Err(Refusal::new(StatusCode::NOT_FOUND, message).coded("no_such_route"))
        }
    }
}

/// Deletes a checkpoint
#[utoipa::path(
    delete, path = "/api/v1/training_runs/{run}/checkpoints/{which}",
    params(("run" = String, Path), ("which" = String, Path, description = "KIND/NAME")),
    responses((status = 204), (status = "4XX", body = RefusalBody, description = "There is none"))
)]
pub(super) async fn delete(
    State(house): Shared,
    Path((run, which)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    let address = address(&run, &which)?;
    house.hall.store.card(&address)?;
    house.hall.store.delete(&address).map_err(|why| {
        let message = format!("{address} cannot be deleted: {why}");
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    })?;
    Ok(StatusCode::NO_CONTENT)
}

/// The checkpoint `KIND/NAME` of a run; a name alone is that of weights for sampling.
fn address(run: &str, which: &str) -> Result<Address, Refusal> {
    let which =
        if which.contains('/') { which.to_owned() } else { format!("{}/{which}", Kind::Sampler.segment()) };
    Address::parse(&format!("tinker://{run}/{which}"))
}
