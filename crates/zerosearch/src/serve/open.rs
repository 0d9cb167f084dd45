//! Opening: a server starts to listen, answers until it is asked to stop, and finishes what it began.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use axum::extract::ConnectInfo;
use axum::serve::Listener;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};

use super::door::Door;
use super::terms::Terms;
use super::traffic::Traffic;
use crate::problem::problem;
use crate::stop::Stop;

/// A service that can be opened: its routes, and who counts its requests.
pub struct Sign {
    pub(super) router: Router,
    pub(super) traffic: Arc<Traffic>,
    /// The verb whose help tells of the routes.
    pub(super) verb: &'static str,
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
    let router = Door::before(&sign, terms);
    let connections = GracefulShutdown::new();
    let asked = accept(listener, |stream, peer| {
        let own = router.clone().layer(Extension(ConnectInfo(peer)));
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(terms.head_limit);
        let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(own));
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            if let Err(why) = connection.await {
                tracing::debug!("the connection of {peer} ended: {why}");
            }
        });
    });
    // Whoever waits to be let in is refused from here on: the listener is gone.
    let Err(_reason) = stop.or(asked).await;
    if tokio::time::timeout(terms.grace, connections.shutdown()).await.is_err() {
        let (left, waited) = (sign.traffic.in_flight(), terms.grace.as_secs_f64());
        if left > 0 {
            tracing::warn!("{left} requests had no answer {waited} s after the stop and are dropped");
        }
    }
    Ok(())
}

/// Hands every connection that comes to `take`, for ever.
async fn accept(mut listener: TcpListener, take: impl Fn(TcpStream, SocketAddr)) -> Infallible {
    loop {
        let (stream, peer) = Listener::accept(&mut listener).await;
        if let Err(why) = stream.set_nodelay(true) {
            tracing::warn!("answers may be held back: {why}");
        }
        take(stream, peer);
    }
}
