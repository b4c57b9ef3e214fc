//! A statement to rows.
//!
//! Owns [`QuerySession`], and [`Travel`]: which tables of a statement are read at which point in time.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, NaiveDateTime};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement as PlannerStatement;
use datafusion::sql::sqlparser::ast::Statement;
use iceberg::spec::{SnapshotRef, TableMetadata};
use tableflow_model::{Error, Result, TableName};

use super::statement::{Names, parse, resolve_columns, resolve_tables, take_travel};
use super::tables::Namespaces;
use crate::home::Home;

/// The name under which the tables are registered; statements need not write it.
const CATALOG: &str = "tableflow";

/// Where unqualified names are looked up by DataFusion; ours are resolved before.
const DEFAULT_NAMESPACE: &str = "bronze";

/// Between a table's name and the number of its time-travel clause: no identifier holds it.
const MARK: char = '\u{1}';

/// A point in a table's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    Snapshot(i64),
    TimeMs(i64),
}

impl FromStr for Point {
    type Err = Error;

    /// A whole number is a snapshot id; anything else is a time, UTC where it names no zone.
    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        if let Ok(id) = text.parse() {
            return Ok(Point::Snapshot(id));
        }
        let local = |time: NaiveDateTime| time.and_utc().timestamp_millis();
        let time = DateTime::parse_from_rfc3339(text)
            .map(|time| time.timestamp_millis())
            .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f%#z").map(|time| time.timestamp_millis()))
            .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f").map(local))
            .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").map(local))
            .or_else(|_| NaiveDate::parse_from_str(text, "%Y-%m-%d").map(|day| local(day.into())));
        time.map(Point::TimeMs).map_err(|_| {
            Error::usage(format!("{text:?} is neither a snapshot id nor a time"))
                .with_hint("write a snapshot id from `tableflow history`, or a time such as 2026-01-31T12:00:00Z")
        })
    }
}

impl Point {
    /// The snapshot that was current then.
    pub fn snapshot_of(self, table: &TableName, metadata: &TableMetadata) -> Result<SnapshotRef> {
        let id = match self {
            Point::Snapshot(id) => Some(id),
            Point::TimeMs(time) => {
                let before = metadata.history().iter().rev().find(|entry| entry.timestamp_ms() <= time);
                before.map(|entry| entry.snapshot_id)
            }
        };
        let found = id.and_then(|id| metadata.snapshot_by_id(id)).cloned();
        found.ok_or_else(|| {
            let what = match self {
                Point::Snapshot(id) => format!("{table} has no snapshot {id}"),
                Point::TimeMs(_) => format!("{table} has no snapshot as old as that"),
            };
            Error::not_found(what).with_hint(format!("`tableflow history {table}` lists the snapshots that are kept"))
        })
    }
}

/// Which table names of a statement stand for an older state.
#[derive(Clone, Debug, Default)]
pub struct Travel {
    points: Arc<std::sync::Mutex<BTreeMap<usize, Point>>>,
    /// `--as-of`: for every table that has no clause of its own.
    default: Option<Point>,
}

impl Travel {
    /// The name by which the statement asks for this point of the table.
    pub fn mark(&self, name: &str, point: Point) -> String {
        let Ok(mut points) = self.points.lock() else { return name.to_owned() };
        let number = points.len();
        points.insert(number, point);
        format!("{name}{MARK}{number}")
    }

    /// A name as written, and its mark.
    pub fn split<'a>(&self, name: &'a str) -> (&'a str, &'a str) {
        let at = name.find(MARK).unwrap_or(name.len());
        (name.get(..at).unwrap_or(name), name.get(at..).unwrap_or_default())
    }

    /// A table's own name, and the point in time to read it at.
    pub fn find<'a>(&self, name: &'a str) -> (&'a str, Option<Point>) {
        let (own_name, mark) = self.split(name);
        let number = mark.trim_start_matches(MARK).parse::<usize>().ok();
        let points = self.points.lock().ok();
        let point = number.and_then(|number| points.and_then(|points| points.get(&number).copied()));
        (own_name, point.or(self.default))
    }
}

/// Runs read-only SQL over the catalog's tables.
#[derive(Debug)]
pub struct QuerySession {
    home: Home,
    memory_bytes_max: usize,
}

impl QuerySession {
    pub fn new(home: Home, memory_bytes_max: u64) -> Self {
        QuerySession { home, memory_bytes_max: usize::try_from(memory_bytes_max).unwrap_or(usize::MAX) }
    }

    /// Plans the one statement of `sql`; rows come as they are read.
    pub async fn stream(&self, sql: &str, as_of: Option<Point>) -> Result<SendableRecordBatchStream> {
        let mut statement = parse(sql)?;
        let mut travel = take_travel(&mut statement)?;
        travel.default = as_of;
        let namespaces = Namespaces::list(&self.home, &travel).await?;
        self.resolve_names(&mut statement, &namespaces, &travel).await?;
        let context = self.context(namespaces)?;
        let statement = PlannerStatement::Statement(Box::new(statement));
        let plan = context.state().statement_to_plan(statement).await.map_err(query_error)?;
        let reads_only = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        reads_only.verify_plan(&plan).map_err(|error| {
            Error::usage("only reads are allowed here")
                .with_detail(first_line(&error.to_string()))
                .with_hint("tables are written by `tableflow enable`; their settings are changed by `tableflow update`")
        })?;
        let frame = context.execute_logical_plan(plan).await.map_err(query_error)?;
        frame.execute_stream().await.map_err(query_error)
    }

    async fn resolve_names(&self, statement: &mut Statement, namespaces: &Namespaces, travel: &Travel) -> Result<()> {
        let mut names = Names::of_tables(namespaces.tables());
        for table in resolve_tables(statement, &names, travel)? {
            let loaded = self.home.catalog.load_table(&table).await?;
            for name in loaded.metadata.current_schema().field_id_to_name_map().values() {
                names.add_column(name.rsplit('.').next().unwrap_or(name));
            }
        }
        resolve_columns(statement, &names)
    }

    fn context(&self, namespaces: Namespaces) -> Result<SessionContext> {
        let mut config = SessionConfig::new()
            .with_information_schema(true)
            .with_default_catalog_and_schema(CATALOG, DEFAULT_NAMESPACE)
            .with_create_default_catalog_and_schema(false);
        let parquet = &mut config.options_mut().execution.parquet;
        parquet.pushdown_filters = true;
        parquet.reorder_filters = true;
        let pool = Arc::new(GreedyMemoryPool::new(self.memory_bytes_max));
        let runtime = RuntimeEnvBuilder::new().with_memory_pool(pool).build_arc().map_err(query_error)?;
        runtime.register_object_store(&self.home.store.base_url()?, self.home.store.object_store());
        let context = SessionContext::new_with_config_rt(config, runtime);
        context.register_catalog(CATALOG, Arc::new(namespaces));
        Ok(context)
    }
}

/// DataFusion's words, or ours where one of our errors is inside.
pub fn query_error(error: datafusion::error::DataFusionError) -> Error {
    use datafusion::error::DataFusionError::{External, NotImplemented, Plan, ResourcesExhausted, SQL, SchemaError};
    match error.find_root() {
        External(inner) => match inner.downcast_ref::<Error>() {
            Some(ours) => ours.restated(),
            None => Error::unavailable("the query failed").with_detail(inner.to_string()),
        },
        ResourcesExhausted(detail) => Error::unavailable("the query needs more memory than it may use")
            .with_detail(first_line(detail))
            .with_hint("ask for fewer rows or groups, or raise memory.budget"),
        Plan(detail) | NotImplemented(detail) => {
            Error::usage("the query cannot be planned").with_detail(detail.clone())
        }
        SQL(inner, _) => Error::usage("the query cannot be planned").with_detail(inner.to_string()),
        SchemaError(inner, _) => Error::usage("the query cannot be planned")
            .with_detail(inner.to_string())
            .with_hint("a nested field is column['field']; a name with capitals needs no quotes if it is unique"),
        other => Error::unavailable("the query failed").with_detail(other.to_string()),
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}
