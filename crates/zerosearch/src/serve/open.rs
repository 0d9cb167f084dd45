//! Opening: a server starts to listen, answers until it is asked to stop, and finishes what it began.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use axum::Router;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;

use super::door::Door;
use super::terms::Terms;
use super::traffic::Traffic;
use crate::problem::problem;
use crate::stop::Stop;

/// A service that can be opened: its routes, and who counts its requests.
pub struct Sign {
    pub(super) router: Router,
    pub(super) traffic: Arc<Traffic>,
}

/// Serves what stands on `sign` until `stop`; then new connections are refused, and requests under way have `terms.grace` to be
/// answered. `ready` is told the address.
///
/// # Errors
/// When the address cannot be had, or is open to others without a token.
pub async fn open(sign: Sign, terms: &Terms, stop: &Stop, ready: impl FnOnce(SocketAddr)) -> Result<()> {
    terms.check()?;
    let listener = TcpListener::bind(terms.address).await.map_err(|why| {
        problem(format!("{} cannot be listened at", terms.address))
            .because(why)
            .hint("choose another `--port`; 0 takes one that is free")
    })?;
    ready(listener.local_addr()?);
    let listener = listener.tap_io(|stream| {
        if let Err(why) = stream.set_nodelay(true) {
            tracing::warn!("answers may be held back: {why}");
        }
    });
    let router = Door::before(sign.router, terms, Arc::clone(&sign.traffic));
    let asked = stop.clone();
    let serving = axum::serve(listener, router).with_graceful_shutdown(async move {
        asked.wished().await;
    });
    let late = async {
        stop.wished().await;
        tokio::time::sleep(terms.grace).await;
    };
    tokio::select! {
        served = serving.into_future() => served.context("the server cannot go on"),
        () = late => {
            let left = sign.traffic.in_flight();
            if left > 0 {
                tracing::warn!("{left} requests had no answer {} s after the stop and are dropped", terms.grace.as_secs_f64());
            }
            Ok(())
        }
    }
}
