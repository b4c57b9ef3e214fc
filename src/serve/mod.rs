//! The service: every enabled table, and HTTP beside them.
//!
//! ```text
//!  metrics   the jobs' counters as Prometheus reads them
//!  registry  the embedded schema registry: Confluent's API below /registry
//!  http      /health/live, /health/ready, /health/startup, /metrics, and all of the above
//! ```
//!
//! - I1: a stop drains: every job commits what it holds before the process ends.
//! - I2: while it drains the service is still there: HTTP answers and the lease is renewed until the jobs have ended.
//! - I3: a service whose lease somebody else took ends at once, without a drain: its last reports would stand over
//!   those of its successor, and what it has not committed its successor reads.

mod http;
mod metrics;
mod registry;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tableflow_model::Result;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::UpkeepConfig;
use crate::home::Home;
use crate::lease::Lease;
use crate::pipeline::budget::TableMemory;
use crate::pipeline::matching::Matching;
use crate::pipeline::supervise::Supervisor;
use crate::upkeep::aside::Aside;
use crate::upkeep::service::{Counts, Upkeep};

/// Requests under way have this long to end once the jobs have.
const HTTP_END: Duration = Duration::from_secs(1);

/// What the health endpoints say.
#[derive(Debug)]
struct Health {
    /// The definitions were read and their jobs started.
    started: AtomicBool,
    /// A drain begins with it.
    stop: CancellationToken,
}

/// Runs until `stop`. `announce` is told where HTTP is answered.
pub async fn run(
    home: Home,
    listen: SocketAddr,
    (memory_bytes_max, upkeep): (u64, Option<UpkeepConfig>),
    stop: CancellationToken,
    announce: impl FnOnce(SocketAddr) -> Result<()>,
) -> Result<()> {
    let lease = Lease::take(home.clone()).await?;
    let listener = http::bind(listen).await?;
    let address = http::address_of(&listener)?;
    let matching = Matching::new(home.clone());
    let counts = Arc::new(Counts::default());
    let memory = TableMemory::new(memory_bytes_max);
    let upkeep = upkeep.map(|config| Upkeep::new(home.clone(), config, counts.clone(), memory.clone()));
    let aside = Aside::start()?;
    let mut supervisor = Supervisor::new(home.clone(), memory);
    let health = Arc::new(Health { started: AtomicBool::new(false), stop: stop.clone() });
    let drained = CancellationToken::new();
    let (board, lane) = (supervisor.board(), supervisor.lane());
    let served = http::Served { board, lane, upkeep: counts, health: health.clone(), home };
    let http = tokio::spawn(http::serve(listener, served, drained.clone()));
    let serving = async {
        supervisor.look().await?;
        health.started.store(true, Ordering::Release);
        announce(address)?;
        let matching = tokio::spawn(matching.run(stop.clone()));
        let upkeep = upkeep.and_then(|upkeep| aside.spawn(upkeep.run(stop.clone())));
        supervisor.run(&stop).await;
        matching.abort();
        upkeep.inspect(JoinHandle::abort);
        Ok(())
    };
    let ended = tokio::select! {
        ended = serving => ended,
        lost = lease.keep(address) => return Err(lost),
    };
    lease.give_back(address).await;
    drained.cancel();
    if tokio::time::timeout(HTTP_END, http).await.is_err() {
        tracing::warn!("requests to HTTP were cut off");
    }
    ended
}
