//! The data directory and everything embedded in it.
//!
//! Owns [`Home`]: one handle on topics, catalog, warehouse and state, as every verb opens it.
//!
//! ```text
//!  DIR/catalog.db   the catalog, in PyIceberg's layout
//!  DIR/warehouse/   the tables' files
//!  DIR/topics/      the embedded topics
//!  DIR/state/       definitions, patterns, status, the service's lease, epoch manifests of jobs with several tables,
//!                   the embedded schema registry, indexes of keys
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tableflow_catalog::Catalog;
use tableflow_catalog::embedded::EmbeddedCatalog;
use tableflow_connectors::local::{EmbeddedTopics, LocalTopics};
use tableflow_connectors::registry::{EmbeddedRegistry, PrefixLength, SchemaCache, SchemaRegistry};
use tableflow_connectors::topics::{Keeper, Topics};
use tableflow_lake::commit::CommitContext;
use tableflow_model::clock::{RandomIds, SystemClock};
use tableflow_model::{Clock, Error, Ids, Result, Source, TopicName};
use tableflow_store::Store;
use tableflow_store::paths::{StatePaths, Warehouse};
use uuid::Uuid;

use crate::definition::{Definition, Definitions};
use crate::growth::Growth;
use crate::pattern::Patterns;
use crate::turns::Turns;

/// What makes a folder a data directory: it is made first.
const CATALOG: &str = "catalog.db";

const EMBEDDED_REGISTRY: &str = "the embedded registry";

/// Where schemas of registries elsewhere are remembered, below the data directory.
const SCHEMA_CACHE: &str = "state/schemas";

/// Where indexes of tables with one row a key are, below the data directory.
const KEY_INDEXES: &str = "state/keys";

/// Everything embedded, opened. Clones share it.
#[derive(Clone, Debug)]
pub struct Home {
    pub directory: PathBuf,
    pub store: Store,
    pub catalog: Arc<dyn Catalog>,
    pub topics: Arc<dyn Topics>,
    pub schemas: Arc<dyn SchemaRegistry>,
    /// Where the schemas are, as people call it.
    pub registry_name: String,
    /// How long an id before a record's bytes is.
    pub id_prefix: PrefixLength,
    /// What the ids in records mean.
    pub schema_cache: Arc<SchemaCache>,
    pub state: StatePaths,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn Ids>,
    pub turns: Arc<Turns>,
    pub growth: Arc<Growth>,
}

impl Home {
    /// Opens the directory, which must be one: a misspelt name is said, not made.
    pub async fn open_existing(directory: &Path) -> Result<Self> {
        if directory.join(CATALOG).is_file() {
            return Self::open(directory).await;
        }
        Err(Error::usage(format!("there is no data directory {}", directory.display()))
            .with_hint("name another with --data-dir or TABLEFLOW_DATA_DIR; `tableflow topic create` makes one"))
    }

    /// Opens the directory, and makes it if it is not there.
    pub async fn open(directory: &Path) -> Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let ids: Arc<dyn Ids> = Arc::new(RandomIds);
        let directory = absolute(directory)?;
        let store = Store::open(&directory.to_string_lossy(), clock.as_ref())?;
        let warehouse = Warehouse::new(&format!("{}/warehouse", store.root_uri()));
        let state = StatePaths::new(&format!("{}/state", store.root_uri()));
        let database = directory.join(CATALOG);
        let catalog = EmbeddedCatalog::open(&database, store.clone(), warehouse, clock.clone(), ids.clone()).await?;
        let topics = LocalTopics::open(&directory);
        let topics = Arc::new(EmbeddedTopics { topics, clock: clock.clone(), ids: ids.clone() });
        let schemas = Arc::new(EmbeddedRegistry::new(store.clone(), state.clone(), clock.clone()));
        let schema_cache = Arc::new(SchemaCache::new(schemas.clone(), clock.clone(), None));
        let registry_name = EMBEDDED_REGISTRY.to_owned();
        let (catalog, id_prefix) = (Arc::new(catalog), PrefixLength::default());
        Ok(Home {
            directory,
            store,
            catalog,
            topics,
            schemas,
            registry_name,
            id_prefix,
            schema_cache,
            state,
            clock,
            ids,
            turns: Arc::default(),
            growth: Arc::default(),
        })
    }

    /// The same directory, with a schema registry elsewhere. Its fingerprint, which no other one has, keeps what is
    /// remembered of it apart.
    #[must_use]
    pub fn with_registry(self, registry: Arc<dyn SchemaRegistry>, name: String, fingerprint: &str) -> Self {
        let directory = self.directory.join(SCHEMA_CACHE).join(fingerprint);
        let schema_cache = Arc::new(SchemaCache::new(registry.clone(), self.clock.clone(), Some(directory)));
        Home { schemas: registry, registry_name: name, schema_cache, ..self }
    }

    /// The same directory, where ids of schemas are so long.
    #[must_use]
    pub fn with_ids(self, id_prefix: PrefixLength) -> Self {
        Home { id_prefix, ..self }
    }

    /// The same directory and registry, for a verb that writes nothing: schemas are remembered while it runs.
    #[must_use]
    pub fn remembering_nothing(self) -> Self {
        let schema_cache = Arc::new(SchemaCache::new(self.schemas.clone(), self.clock.clone(), None));
        Home { schema_cache, ..self }
    }

    /// The same directory, with topics that are kept elsewhere.
    #[must_use]
    pub fn with_topics(self, topics: Arc<dyn Topics>) -> Self {
        Home { topics, ..self }
    }

    /// Where the index of a table's keys is.
    pub fn key_index(&self, table: Uuid) -> PathBuf {
        self.directory.join(KEY_INDEXES).join(table.to_string())
    }

    pub fn definitions(&self) -> Definitions {
        Definitions::new(self.store.clone(), self.state.clone())
    }

    pub fn patterns(&self) -> Patterns {
        Patterns::new(self.store.clone(), self.state.clone())
    }

    /// The embedded schema registry.
    pub fn registry(&self) -> EmbeddedRegistry {
        EmbeddedRegistry::new(self.store.clone(), self.state.clone(), self.clock.clone())
    }

    /// A reader of a topic.
    pub async fn source(&self, topic: &TopicName) -> Result<Box<dyn Source>> {
        self.topics.source(topic).await
    }

    /// A reader of a table's topic, from the keeper that the table was enabled with.
    pub async fn source_of(&self, definition: &Definition) -> Result<Box<dyn Source>> {
        let (table, topic) = (&definition.table, &definition.topic);
        match (definition.keeper, self.topics.keeper()) {
            (Some(Keeper::Kafka), Keeper::Embedded) => {
                Err(Error::usage(format!("{table} is fed by topic {topic} of a Kafka cluster, and none is configured"))
                    .with_hint("set bootstrap.servers in [kafka], as it was when the table was enabled"))
            }
            (Some(Keeper::Embedded), Keeper::Kafka) => Err(Error::usage(format!(
                "{table} is fed by the embedded topic {topic}, and a Kafka cluster is configured"
            ))
            .with_hint("leave [kafka] out for this data directory, or keep its tables in another one")),
            _ => self.source(topic).await,
        }
    }

    pub fn commit_context(&self) -> CommitContext<'_> {
        CommitContext { store: &self.store, clock: self.clock.as_ref(), ids: self.ids.as_ref() }
    }
}

/// An absolute path without `..` and links, as the URIs in metadata need it; the directory is made on the way.
fn absolute(directory: &Path) -> Result<PathBuf> {
    let failed = |error: std::io::Error| {
        Error::unavailable(format!("the data directory {} cannot be made", directory.display()))
            .with_source(error)
            .with_hint("choose another with --data-dir or TABLEFLOW_DATA_DIR")
    };
    std::fs::create_dir_all(directory).map_err(failed)?;
    directory.canonicalize().map_err(failed)
}
