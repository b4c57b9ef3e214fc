//! The rows of the catalog database.
//!
//! Owns all SQL and the layout, PyIceberg's: `iceberg_tables` and `iceberg_namespace_properties`.
//! - I1: every change is one statement, or a transaction that begins with a change, so that no reader's lock has to
//!   be upgraded and nothing is decided on rows that another process can change in between.
//! - I2: a namespace exists if it has a property row or a table. It gets the row `exists = true`, PyIceberg's
//!   mark, which is hidden from readers and cannot be removed.
//! - I3: rows of other types (views) are not tables; a row without a type is one (older writers leave it out).
//!
//! Neighbours: `embedded` and `commit` decide, `sqlite_error` explains.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use tableflow_model::{Error, Result, TableName};

use super::CATALOG_NAME;
use super::sqlite_error::{had_no_effect, is_taken, translate};
use crate::catalog::Properties;

/// Another process commits in milliseconds; one that takes longer is stuck.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// SQLite has one writer; a few more connections keep readers from waiting for it.
const CONNECTIONS_MAX: u32 = 4;

/// PyIceberg's mark of a namespace.
const EXISTS: &str = "exists";

const CREATE_TABLES: &str = "CREATE TABLE IF NOT EXISTS iceberg_tables (
    catalog_name VARCHAR(255) NOT NULL,
    table_namespace VARCHAR(255) NOT NULL,
    table_name VARCHAR(255) NOT NULL,
    metadata_location VARCHAR(1000),
    previous_metadata_location VARCHAR(1000),
    iceberg_type VARCHAR(5),
    PRIMARY KEY (catalog_name, table_namespace, table_name))";

const CREATE_PROPERTIES: &str = "CREATE TABLE IF NOT EXISTS iceberg_namespace_properties (
    catalog_name VARCHAR(255) NOT NULL,
    namespace VARCHAR(255) NOT NULL,
    property_key VARCHAR(255) NOT NULL,
    property_value VARCHAR(1000) NOT NULL,
    PRIMARY KEY (catalog_name, namespace, property_key))";

/// A database that PyIceberg made lacks this column.
const HAS_TYPE: &str = "SELECT count(*) FROM pragma_table_info('iceberg_tables') WHERE name = 'iceberg_type'";
const ADD_TYPE: &str = "ALTER TABLE iceberg_tables ADD COLUMN iceberg_type VARCHAR(5)";

const LOCATION: &str = "SELECT metadata_location FROM iceberg_tables
    WHERE catalog_name = ?1 AND table_namespace = ?2 AND table_name = ?3 AND (iceberg_type = 'TABLE' OR iceberg_type IS NULL)";

const SWAP: &str = "UPDATE iceberg_tables SET metadata_location = ?5, previous_metadata_location = ?4
    WHERE catalog_name = ?1 AND table_namespace = ?2 AND table_name = ?3 AND metadata_location = ?4
    AND (iceberg_type = 'TABLE' OR iceberg_type IS NULL)";

const INSERT_TABLE: &str = "INSERT INTO iceberg_tables
    (catalog_name, table_namespace, table_name, metadata_location, previous_metadata_location, iceberg_type)
    SELECT ?1, ?2, ?3, ?4, NULL, 'TABLE'
    WHERE EXISTS (SELECT 1 FROM iceberg_namespace_properties WHERE catalog_name = ?1 AND namespace = ?2)
    OR EXISTS (SELECT 1 FROM iceberg_tables WHERE catalog_name = ?1 AND table_namespace = ?2)";

const RENAME_TABLE: &str = "UPDATE iceberg_tables SET table_namespace = ?4, table_name = ?5
    WHERE catalog_name = ?1 AND table_namespace = ?2 AND table_name = ?3 AND (iceberg_type = 'TABLE' OR iceberg_type IS NULL)";

const DELETE_TABLE: &str = "DELETE FROM iceberg_tables
    WHERE catalog_name = ?1 AND table_namespace = ?2 AND table_name = ?3 AND (iceberg_type = 'TABLE' OR iceberg_type IS NULL)";

const TABLE_NAMES: &str = "SELECT table_name FROM iceberg_tables
    WHERE catalog_name = ?1 AND table_namespace = ?2 AND (iceberg_type = 'TABLE' OR iceberg_type IS NULL)
    ORDER BY table_name";

const NAMESPACES: &str = "SELECT namespace FROM iceberg_namespace_properties WHERE catalog_name = ?1
    UNION SELECT table_namespace FROM iceberg_tables WHERE catalog_name = ?1 ORDER BY 1";

const NAMESPACE_EXISTS: &str = "SELECT
    EXISTS (SELECT 1 FROM iceberg_namespace_properties WHERE catalog_name = ?1 AND namespace = ?2)
    OR EXISTS (SELECT 1 FROM iceberg_tables WHERE catalog_name = ?1 AND table_namespace = ?2)";

const NAMESPACE_PROPERTIES: &str = "SELECT property_key, property_value FROM iceberg_namespace_properties
    WHERE catalog_name = ?1 AND namespace = ?2 AND property_key <> ?3";

const INSERT_NAMESPACE: &str = "INSERT INTO iceberg_namespace_properties
    (catalog_name, namespace, property_key, property_value) SELECT ?1, ?2, ?3, 'true'
    WHERE NOT EXISTS (SELECT 1 FROM iceberg_namespace_properties WHERE catalog_name = ?1 AND namespace = ?2)
    AND NOT EXISTS (SELECT 1 FROM iceberg_tables WHERE catalog_name = ?1 AND table_namespace = ?2)";

const TOUCH_NAMESPACE: &str = "INSERT INTO iceberg_namespace_properties
    (catalog_name, namespace, property_key, property_value) SELECT ?1, ?2, ?3, 'true'
    WHERE EXISTS (SELECT 1 FROM iceberg_namespace_properties WHERE catalog_name = ?1 AND namespace = ?2)
    OR EXISTS (SELECT 1 FROM iceberg_tables WHERE catalog_name = ?1 AND table_namespace = ?2)
    ON CONFLICT DO UPDATE SET property_value = 'true'";

const SET_PROPERTY: &str = "INSERT INTO iceberg_namespace_properties
    (catalog_name, namespace, property_key, property_value) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT DO UPDATE SET property_value = excluded.property_value";

const REMOVE_PROPERTY: &str = "DELETE FROM iceberg_namespace_properties
    WHERE catalog_name = ?1 AND namespace = ?2 AND property_key = ?3";

const DELETE_NAMESPACE: &str = "DELETE FROM iceberg_namespace_properties
    WHERE catalog_name = ?1 AND namespace = ?2
    AND NOT EXISTS (SELECT 1 FROM iceberg_tables WHERE catalog_name = ?1 AND table_namespace = ?2)";

/// What became of a change whose condition may not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    Done,
    Refused,
}

/// What became of the compare-and-swap (C4).
#[derive(Debug)]
pub(super) enum Swap {
    Done,
    /// The row names another metadata file, or is gone.
    Lost,
    NotTried(Error),
    Unknown(Error),
}

#[derive(Debug)]
pub(super) struct Rows {
    pub(super) pool: SqlitePool,
    database: PathBuf,
}

impl Rows {
    pub(super) async fn open(database: &Path) -> Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(database)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT);
        let pool = SqlitePoolOptions::new().max_connections(CONNECTIONS_MAX).connect_with(options).await;
        let pool = pool.map_err(|error| translate(database, error))?;
        let rows = Rows { pool, database: database.to_owned() };
        rows.create().await.map_err(|error| translate(database, error))?;
        Ok(rows)
    }

    async fn create(&self) -> sqlx::Result<()> {
        sqlx::query(CREATE_TABLES).execute(&self.pool).await?;
        sqlx::query(CREATE_PROPERTIES).execute(&self.pool).await?;
        if self.has_type().await? {
            return Ok(());
        }
        match sqlx::query(ADD_TYPE).execute(&self.pool).await {
            // Another process was faster.
            Err(error) if !self.has_type().await? => Err(error),
            _ => Ok(()),
        }
    }

    async fn has_type(&self) -> sqlx::Result<bool> {
        let columns: i64 = sqlx::query_scalar(HAS_TYPE).fetch_one(&self.pool).await?;
        Ok(columns > 0)
    }

    fn failed(&self) -> impl FnOnce(sqlx::Error) -> Error {
        |error| translate(&self.database, error)
    }

    /// `None` if there is no such table.
    pub(super) async fn metadata_location(&self, table: &TableName) -> Result<Option<String>> {
        let query = sqlx::query_scalar(LOCATION).bind(CATALOG_NAME).bind(table.namespace()).bind(table.name());
        let row: Option<Option<String>> = query.fetch_optional(&self.pool).await.map_err(self.failed())?;
        match row {
            Some(None) => Err(Error::data(format!("the catalog has no metadata location for {table}"))
                .with_hint("drop the table from the catalog and register it again")),
            row => Ok(row.flatten()),
        }
    }

    pub(super) async fn swap(&self, table: &TableName, base: &str, next: &str) -> Swap {
        let query = sqlx::query(SWAP).bind(CATALOG_NAME).bind(table.namespace()).bind(table.name());
        match query.bind(base).bind(next).execute(&self.pool).await {
            Ok(done) if done.rows_affected() == 1 => Swap::Done,
            Ok(_) => Swap::Lost,
            Err(error) if had_no_effect(&error) => Swap::NotTried(translate(&self.database, error)),
            Err(error) => Swap::Unknown(translate(&self.database, error)),
        }
    }

    pub(super) async fn create_table(&self, table: &TableName, metadata_location: &str) -> Result<Written> {
        let query = sqlx::query(INSERT_TABLE).bind(CATALOG_NAME).bind(table.namespace()).bind(table.name());
        self.written(query.bind(metadata_location).execute(&self.pool).await)
    }

    pub(super) async fn rename_table(&self, from: &TableName, to: &TableName) -> Result<Written> {
        let query = sqlx::query(RENAME_TABLE).bind(CATALOG_NAME).bind(from.namespace()).bind(from.name());
        self.written(query.bind(to.namespace()).bind(to.name()).execute(&self.pool).await)
    }

    pub(super) async fn drop_table(&self, table: &TableName) -> Result<Written> {
        let query = sqlx::query(DELETE_TABLE).bind(CATALOG_NAME).bind(table.namespace()).bind(table.name());
        self.written(query.execute(&self.pool).await)
    }

    fn written(&self, result: sqlx::Result<sqlx::sqlite::SqliteQueryResult>) -> Result<Written> {
        match result {
            Ok(done) if done.rows_affected() > 0 => Ok(Written::Done),
            Ok(_) => Ok(Written::Refused),
            Err(error) if is_taken(&error) => Ok(Written::Refused),
            Err(error) => Err(translate(&self.database, error)),
        }
    }

    pub(super) async fn table_names(&self, namespace: &str) -> Result<Vec<String>> {
        let query = sqlx::query_scalar(TABLE_NAMES).bind(CATALOG_NAME).bind(namespace);
        query.fetch_all(&self.pool).await.map_err(self.failed())
    }

    pub(super) async fn namespaces(&self) -> Result<Vec<String>> {
        sqlx::query_scalar(NAMESPACES).bind(CATALOG_NAME).fetch_all(&self.pool).await.map_err(self.failed())
    }

    pub(super) async fn namespace_exists(&self, namespace: &str) -> Result<bool> {
        let query = sqlx::query_scalar(NAMESPACE_EXISTS).bind(CATALOG_NAME).bind(namespace);
        query.fetch_one(&self.pool).await.map_err(self.failed())
    }

    pub(super) async fn namespace_properties(&self, namespace: &str) -> Result<Properties> {
        let query = sqlx::query_as(NAMESPACE_PROPERTIES).bind(CATALOG_NAME).bind(namespace).bind(EXISTS);
        let rows: Vec<(String, String)> = query.fetch_all(&self.pool).await.map_err(self.failed())?;
        Ok(rows.into_iter().collect())
    }

    /// False if it exists already.
    pub(super) async fn create_namespace(&self, namespace: &str, properties: &Properties) -> Result<bool> {
        self.write_namespace(INSERT_NAMESPACE, namespace, properties, &[]).await.map_err(self.failed())
    }

    /// False if there is none.
    pub(super) async fn update_namespace(&self, namespace: &str, set: &Properties, remove: &[String]) -> Result<bool> {
        self.write_namespace(TOUCH_NAMESPACE, namespace, set, remove).await.map_err(self.failed())
    }

    /// `mark` writes the row `exists` if the namespace is as it must be, and holds the lock from then on (I1).
    async fn write_namespace(
        &self,
        mark: &'static str,
        namespace: &str,
        set: &Properties,
        remove: &[String],
    ) -> sqlx::Result<bool> {
        let mut transaction = self.pool.begin().await?;
        let marked =
            sqlx::query(mark).bind(CATALOG_NAME).bind(namespace).bind(EXISTS).execute(&mut *transaction).await?;
        if marked.rows_affected() == 0 {
            return Ok(false);
        }
        for key in remove.iter().filter(|key| *key != EXISTS) {
            let query = sqlx::query(REMOVE_PROPERTY).bind(CATALOG_NAME).bind(namespace).bind(key);
            query.execute(&mut *transaction).await?;
        }
        for (key, value) in set.iter().filter(|(key, _)| *key != EXISTS) {
            let query = sqlx::query(SET_PROPERTY).bind(CATALOG_NAME).bind(namespace).bind(key).bind(value);
            query.execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(true)
    }

    /// False if there is none, or tables are in it.
    pub(super) async fn drop_namespace(&self, namespace: &str) -> Result<bool> {
        let query = sqlx::query(DELETE_NAMESPACE).bind(CATALOG_NAME).bind(namespace);
        Ok(query.execute(&self.pool).await.map_err(self.failed())?.rows_affected() > 0)
    }
}
