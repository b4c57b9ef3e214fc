//! Who runs the service of a data directory.
//!
//! Owns [`Lease`]: a small object that the running service renews. It is a courtesy that spares people two
//! services at once; what keeps data right when two run all the same is the ledger's generation (rule S2).
//! - I1: a lease not renewed for [`LEASE_MS`] is nobody's.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tableflow_model::{Error, Millis, Result};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::home::Home;

/// Several missed renewals, so that a slow disk does not end a lease.
const LEASE_MS: i64 = 10_000;

const RENEW_EVERY: Duration = Duration::from_secs(2);

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Service {
    pub holder: Uuid,
    pub process: u32,
    pub address: Option<SocketAddr>,
    pub renewed_at: Millis,
    pub ended: bool,
}

/// The right to run the service, renewed while it runs.
#[derive(Debug)]
pub struct Lease {
    home: Home,
    holder: Uuid,
}

/// The service that runs on this data directory, if one does (I1).
pub async fn live_service(home: &Home) -> Option<Service> {
    let bytes = home.store.get(&home.state.service()).await.ok()?;
    let service: Service = serde_json::from_slice(&bytes).ok()?;
    let fresh = home.clock.now().0 - service.renewed_at.0 < LEASE_MS;
    (fresh && !service.ended && is_running(service.process)).then_some(service)
}

/// A process that died leaves its lease behind; on this machine that can be seen at once.
fn is_running(process: u32) -> bool {
    !std::path::Path::new("/proc/self").exists() || std::path::Path::new(&format!("/proc/{process}")).exists()
}

impl Lease {
    pub async fn take(home: Home) -> Result<Self> {
        if let Some(service) = live_service(&home).await {
            let address = service.address.map(|address| format!(" on {address}")).unwrap_or_default();
            return Err(Error::conflict(format!(
                "a service runs on this data directory already: process {}{address}",
                service.process
            ))
            .with_hint("stop it first, or use another --data-dir"));
        }
        let lease = Lease { holder: home.ids.uuid(), home };
        lease.put(None, false).await?;
        Ok(lease)
    }

    /// Renews until `stop`, then gives the lease back.
    pub async fn keep(self, address: SocketAddr, stop: CancellationToken) {
        while !stop.is_cancelled() {
            if let Err(error) = self.put(Some(address), false).await {
                tracing::warn!(%error, "the service's lease was not renewed");
            }
            tokio::select! {
                () = tokio::time::sleep(RENEW_EVERY) => {}
                () = stop.cancelled() => {}
            }
        }
        if let Err(error) = self.put(Some(address), true).await {
            tracing::warn!(%error, "the service's lease was not given back");
        }
    }

    async fn put(&self, address: Option<SocketAddr>, ended: bool) -> Result<()> {
        let (process, renewed_at) = (std::process::id(), self.home.clock.now());
        let service = Service { holder: self.holder, process, address, renewed_at, ended };
        let json = serde_json::to_vec(&service);
        let json = json.map_err(|error| Error::internal("a lease has no JSON form").with_source(error))?;
        self.home.store.put_overwrite(&self.home.state.service(), Bytes::from(json)).await
    }
}
