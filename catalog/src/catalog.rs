//! The trait every catalog implements.
//!
//! Owns [`Catalog`], what it loads ([`LoadedTable`]) and what becomes of a commit ([`CommitOutcome`]).
//! - I1: a commit is one compare-and-swap: it is applied whole on exactly the base it was made for, or not at all.
//! - I2: rule C1 of the protocol: what another uuid, a moved branch, a stale sequence number, a snapshot id used
//!   before or a ref to nowhere would break is refused, by the catalog itself or by what it talks to. The
//!   conformance suite tests it for every catalog.
//! - I3: rule C4: [`CommitOutcome::Conflict`] and `Err` mean certainly not applied, on an allow-list of reasons.
//!   Everything else that happens once the request may have reached the database is
//!   [`CommitOutcome::Unknown`], and nothing of that commit is deleted.
//! - I4: dropping forgets the table and deletes no file.
//!
//! Neighbours: `lake` builds the requirements and updates; `conformance` holds implementations to this page.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use iceberg::spec::{FormatVersion, Schema, SortOrder, TableMetadata, UnboundPartitionSpec};
use iceberg::{TableRequirement, TableUpdate};
use tableflow_model::protocol::Guard;
use tableflow_model::{Error, Result, TableName};

/// Properties of a namespace.
pub type Properties = BTreeMap<String, String>;

/// A table as a catalog told it: the base of a commit.
#[derive(Clone, Debug)]
pub struct LoadedTable {
    pub metadata: Arc<TableMetadata>,
    /// Where that metadata was read; never empty.
    pub metadata_location: String,
}

/// A table to be made.
#[derive(Clone, Debug)]
pub struct TableCreation {
    /// `None`: the catalog chooses a directory of its own in the warehouse.
    pub location: Option<String>,
    /// Field ids are assigned anew, in order, as every Iceberg implementation does.
    pub schema: Schema,
    pub partition_spec: Option<UnboundPartitionSpec>,
    pub sort_order: Option<SortOrder>,
    pub properties: HashMap<String, String>,
    pub format_version: FormatVersion,
}

impl TableCreation {
    /// Unpartitioned, unsorted, format version 2, where the catalog likes it.
    pub fn new(schema: Schema) -> Self {
        TableCreation {
            location: None,
            schema,
            partition_spec: None,
            sort_order: None,
            properties: HashMap::new(),
            format_version: FormatVersion::V2,
        }
    }
}

/// What became of a commit (I3).
#[derive(Debug)]
pub enum CommitOutcome {
    Applied(LoadedTable),
    /// Certainly not applied: somebody else was first, or a requirement does not hold.
    Conflict {
        reason: String,
    },
    /// Perhaps applied: load the table again, then decide.
    Unknown {
        error: Error,
    },
}

/// Where tables are registered. Errors of kind `NotFound` and `AlreadyExists` mean what they say.
#[async_trait]
pub trait Catalog: Debug + Send + Sync {
    /// What a commit's base is compared by: after an unknown outcome it decides which change of the table tells that
    /// the commit can no longer land (rule C4). Who says [`Guard::Location`] refuses every base but the newest
    /// metadata, even where uuid and snapshot are still the same.
    fn guard(&self) -> Guard;

    async fn create_namespace(&self, namespace: &str, properties: &Properties) -> Result<()>;

    /// In the order of their names.
    async fn list_namespaces(&self) -> Result<Vec<String>>;

    async fn load_namespace(&self, namespace: &str) -> Result<Properties>;

    /// Sets and removes properties in one step; a key in both is set.
    async fn update_namespace(&self, namespace: &str, updates: &Properties, removals: &[String]) -> Result<()>;

    /// Refused while tables are in it.
    async fn drop_namespace(&self, namespace: &str) -> Result<()>;

    async fn create_table(&self, table: &TableName, creation: TableCreation) -> Result<LoadedTable>;

    async fn load_table(&self, table: &TableName) -> Result<LoadedTable>;

    /// In the order of their names.
    async fn list_tables(&self, namespace: &str) -> Result<Vec<TableName>>;

    async fn table_exists(&self, table: &TableName) -> Result<bool>;

    /// The table keeps its uuid, its location and its commits in flight.
    async fn rename_table(&self, from: &TableName, to: &TableName) -> Result<()>;

    async fn drop_table(&self, table: &TableName) -> Result<()>;

    /// Publishes a change of the table as it was loaded (I1).
    async fn commit(
        &self,
        table: &TableName,
        base: &LoadedTable,
        requirements: Vec<TableRequirement>,
        updates: Vec<TableUpdate>,
    ) -> Result<CommitOutcome>;
}
