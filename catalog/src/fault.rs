//! A catalog whose replies get lost, for the tests of every crate.
//!
//! Owns [`FaultCatalog`]: it wraps any catalog and applies [`CommitFault`]s to commits, in the order scripted.
//! - I1: without faults, and for everything but commits, it is the catalog below.
//! - I2: what it answers is what a client can see of a real fault: `Unknown`, never an invented success.
//!
//! Neighbours: wraps any [`Catalog`]; the store's twin is `tableflow_store::fault`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use iceberg::{TableRequirement, TableUpdate};
use tableflow_model::protocol::Guard;
use tableflow_model::{Error, Result, TableName};

use crate::catalog::{Catalog, CommitOutcome, LoadedTable, Properties, TableCreation};

/// What happens to one commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitFault {
    /// Nothing: it passes. Lets a script skip commits.
    Pass,
    /// The commit is made, the reply is lost.
    ApplyThenUnknown,
    /// The request is lost, which the client cannot know.
    UnknownWithoutApplying,
    /// The reply is lost; the commit stays under way until [`FaultCatalog::land_held`].
    HoldThenUnknown,
    /// The commit is made after this time.
    Delay(Duration),
}

#[derive(Debug)]
struct Held {
    table: TableName,
    base: LoadedTable,
    requirements: Vec<TableRequirement>,
    updates: Vec<TableUpdate>,
}

#[derive(Debug, Default)]
struct Plan {
    script: VecDeque<CommitFault>,
    fired: Vec<CommitFault>,
    held: Vec<Held>,
}

/// A catalog that loses replies on purpose.
#[derive(Debug)]
pub struct FaultCatalog {
    inner: Arc<dyn Catalog>,
    plan: Mutex<Plan>,
}

impl FaultCatalog {
    pub fn new(inner: Arc<dyn Catalog>) -> Arc<Self> {
        Arc::new(FaultCatalog { inner, plan: Mutex::default() })
    }

    /// For the next commit that has none yet.
    pub fn script(&self, fault: CommitFault) {
        self.plan().script.push_back(fault);
    }

    /// The faults that commits met so far.
    pub fn fired(&self) -> Vec<CommitFault> {
        self.plan().fired.clone()
    }

    /// Lets the commits that are under way arrive, in order; tells what the catalog below made of each.
    pub async fn land_held(&self) -> Vec<Result<CommitOutcome>> {
        let held = std::mem::take(&mut self.plan().held);
        let mut outcomes = Vec::with_capacity(held.len());
        for commit in held {
            let Held { table, base, requirements, updates } = commit;
            outcomes.push(self.inner.commit(&table, &base, requirements, updates).await);
        }
        outcomes
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> CommitFault {
        let mut plan = self.plan();
        let fault = plan.script.pop_front().unwrap_or(CommitFault::Pass);
        if fault != CommitFault::Pass {
            plan.fired.push(fault);
        }
        fault
    }
}

fn unknown() -> CommitOutcome {
    CommitOutcome::Unknown { error: Error::unavailable("the catalog's reply was lost") }
}

#[async_trait]
impl Catalog for FaultCatalog {
    fn guard(&self) -> Guard {
        self.inner.guard()
    }

    async fn commit(
        &self,
        table: &TableName,
        base: &LoadedTable,
        requirements: Vec<TableRequirement>,
        updates: Vec<TableUpdate>,
    ) -> Result<CommitOutcome> {
        match self.next() {
            CommitFault::Pass => {}
            CommitFault::Delay(delay) => tokio::time::sleep(delay).await,
            CommitFault::UnknownWithoutApplying => return Ok(unknown()),
            CommitFault::HoldThenUnknown => {
                let held = Held { table: table.clone(), base: base.clone(), requirements, updates };
                self.plan().held.push(held);
                return Ok(unknown());
            }
            CommitFault::ApplyThenUnknown => {
                // Whatever came of it, nobody hears of it.
                drop(self.inner.commit(table, base, requirements, updates).await);
                return Ok(unknown());
            }
        }
        self.inner.commit(table, base, requirements, updates).await
    }

    async fn create_namespace(&self, namespace: &str, properties: &Properties) -> Result<()> {
        self.inner.create_namespace(namespace, properties).await
    }

    async fn list_namespaces(&self) -> Result<Vec<String>> {
        self.inner.list_namespaces().await
    }

    async fn load_namespace(&self, namespace: &str) -> Result<Properties> {
        self.inner.load_namespace(namespace).await
    }

    async fn update_namespace(&self, namespace: &str, updates: &Properties, removals: &[String]) -> Result<()> {
        self.inner.update_namespace(namespace, updates, removals).await
    }

    async fn drop_namespace(&self, namespace: &str) -> Result<()> {
        self.inner.drop_namespace(namespace).await
    }

    async fn create_table(&self, table: &TableName, creation: TableCreation) -> Result<LoadedTable> {
        self.inner.create_table(table, creation).await
    }

    async fn load_table(&self, table: &TableName) -> Result<LoadedTable> {
        self.inner.load_table(table).await
    }

    async fn list_tables(&self, namespace: &str) -> Result<Vec<TableName>> {
        self.inner.list_tables(namespace).await
    }

    async fn table_exists(&self, table: &TableName) -> Result<bool> {
        self.inner.table_exists(table).await
    }

    async fn rename_table(&self, from: &TableName, to: &TableName) -> Result<()> {
        self.inner.rename_table(from, to).await
    }

    async fn drop_table(&self, table: &TableName) -> Result<()> {
        self.inner.drop_table(table).await
    }
}
