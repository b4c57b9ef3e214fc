//! One epoch: records in, staged files out, nothing visible yet.
//!
//! Owns [`Reader`], which turns a topic into batches, [`Route`], which says what goes to which table, and
//! [`EpochFiles`], which turns the batches of one epoch into files.
//! - I1: `positions` are exactly behind the rows written: a crash at any moment repeats or drops whole epochs.
//! - I2: at a record that cannot be decoded its partition stands still; rows before it, and those of other
//!   partitions already read, belong to the epoch. Or it is put aside, and counted in the same epoch.
//! - I3: a column that appears gets its field id once; the epoch's commit publishes it with the first rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Fields, Schema};
use iceberg::spec::{DataFile, SchemaRef, TableMetadata};
use tableflow_connectors::decode::{BadRecords, MetadataColumns, RecordError, dead_letters};
use tableflow_lake::layout::{Evolution, arrow_schema, evolve};
use tableflow_lake::write::{EpochName, Stager};
use tableflow_model::protocol::{Epoch, Tally};
use tableflow_model::{Error, Offset, Partition, Records, Result, Source, TopicName};
use tableflow_store::Store;

use super::decoding::{Decoding, Part, Stopped};
use super::way_on::WayOn;
use crate::definition::{Definition, ErrorHandling, Format, declared_columns};
use crate::home::Home;

/// One poll reads about this much: large enough for whole batches, small enough to notice a stop at once.
const POLL_BYTES: usize = 1024 * 1024;

/// The decoder of a table: what is declared must fit what it has.
pub async fn decoding_for(
    home: &Home,
    topic: &TopicName,
    format: Format,
    columns: &str,
    table: &TableMetadata,
) -> Result<Decoding> {
    let partition_fields = table.partition_specs_iter().flat_map(|spec| spec.fields()).map(|field| field.name.clone());
    let (declared, schema) = (declared_columns(columns)?, arrow_schema(table.current_schema())?);
    Decoding::new(home, topic, format, &declared, &schema, partition_fields.collect()).await
}

/// Ids mean something in one registry alone.
pub fn check_registry(home: &Home, definition: &Definition) -> Result<()> {
    match &definition.registry {
        Some(registry) if *registry != home.registry_name => {
            let (table, topic, name) = (&definition.table, &definition.topic, &home.registry_name);
            Err(Error::usage(format!("{table} takes its schemas from {registry}, and this process asks {name}"))
                .with_detail("an id of one registry means another schema in another one")
                .with_hint(format!(
                    "set url in [registry]; if the registry moved: tableflow disable {table}, then tableflow enable {topic}"
                )))
        }
        _ => Ok(()),
    }
}

/// Topic to batches.
pub struct Reader {
    topic: TopicName,
    source: Box<dyn Source>,
    decoding: Decoding,
    metadata_columns: MetadataColumns,
    error_handling: ErrorHandling,
    /// What the next rows belong to.
    epoch: Epoch,
    way_on: WayOn,
}

/// The rows of one poll's records of one partition.
#[derive(Debug)]
pub struct Rows {
    pub partition: Partition,
    pub batch: RecordBatch,
    /// The records among them that could not be decoded, where they are kept.
    pub dead_letters: Option<RecordBatch>,
    /// How many records are not in `batch`.
    pub tally: Tally,
    pub next_offset: Offset,
    pub failure: Option<Error>,
}

impl Reader {
    /// A reader for a table as it was declared (`--columns`), with the columns it has.
    pub async fn new(
        home: &Home,
        source: Box<dyn Source>,
        definition: &Definition,
        table: &TableMetadata,
    ) -> Result<Self> {
        let (topic, metadata_columns) = (definition.topic.clone(), definition.metadata_columns);
        check_registry(home, definition)?;
        let decoding = decoding_for(home, &topic, definition.format, &definition.columns, table).await?;
        let (error_handling, epoch) = (definition.error_handling, Epoch::default());
        let way_on = WayOn::of(definition, table)?;
        Ok(Reader { topic, source, decoding, metadata_columns, error_handling, epoch, way_on })
    }

    pub fn begin(&mut self, epoch: Epoch) {
        self.epoch = epoch;
    }

    pub fn source(&mut self) -> &mut dyn Source {
        self.source.as_mut()
    }

    /// What is there now, decoded.
    pub async fn poll(&mut self) -> Result<Vec<Rows>> {
        let bad = match self.error_handling {
            ErrorHandling::Suspend => BadRecords::Stop,
            ErrorHandling::Skip | ErrorHandling::Log => BadRecords::PassOver,
        };
        let mut rows = Vec::new();
        for records in self.source.poll(POLL_BYTES)? {
            for part in self.decoding.decode(&records, bad).await? {
                rows.push(self.rows(&records, part)?);
            }
        }
        Ok(rows)
    }

    fn rows(&self, records: &Records, part: Part) -> Result<Rows> {
        let batch = value_and_origin(&self.topic, self.metadata_columns, records, &part)?;
        let (dead_letters, tally) = self.put_aside(records, &part.passed_over)?;
        let next_offset = records.offsets.get(part.next).map_or(records.next_offset, |offset| Offset(*offset));
        Ok(Rows {
            partition: records.partition,
            batch,
            dead_letters,
            tally,
            next_offset,
            failure: part.stopped.map(|stopped| match stopped {
                Stopped::Record(failure) => self.failure(failure, records.partition, next_offset.0),
                Stopped::Schema(error) => self.at(error, records.partition, next_offset.0),
            }),
        })
    }

    /// What becomes of records that were passed over.
    fn put_aside(&self, records: &Records, passed_over: &[RecordError]) -> Result<(Option<RecordBatch>, Tally)> {
        let Some(first) = passed_over.first() else { return Ok((None, Tally::default())) };
        let (count, partition) = (passed_over.len() as u64, records.partition);
        let offset = records.offsets.get(first.row).copied().unwrap_or_default();
        tracing::warn!(topic = %self.topic, %partition, offset, reason = %first.reason, count, "records are put aside");
        Ok(match self.error_handling {
            ErrorHandling::Log => {
                let letters =
                    dead_letters::letters(&self.topic, records, passed_over, self.decoding.framing(), self.epoch.0)?;
                (Some(letters), Tally { dead_lettered: count, ..Tally::default() })
            }
            _ => (None, Tally { skipped: count, ..Tally::default() }),
        })
    }

    fn failure(&self, failure: RecordError, partition: Partition, offset: i64) -> Error {
        let what = format!("record {offset} of partition {partition} of topic {} cannot be decoded", self.topic);
        let error = Error::data(what).with_detail(failure.message).with_context("reason", failure.reason);
        let error = self.at(error, partition, offset).with_context("path", failure.path);
        error.with_hint(self.way_on.hint(&failure.remedy))
    }

    fn at(&self, error: Error, partition: Partition, offset: i64) -> Error {
        let error = error.with_context("topic", &self.topic).with_context("partition", partition);
        error.with_context("offset", offset)
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("topic", &self.topic).field("decoding", &self.decoding).finish_non_exhaustive()
    }
}

/// The rows of a part: the columns of their values, then those that say where each came from.
pub fn value_and_origin(
    topic: &TopicName,
    metadata_columns: MetadataColumns,
    records: &Records,
    part: &Part,
) -> Result<RecordBatch> {
    let mut columns = part.batch.columns().to_vec();
    columns.extend(metadata_columns.columns(topic, records, &part.taken));
    let values = part.batch.schema();
    let fields: Fields = values.fields().iter().cloned().chain(metadata_columns.fields()).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
        .map_err(|error| Error::internal("decoded columns do not fit together").with_source(error))
}

/// Which of a job's tables the rows of a topic go to.
pub trait Route: Send + Sync + std::fmt::Debug {
    /// What each table gets, in the order of the job's tables.
    fn split(&self, rows: &Rows) -> Result<Vec<Option<RecordBatch>>>;
}

/// The route of a job with one table.
#[derive(Clone, Copy, Debug)]
pub struct Everything;

impl Route for Everything {
    fn split(&self, rows: &Rows) -> Result<Vec<Option<RecordBatch>>> {
        Ok(vec![Some(rows.batch.clone())])
    }
}

/// The route of a job whose second table holds the dead letters of the first.
#[derive(Clone, Copy, Debug)]
pub struct WithDeadLetters;

impl Route for WithDeadLetters {
    fn split(&self, rows: &Rows) -> Result<Vec<Option<RecordBatch>>> {
        Ok(vec![Some(rows.batch.clone()), rows.dead_letters.clone()])
    }
}

/// The files of one epoch, table by table, and how far it has come.
#[derive(Debug)]
pub struct EpochFiles {
    tables: Vec<TableFiles>,
    route: Arc<dyn Route>,
    pub positions: BTreeMap<Partition, Offset>,
    /// The records before the positions that are not rows of the first table.
    pub tally: Tally,
    pub moved: bool,
}

impl EpochFiles {
    pub fn new(tables: Vec<TableFiles>, route: Arc<dyn Route>, positions: BTreeMap<Partition, Offset>) -> Self {
        EpochFiles { tables, route, positions, tally: Tally::default(), moved: false }
    }

    /// How many records the epoch holds so far.
    pub fn records(&self) -> u64 {
        self.tables.iter().map(|table| table.stager.rows()).sum::<u64>() + self.tally.skipped
    }

    /// What waits in memory.
    pub fn memory(&self) -> usize {
        self.tables.iter().map(|table| table.stager.memory()).sum()
    }

    /// About how large the files that are not done will be.
    pub fn file_bytes(&self) -> usize {
        self.tables.iter().map(|table| table.stager.file_bytes()).sum()
    }

    pub fn files_done(&self) -> usize {
        self.tables.iter().map(|table| table.stager.files_done()).sum()
    }

    /// Takes rows and moves the position behind them (I1).
    pub async fn write(&mut self, rows: &Rows) -> Result<()> {
        let parts = self.route.split(rows)?;
        if parts.len() != self.tables.len() {
            return Err(Error::internal("a job's route does not know its tables"));
        }
        for (table, part) in self.tables.iter_mut().zip(&parts) {
            if let Some(part) = part {
                table.write(part).await?;
            }
        }
        self.tally += rows.tally;
        let before = self.positions.insert(rows.partition, rows.next_offset);
        self.moved |= before != Some(rows.next_offset);
        Ok(())
    }

    /// What each table's commit takes, in the order of the job's tables.
    pub async fn finish(self) -> Result<Vec<StagedFiles>> {
        let mut staged = Vec::with_capacity(self.tables.len());
        for table in self.tables {
            staged.push(table.finish().await?);
        }
        Ok(staged)
    }
}

/// The files of one epoch for one table.
#[derive(Debug)]
pub struct TableFiles {
    stager: Stager,
    /// The table's columns, and those that this epoch adds (I3).
    schema: SchemaRef,
    last_column_id: i32,
    evolved: bool,
}

/// What an epoch hands to a table's commit.
#[derive(Clone, Debug)]
pub struct StagedFiles {
    pub files: Vec<DataFile>,
    pub schema: Option<Evolution>,
}

impl TableFiles {
    pub fn new(store: Store, table: &TableMetadata, name: EpochName) -> Result<Self> {
        let schema = table.current_schema().clone();
        let stager = Stager::new(store, table, schema.clone(), name)?;
        Ok(TableFiles { stager, schema, last_column_id: table.last_column_id(), evolved: false })
    }

    async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if let Some(evolution) = evolve(&self.schema, self.last_column_id, batch.schema_ref().fields())? {
            self.last_column_id = evolution.last_column_id;
            self.schema = Arc::new(evolution.schema);
            self.evolved = true;
            self.stager.evolve(self.schema.clone()).await?;
        }
        self.stager.write(batch).await
    }

    async fn finish(self) -> Result<StagedFiles> {
        let schema = self
            .evolved
            .then(|| Evolution { schema: self.schema.as_ref().clone(), last_column_id: self.last_column_id });
        Ok(StagedFiles { files: self.stager.finish().await?, schema })
    }
}
