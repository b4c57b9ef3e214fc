//! Who runs the service of a data directory.
//!
//! Owns [`Lease`]: a small object that the running service renews. It is a courtesy that spares people two
//! services at once; what keeps data right when two run all the same is the ledger's generation (rule S2).
//! - I1: a lease not renewed for `LEASE_MS` is nobody's.
//! - I2: a lease that somebody else took is theirs, however they got it: it is neither renewed nor given back.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tableflow_model::{Error, ErrorKind, Millis, Result};
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

/// What becomes of a lease that was to be renewed.
#[derive(Debug)]
enum Renewal {
    Done,
    Lost(Error),
}

/// The service that runs on this data directory, if one does (I1).
pub async fn live_service(home: &Home) -> Option<Service> {
    let service = last_service(home).await.ok()??;
    let fresh = home.clock.now().0 - service.renewed_at.0 < LEASE_MS;
    (fresh && !service.ended && is_running(service.process)).then_some(service)
}

/// The service that took the lease last.
async fn last_service(home: &Home) -> Result<Option<Service>> {
    match home.store.get(&home.state.service()).await {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
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

    /// Renews until somebody else has the lease; says who.
    pub async fn keep(&self, address: SocketAddr) -> Error {
        loop {
            match self.renew(address, false).await {
                Ok(Renewal::Done) => {}
                Ok(Renewal::Lost(error)) => return error,
                Err(error) => tracing::warn!(%error, "the service's lease was not renewed"),
            }
            tokio::time::sleep(RENEW_EVERY).await;
        }
    }

    pub async fn give_back(self, address: SocketAddr) {
        if let Err(error) = self.renew(address, true).await {
            tracing::warn!(%error, "the service's lease was not given back");
        }
    }

    /// I2. Between the look and the put somebody may still come in; they then see it at their next renewal.
    async fn renew(&self, address: SocketAddr, ended: bool) -> Result<Renewal> {
        match last_service(&self.home).await? {
            Some(other) if other.holder != self.holder => Ok(Renewal::Lost(
                Error::conflict(format!("process {} took over this data directory", other.process))
                    .with_detail("this service had not renewed its lease for so long that it counted as gone")
                    .with_hint("the other service goes on from what is committed; there is nothing to mend"),
            )),
            _ => self.put(Some(address), ended).await.map(|()| Renewal::Done),
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    use tableflow_model::Clock;
    use tempfile::TempDir;

    use super::*;

    #[derive(Debug, Default)]
    struct HandClock(AtomicI64);

    impl Clock for HandClock {
        fn now(&self) -> Millis {
            Millis(self.0.load(Ordering::Relaxed))
        }
    }

    async fn home_with_clock(directory: &TempDir) -> (Home, Arc<HandClock>) {
        let clock = Arc::new(HandClock::default());
        let home = Home::open(directory.path()).await.unwrap();
        (Home { clock: clock.clone(), ..home }, clock)
    }

    fn address() -> SocketAddr {
        "127.0.0.1:1".parse().unwrap()
    }

    #[tokio::test]
    async fn i1_a_lease_is_refused_while_it_is_fresh_and_nobodys_afterwards() {
        let directory = TempDir::new().unwrap();
        let (home, clock) = home_with_clock(&directory).await;
        let first = Lease::take(home.clone()).await.unwrap();
        clock.0.fetch_add(LEASE_MS - 1, Ordering::Relaxed);
        assert_eq!(Lease::take(home.clone()).await.unwrap_err().kind(), ErrorKind::Conflict);
        assert!(matches!(first.renew(address(), false).await, Ok(Renewal::Done)));
        clock.0.fetch_add(LEASE_MS - 1, Ordering::Relaxed);
        assert!(Lease::take(home.clone()).await.is_err(), "it was renewed");
        clock.0.fetch_add(1, Ordering::Relaxed);
        let second = Lease::take(home.clone()).await.unwrap();
        second.give_back(address()).await;
        assert!(live_service(&home).await.is_none());
        Lease::take(home).await.unwrap();
    }

    #[tokio::test]
    async fn i2_a_lease_that_somebody_else_took_is_left_alone() {
        let directory = TempDir::new().unwrap();
        let (home, clock) = home_with_clock(&directory).await;
        let first = Lease::take(home.clone()).await.unwrap();
        clock.0.fetch_add(LEASE_MS, Ordering::Relaxed);
        let second = Lease::take(home.clone()).await.unwrap();
        let lost = tokio::time::timeout(RENEW_EVERY, first.keep(address())).await.expect("it noticed");
        assert!(lost.report().contains("took over this data directory"), "{}", lost.report());
        first.give_back(address()).await;
        assert_eq!(live_service(&home).await.map(|service| service.holder), Some(second.holder));
    }
}
