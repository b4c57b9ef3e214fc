//! The service: every enabled table, and HTTP beside them.
//!
//! ```text
//!  metrics  the jobs' counters as Prometheus reads them
//!  http     /health/live, /health/ready, /health/startup, /metrics
//! ```
//!
//! - I1: a stop drains: every job commits what it holds before the process ends.

mod http;
mod metrics;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tableflow_model::Result;
use tokio_util::sync::CancellationToken;

use crate::home::Home;
use crate::lease::Lease;
use crate::pipeline::supervise::Supervisor;

/// What the health endpoints say.
#[derive(Debug, Default)]
pub struct Health {
    /// The definitions were read and their jobs started.
    pub started: AtomicBool,
    pub draining: AtomicBool,
}

/// Runs until `stop`. `announce` is told where HTTP is answered.
pub async fn run(
    home: Home,
    listen: SocketAddr,
    memory_bytes_max: u64,
    stop: CancellationToken,
    announce: impl FnOnce(SocketAddr) -> Result<()>,
) -> Result<()> {
    let lease = Lease::take(home.clone()).await?;
    let listener = http::bind(listen).await?;
    let address = http::address_of(&listener)?;
    let clock = home.clock.clone();
    let mut supervisor = Supervisor::new(home, memory_bytes_max);
    let health = Arc::new(Health::default());
    let http = tokio::spawn(http::serve(listener, supervisor.board(), health.clone(), clock, stop.clone()));
    let heartbeat = tokio::spawn(lease.keep(address, stop.clone()));
    supervisor.look().await?;
    health.started.store(true, Ordering::Release);
    announce(address)?;
    supervisor.run(&stop).await;
    health.draining.store(true, Ordering::Release);
    let _ = heartbeat.await;
    let _ = http.await;
    Ok(())
}
