//! A statement to rows.
//!
//! Owns [`QuerySession`].

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Decimal128Type};
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext};
use datafusion::sql::parser::Statement as PlannerStatement;
use datafusion::sql::sqlparser::ast::Statement;
use futures::{Stream, StreamExt};
use tableflow_model::types::flink_type;
use tableflow_model::{Error, Result};

use super::literals::read_literals;
use super::names::{Names, resolve_tables, respell_column, respell_nested};
use super::statement::{parse, take_travel};
use super::tables::Namespaces;
use super::travel::Point;
use crate::definition::{Definition, Wanted};
use crate::home::Home;
use crate::pipeline::fan_out::FanOutTables;

/// The name under which the tables are registered; statements need not write it.
const CATALOG: &str = "tableflow";

/// Where unqualified names are looked up by DataFusion; ours are resolved before.
const DEFAULT_NAMESPACE: &str = "bronze";

/// How long a list of topics is waited for, only to give a hint.
const TOPICS_WITHIN: Duration = Duration::from_secs(2);

/// Each costs a planning of the statement.
const RESPELLINGS_MAX: usize = 1000;

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

    /// Plans the one statement of `sql`; rows come as they are read, and are right or an error (I3 of `query`).
    pub async fn stream(&self, sql: &str, as_of: Option<Point>) -> Result<SendableRecordBatchStream> {
        let stream = self.frame(sql, as_of).await?.execute_stream().await.map_err(query_error)?;
        Ok(Box::pin(RecordBatchStreamAdapter::new(stream.schema(), checked(stream))))
    }

    /// How the one statement of `sql` would be carried out.
    pub async fn physical_plan(&self, sql: &str) -> Result<Arc<dyn ExecutionPlan>> {
        self.frame(sql, None).await?.create_physical_plan().await.map_err(query_error)
    }

    async fn frame(&self, sql: &str, as_of: Option<Point>) -> Result<DataFrame> {
        let mut statement = parse(sql)?;
        let travel = take_travel(&mut statement, as_of)?;
        let namespaces = Namespaces::list(&self.home, travel).await?;
        let names = write_out_tables(&mut statement, &namespaces).await?;
        let context = self.context(namespaces)?;
        let plan = read_literals(plan(&context, statement, &names, &self.home).await?).map_err(query_error)?;
        let reads_only = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        reads_only.verify_plan(&plan).map_err(|error| {
            Error::usage("only reads are allowed here")
                .with_detail(first_line(&error.to_string()))
                .with_hint("tables are written by `tableflow enable`; their settings are changed by `tableflow update`")
        })?;
        context.execute_logical_plan(plan).await.map_err(query_error)
    }

    fn context(&self, namespaces: Namespaces) -> Result<SessionContext> {
        let mut config = SessionConfig::new()
            .with_information_schema(true)
            .with_default_catalog_and_schema(CATALOG, DEFAULT_NAMESPACE)
            .with_create_default_catalog_and_schema(false);
        // Says where in the text a name is that was not found.
        config.options_mut().sql_parser.collect_spans = true;
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

/// Writes out the tables' names; what those tables have inside is noted.
async fn write_out_tables(statement: &mut Statement, namespaces: &Namespaces) -> Result<Names> {
    let mut names = Names::of_tables(namespaces.tables());
    for table in resolve_tables(statement, &names)? {
        for schema in namespaces.schemas(&table).await? {
            schema.field_id_to_name_map().values().for_each(|path| names.add_field(path));
        }
    }
    Ok(names)
}

/// Plans a statement as it is written, and respells a name only where that fails.
async fn plan(context: &SessionContext, mut statement: Statement, names: &Names, home: &Home) -> Result<LogicalPlan> {
    let mut nested = false;
    for _ in 0..RESPELLINGS_MAX {
        let planned = PlannerStatement::Statement(Box::new(statement.clone()));
        let error = match context.state().statement_to_plan(planned).await {
            Ok(plan) => return Ok(plan),
            Err(error) => error,
        };
        if respell_column(&mut statement, &error)? {
            continue;
        }
        if nested || !respell_nested(&mut statement, names) {
            let topic = match Names::missing(&error) {
                Some(name) => match fan_out_of_name(home, name).await {
                    Some(hint) => Some(hint),
                    None => topic_of_name(home, name).await,
                },
                None => None,
            };
            let missing = topic.or_else(|| names.hint_for_missing(&error));
            return Err(missing.into_iter().fold(query_error(error), Error::with_hint));
        }
        nested = true;
    }
    Err(Error::usage(format!("more than {RESPELLINGS_MAX} names are not written as the columns are"))
        .with_hint("write them in double quotes, exactly as `tableflow describe` shows them"))
}

/// Which tables are meant by the name of all those that one topic fills.
async fn fan_out_of_name(home: &Home, name: &str) -> Option<String> {
    let definitions = home.definitions().look().await.ok()?.definitions;
    let named = |it: &&Definition| it.table.name().eq_ignore_ascii_case(name) && it.wanted != Wanted::Disabled;
    let fan_out = definitions.iter().filter(|definition| definition.fan_out.is_some()).find(named)?;
    let tables = FanOutTables::load(home, fan_out).await.ok()?;
    Some(format!("{} is several tables, one for each type of record; {}", fan_out.table, tables.hint()))
}

/// What to do about a topic that is no table yet, if there is one of that name; a cluster that does not answer is not
/// waited for.
async fn topic_of_name(home: &Home, name: &str) -> Option<String> {
    let topics = tokio::time::timeout(TOPICS_WITHIN, home.topics.names()).await.ok()?.ok()?;
    let topic = topics.iter().find(|topic| topic.as_str().eq_ignore_ascii_case(name))?;
    Some(format!("{topic} is a topic, and no table yet: `tableflow enable {topic}` makes it one"))
}

/// The same batches, up to the first that is wrong: a sum of DECIMALs may have more digits than its type, and functions
/// that meet a value beyond their range panic.
fn checked(stream: SendableRecordBatchStream) -> impl Stream<Item = datafusion::error::Result<RecordBatch>> {
    AssertUnwindSafe(stream).catch_unwind().map(|caught| {
        let batch = caught.unwrap_or_else(|_| {
            let failed = Error::internal("the query failed inside, on a value that a function in it cannot take")
                .with_hint("leave far values out with WHERE, times before 1678 or after 2261 above all");
            Err(DataFusionError::External(Box::new(failed)))
        })?;
        for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
            if let DataType::Decimal128(precision, _) = column.data_type()
                && column.as_primitive::<Decimal128Type>().validate_decimal_precision(*precision).is_err()
            {
                let what = format!("{} has more digits than {}", field.name(), flink_type(column.data_type()));
                let hint = "cast to DOUBLE, or to a DECIMAL with fewer digits behind its point, before adding up";
                return Err(DataFusionError::External(Box::new(Error::data(what).with_hint(hint))));
            }
        }
        Ok(batch)
    })
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
        Plan(detail) | NotImplemented(detail) => Error::usage("the query cannot be planned")
            .with_detail(detail.clone())
            .with_hint("`tableflow describe TABLE` shows a table's columns and their types"),
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
