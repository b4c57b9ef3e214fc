//! The service, in this process: what cannot be seen from outside of it is asked for from within.
//!
//! Owns [`run`].
//! - I1: it is the product's service: the same directory, the same jobs. Only the way to its objects may be longer.
//! - I2: the catalog's database is near in any case.

use std::collections::BTreeMap;
use std::io::stdin;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use tableflow::home::Home;
use tableflow::serve;
use tableflow_catalog::EmbeddedCatalog;
use tableflow_connectors::kafka::{KafkaTopics, Properties};
use tableflow_model::{Error, Result};
use tableflow_store::Store;
use tableflow_store::paths::Warehouse;
use tokio_util::sync::CancellationToken;

use crate::distance::Distance;
use crate::print;

/// Requests to the store since the service began.
#[derive(Debug, Serialize)]
struct Requests {
    puts: u64,
    gets: u64,
    lists: u64,
    deletes: u64,
    bytes_out: u64,
}

/// Until stdin ends.
pub fn run(directory: &Path, servers: &str, far: bool, memory_bytes_max: u64) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| Error::unavailable("the threads cannot be started").with_source(error))?;
    let home = runtime.block_on(Home::open(directory))?;
    let home = if far { runtime.block_on(from_afar(home))? } else { home };
    let settings = BTreeMap::from([("bootstrap.servers".to_owned(), servers.to_owned())]);
    let home = home.with_topics(Arc::new(KafkaTopics::new(Box::new(move || Properties::new(&settings)))?));
    let (store, stop) = (home.store.clone(), CancellationToken::new());
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let serving = runtime.spawn(serve::run(home, listen, (memory_bytes_max, None), stop.clone(), |_| Ok(())));
    for line in stdin().lines() {
        line.map_err(|error| Error::unavailable("stdin cannot be read").with_source(error))?;
        let meter = store.meter();
        let (puts, gets, lists, deletes) = (meter.puts, meter.gets, meter.lists, meter.deletes);
        print(&Requests { puts, gets, lists, deletes, bytes_out: meter.bytes_out })?;
    }
    stop.cancel();
    runtime.block_on(serving).unwrap_or_else(|error| Err(Error::internal("the service failed").with_source(error)))
}

/// The same directory, its objects further away (I2).
async fn from_afar(home: Home) -> Result<Home> {
    let store = Store::with_object_store(&home.store.root_uri(), Distance::new(home.store.object_store()))?;
    let warehouse = Warehouse::new(&format!("{}/warehouse", store.root_uri()));
    let (database, clock, ids) = (home.directory.join("catalog.db"), home.clock.clone(), home.ids.clone());
    let catalog = Arc::new(EmbeddedCatalog::open(&database, store.clone(), warehouse, clock, ids).await?);
    Ok(Home { store, catalog, ..home })
}
