//! HTTP: health, metrics, the schema registry.
//!
//! - I1: something outside that does not answer makes a table degraded, not the service unready: restarting
//!   would not help.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tableflow_model::{Error, Result};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::{Health, metrics, registry};
use crate::home::Home;
use crate::pipeline::lanes::Lane;
use crate::pipeline::supervise::Board;
use crate::upkeep::service::Counts;

/// What there is to serve.
pub struct Served {
    pub board: Board,
    pub lane: Arc<Lane>,
    pub upkeep: Arc<Counts>,
    pub(super) health: Arc<Health>,
    pub home: Home,
}

#[derive(Clone)]
struct Shared {
    board: Board,
    lane: Arc<Lane>,
    upkeep: Arc<Counts>,
    health: Arc<Health>,
    home: Home,
}

pub async fn bind(listen: SocketAddr) -> Result<TcpListener> {
    if !listen.ip().is_loopback() {
        return Err(Error::usage(format!("{listen} can be reached from other machines"))
            .with_detail("HTTP has neither TLS nor tokens yet, so it is served on loopback only")
            .with_hint("use 127.0.0.1 and put a proxy with TLS before it"));
    }
    TcpListener::bind(listen).await.map_err(|error| {
        Error::unavailable(format!("{listen} cannot be listened on"))
            .with_source(error)
            .with_hint("choose another address with --listen; port 0 picks a free one")
    })
}

pub fn address_of(listener: &TcpListener) -> Result<SocketAddr> {
    listener.local_addr().map_err(|error| Error::unavailable("the listening address is unknown").with_source(error))
}

pub async fn serve(listener: TcpListener, served: Served, stop: CancellationToken) {
    let Served { board, lane, upkeep, health, home } = served;
    let registry = home.registry();
    let routes = Router::new()
        .route("/health/live", get(|| async { "live\n" }))
        .route("/health/startup", get(startup))
        .route("/health/ready", get(ready))
        .route("/metrics", get(scrape))
        .with_state(Shared { board, lane, upkeep, health, home })
        .merge(registry::routes(registry));
    let served = axum::serve(listener, routes).with_graceful_shutdown(async move { stop.cancelled().await });
    if let Err(error) = served.await {
        tracing::error!(%error, "HTTP ended");
    }
}

async fn startup(State(Shared { health, .. }): State<Shared>) -> impl IntoResponse {
    match health.started.load(Ordering::Acquire) {
        true => (StatusCode::OK, "started\n"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
    }
}

async fn ready(State(Shared { health, .. }): State<Shared>) -> impl IntoResponse {
    match (health.stop.is_cancelled(), health.started.load(Ordering::Acquire)) {
        (true, _) => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        (false, false) => (StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
        (false, true) => (StatusCode::OK, "ready\n"),
    }
}

async fn scrape(State(shared): State<Shared>) -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4")],
        metrics::render(&metrics::Shared {
            board: shared.board,
            lane: shared.lane,
            upkeep: shared.upkeep,
            growth: shared.home.growth.clone(),
            schemas: shared.home.schema_cache.counts(),
            store: shared.home.store.meter(),
            runtime: Handle::current().metrics(),
            now: shared.home.clock.now(),
        }),
    )
}
