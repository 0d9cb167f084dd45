//! Traffic: what came and went, counted for Prometheus.

use std::sync::Arc;
use std::time::Instant;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::refusal::Refusal;

/// The status of a request whose client went away before the answer, as nginx counts them.
const HUNG_UP: u16 = 499;

/// Requests by route and status, those under way, and how long they took.
#[derive(Clone)]
pub(super) struct Traffic {
    requests: Family<Outcome, Counter>,
    in_flight: Gauge,
    seconds: Family<Route, Histogram, fn() -> Histogram>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    route: String,
    status: u16,
}

/// A request from its coming to the last byte of its answer.
pub(super) struct Visit {
    traffic: Arc<Traffic>,
    route: String,
    began: Instant,
    status: u16,
}

impl Traffic {
    /// Counters that `registry` tells of.
    pub(super) fn new(registry: &mut Registry) -> Self {
        let seconds = Family::<Route, Histogram, fn() -> Histogram>::new_with_constructor(histogram);
        let traffic = Self { requests: Family::default(), in_flight: Gauge::default(), seconds };
        registry.register("requests", "Requests by route and status", traffic.requests.clone());
        registry.register(
            "requests_in_flight",
            "Requests that are being answered",
            traffic.in_flight.clone(),
        );
        let help = "Seconds from a request to the last byte of its answer";
        registry.register("request_seconds", help, traffic.seconds.clone());
        traffic
    }

    /// Requests that are being answered.
    pub(super) fn in_flight(&self) -> i64 {
        self.in_flight.get()
    }

    /// A request to `route` has come.
    pub(super) fn enter(self: &Arc<Self>, route: &str) -> Visit {
        self.in_flight.inc();
        Visit { traffic: Arc::clone(self), route: route.to_owned(), began: Instant::now(), status: HUNG_UP }
    }
}

impl Visit {
    /// Its answer has this status.
    pub(super) fn answered(&mut self, status: StatusCode) {
        self.status = status.as_u16();
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let route = std::mem::take(&mut self.route);
        self.traffic.in_flight.dec();
        let outcome = Outcome { route: route.clone(), status: self.status };
        self.traffic.requests.get_or_create(&outcome).inc();
        self.traffic.seconds.get_or_create(&Route { route }).observe(self.began.elapsed().as_secs_f64());
    }
}

/// From half a millisecond to a minute and more.
fn histogram() -> Histogram {
    Histogram::new([5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0])
}

/// Everything that `registry` knows, as Prometheus reads it.
pub(super) fn figures(registry: &Registry) -> Response {
    let mut text = String::new();
    match encode(&mut text, registry) {
        Ok(()) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(_) => {
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written").into_response()
        }
    }
}
