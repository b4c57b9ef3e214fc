//! One epoch: records in, staged files out, nothing visible yet.
//!
//! Owns [`Reader`], which turns a topic into batches, [`Route`], which says what goes to which table, and
//! [`EpochFiles`], which turns the batches of one epoch into files.
//! - I1: `positions` are exactly behind the rows written: a crash at any moment repeats or drops whole epochs.
//! - I2: at a record that cannot be decoded its partition stands still; rows before it, and those of other
//!   partitions already read, belong to the epoch.
//! - I3: a column that appears gets its field id once; the epoch's commit publishes it with the first rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Fields, Schema};
use iceberg::spec::{DataFile, SchemaRef, TableMetadata};
use tableflow_connectors::decode::{Decoder, JsonDecoder, MetadataColumns, RecordError};
use tableflow_lake::layout::{Evolution, arrow_schema, evolve};
use tableflow_lake::write::{EpochName, Stager};
use tableflow_model::{Error, Offset, Partition, Records, Result, Source, TopicName};
use tableflow_store::Store;

use super::way_on::WayOn;
use crate::definition::{Definition, declared_columns};

/// One poll reads about this much: large enough for whole batches, small enough to notice a stop at once.
const POLL_BYTES: usize = 1024 * 1024;

/// The decoder of a table: what is declared must fit what it has.
pub fn decoder_for(columns: &str, table: &TableMetadata) -> Result<Box<dyn Decoder>> {
    let partition_fields = table.partition_specs_iter().flat_map(|spec| spec.fields()).map(|field| field.name.clone());
    let schema = arrow_schema(table.current_schema())?;
    let decoder = JsonDecoder::new(&declared_columns(columns)?, &schema)?.keep_clear_of(partition_fields, &schema)?;
    Ok(Box::new(decoder))
}

/// Topic to batches.
pub struct Reader {
    topic: TopicName,
    source: Box<dyn Source>,
    decoder: Box<dyn Decoder>,
    metadata_columns: MetadataColumns,
    way_on: WayOn,
}

/// The rows of one poll's records of one partition.
#[derive(Debug)]
pub struct Rows {
    pub partition: Partition,
    pub batch: RecordBatch,
    pub next_offset: Offset,
    pub failure: Option<Error>,
}

impl Reader {
    /// A reader for a table as it was declared (`--columns`), with the columns it has.
    pub fn new(source: Box<dyn Source>, definition: &Definition, table: &TableMetadata) -> Result<Self> {
        let (topic, metadata_columns) = (definition.topic.clone(), definition.metadata_columns);
        let decoder = decoder_for(&definition.columns, table)?;
        Ok(Reader { topic, source, decoder, metadata_columns, way_on: WayOn::of(definition, table)? })
    }

    pub fn source(&mut self) -> &mut dyn Source {
        self.source.as_mut()
    }

    /// What is there now, decoded.
    pub fn poll(&mut self) -> Result<Vec<Rows>> {
        let polled = self.source.poll(POLL_BYTES)?;
        polled.iter().map(|records| self.decode(records)).collect()
    }

    fn decode(&mut self, records: &Records) -> Result<Rows> {
        let decoded = self.decoder.decode(records);
        let mut columns = decoded.batch.columns().to_vec();
        columns.extend(self.metadata_columns.columns(&self.topic, records, 0..decoded.rows));
        let batch = RecordBatch::try_new(Arc::new(Schema::new(self.fields())), columns)
            .map_err(|error| Error::internal("decoded columns do not fit together").with_source(error))?;
        let failed_at = decoded.failure.as_ref().and_then(|failure| records.offsets.get(failure.row)).copied();
        Ok(Rows {
            partition: records.partition,
            batch,
            next_offset: failed_at.map_or(records.next_offset, Offset),
            failure: decoded.failure.map(|failure| self.failure(failure, records.partition, failed_at.unwrap_or(0))),
        })
    }

    /// The columns of the batches: the topic's values, then where each row came from.
    fn fields(&self) -> Fields {
        let values = self.decoder.schema();
        values.fields().iter().cloned().chain(self.metadata_columns.fields()).collect()
    }

    fn failure(&self, failure: RecordError, partition: Partition, offset: i64) -> Error {
        let what = format!("record {offset} of partition {partition} of topic {} cannot be decoded", self.topic);
        let mut error = Error::data(what).with_detail(failure.message).with_context("reason", failure.reason);
        error = error.with_context("topic", &self.topic).with_context("partition", partition);
        error = error.with_context("offset", offset).with_context("path", failure.path);
        error.with_hint(self.way_on.hint(&failure.remedy))
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("topic", &self.topic).field("decoder", &self.decoder).finish_non_exhaustive()
    }
}

/// Which of a job's tables the rows of a topic go to.
pub trait Route: Send + Sync + std::fmt::Debug {
    /// The rows for each table, in the order of the job's tables.
    fn split(&self, batch: &RecordBatch) -> Result<Vec<RecordBatch>>;
}

/// The route of a job with one table.
#[derive(Clone, Copy, Debug)]
pub struct Everything;

impl Route for Everything {
    fn split(&self, batch: &RecordBatch) -> Result<Vec<RecordBatch>> {
        Ok(vec![batch.clone()])
    }
}

/// The files of one epoch, table by table, and how far it has come.
#[derive(Debug)]
pub struct EpochFiles {
    tables: Vec<TableFiles>,
    route: Arc<dyn Route>,
    pub positions: BTreeMap<Partition, Offset>,
    pub moved: bool,
}

impl EpochFiles {
    pub fn new(tables: Vec<TableFiles>, route: Arc<dyn Route>, positions: BTreeMap<Partition, Offset>) -> Self {
        EpochFiles { tables, route, positions, moved: false }
    }

    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|table| table.stager.rows()).sum()
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
        let parts = self.route.split(&rows.batch)?;
        if parts.len() != self.tables.len() {
            return Err(Error::internal("a job's route does not know its tables"));
        }
        for (table, part) in self.tables.iter_mut().zip(&parts) {
            table.write(part).await?;
        }
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
