//! The data directory: what a commit does to it, with a scratch object; room on the disk; the clock.

use bytes::Bytes;
use tableflow_model::{Error, Result};
use tableflow_store::PutOutcome;

use super::{Check, within_deadline};
use crate::home::Home;

/// Below it a commit may not find room for its files.
const ROOM_BYTES_MIN: u64 = 1024 * 1024 * 1024;

/// A clock that stands before this was never set: 2026-01-01.
const YOUNGEST_MS: i64 = 1_767_225_600_000;

pub async fn look(home: &Home) -> Vec<Check> {
    let place = format!("data directory {}", home.directory.display());
    let objects = within_deadline(&place, async { Check::of(place.clone(), scratch(home).await) }).await;
    vec![objects, room(home), clock(home)]
}

/// Puts, puts again, reads, lists and deletes.
async fn scratch(home: &Home) -> Result<String> {
    let folder = format!("{}/doctor", home.store.root_uri());
    let uri = format!("{folder}/{}", home.ids.uuid());
    let bytes = Bytes::from_static(b"scratch of tableflow doctor");
    let put = home.store.put_new(&uri, bytes.clone()).await;
    put.map_err(|error| {
        error.with_hint("everybody who uses the data directory writes in it: check its owner and its rights")
    })?;
    let looked = async {
        if home.store.put_new(&uri, Bytes::from_static(b"another")).await? == PutOutcome::Created {
            return Err(Error::internal("an object was put twice under one name")
                .with_hint("the file system does not keep two writers apart; use another one"));
        }
        if home.store.get(&uri).await? != bytes {
            return Err(Error::internal("an object was read that differs from what was put"));
        }
        if home.store.list_all(&folder).await?.is_empty() {
            return Err(Error::internal("an object that was put is not listed"));
        }
        Ok("objects can be put once, read, listed and deleted".to_owned())
    };
    let looked = looked.await;
    home.store.delete(&uri).await?;
    looked
}

fn room(home: &Home) -> Check {
    let Ok(found) = rustix::fs::statvfs(&home.directory) else {
        return Check::warning("disk", "nobody says how much room there is", "look with `df`");
    };
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    let detail = format!("{} MiB are free", free / (1024 * 1024));
    if free >= ROOM_BYTES_MIN {
        return Check::ok("disk", detail);
    }
    Check::warning("disk", detail, "make room: tables stop with a full disk, and go on when there is room again")
}

fn clock(home: &Home) -> Check {
    let now = home.clock.now().0;
    if now >= YOUNGEST_MS {
        return Check::ok("clock", crate::output::rfc3339(now).unwrap_or_default());
    }
    let detail = crate::output::rfc3339(now).unwrap_or_default();
    Check::warning("clock", detail, "set the machine's clock: snapshots carry its time")
}
