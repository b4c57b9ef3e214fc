//! The job in this process, over a catalog and a store that fail on purpose.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tableflow::definition::Definition;
use tableflow::home::Home;
use tableflow::pipeline::budget::TableMemory;
use tableflow::pipeline::job::{Ended, Goal};
use tableflow::pipeline::progress::Progress;
use tableflow::pipeline::supervise::run_job;
use tableflow_catalog::fault::FaultCatalog;
use tableflow_catalog::{Catalog, EmbeddedCatalog, LoadedTable};
use tableflow_model::protocol::Ledger;
use tableflow_model::{Result, TableName};
use tableflow_store::Store;
use tableflow_store::fault::FaultStore;
use tableflow_store::paths::Warehouse;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::product::{PATIENCE, Product};

pub struct World {
    pub product: Product,
    pub home: Home,
    pub commits: Arc<FaultCatalog>,
    pub requests: Arc<FaultStore>,
    /// The catalog below: what somebody else uses.
    pub catalog: Arc<dyn Catalog>,
    pub table: TableName,
}

pub type Running = JoinHandle<Result<Ended>>;

impl World {
    pub async fn new() -> Self {
        Self::over(Product::with_table()).await
    }

    /// Of a product that has its table.
    pub async fn over(product: Product) -> Self {
        let mut home = Home::open(product.directory()).await.unwrap();
        let requests = FaultStore::new(home.store.object_store());
        let root = home.store.root_uri();
        let faulty = Store::with_object_store(&root, requests.clone()).unwrap();
        let database = home.directory.join("catalog.db");
        let warehouse = || Warehouse::new(&format!("{root}/warehouse"));
        let (clock, ids) = (home.clock.clone(), home.ids.clone());
        let embedded = EmbeddedCatalog::open(&database, faulty.clone(), warehouse(), clock, ids).await.unwrap();
        let commits = FaultCatalog::new(Arc::new(embedded));
        let catalog = std::mem::replace(&mut home.catalog, commits.clone());
        home.store = faulty;
        let table = TableName::new("bronze", "t").unwrap();
        World { product, home, commits, requests, catalog, table }
    }

    pub async fn definition(&self) -> Definition {
        self.home.definitions().get(&self.table).await.unwrap()
    }

    pub async fn start(&self, goal: Goal) -> Running {
        let memory = TableMemory::new(1 << 30);
        tokio::spawn(run_job(self.home.clone(), self.definition().await, Arc::new(Progress::default()), memory, goal))
    }

    pub async fn start_sync(&self) -> Running {
        self.start(Goal::CatchUp(CancellationToken::new())).await
    }

    /// One job up to the topic's end.
    pub async fn sync(&self) -> Result<Ended> {
        end_of(self.start_sync().await).await
    }

    /// The table as somebody else sees it.
    pub async fn load(&self) -> LoadedTable {
        self.catalog.load_table(&self.table).await.unwrap()
    }

    /// Rows exactly once, exactly one snapshot for every epoch of the ledger, and every file that was written.
    pub async fn check(&self, replay: &str) {
        self.product.check(replay);
        let table = self.load().await;
        let property = Ledger::property(&self.definition().await.job);
        let epoch = |text: &String| Ledger::from_text(text).unwrap().epoch.0;
        let current = epoch(table.metadata.properties().get(&property).unwrap());
        let of =
            |snapshot: &iceberg::spec::SnapshotRef| snapshot.summary().additional_properties.get(&property).map(epoch);
        let mut epochs: Vec<u64> = table.metadata.snapshots().filter_map(of).collect();
        epochs.sort_unstable();
        assert_eq!(epochs, (1..=current).collect::<Vec<_>>(), "{replay}: one snapshot for every epoch");
    }

    /// The data files there are, referenced or not.
    pub async fn data_files(&self) -> BTreeSet<String> {
        let objects = self.home.store.list_all(&format!("{}/warehouse", self.home.store.root_uri())).await.unwrap();
        objects.into_iter().map(|object| object.uri).filter(|uri| uri.ends_with(".parquet")).collect()
    }

    /// Until so many commits met their fault.
    pub async fn wait_for_faults(&self, count: usize) {
        let met = async {
            while self.commits.fired().len() < count {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, met).await.expect("no commit met its fault");
    }
}

pub async fn end_of(job: Running) -> Result<Ended> {
    tokio::time::timeout(PATIENCE, job).await.expect("the job never ends").unwrap()
}

/// Why a job that a person has to look at ended.
pub fn suspended(ended: Result<Ended>, replay: &str) -> String {
    match ended {
        Ok(Ended::Suspended(error)) | Err(error) => error.report(),
        other => panic!("{replay}: {other:?} instead of a suspension"),
    }
}
