//! Records as rows of a job's tables.
//!
//! Owns [`Dispatch`], the trait of the ways to do it, [`Rows`], what it answers, and [`OneTable`], the way of a topic
//! that fills one table. `fan_out` is the other one.
//! - I1: every record before `next_offset` is a row, a dead letter, or counted as left out: once.
//! - I2: at a record that cannot be decoded its partition stands still, or it is put aside, as the table's definition
//!   says.

use std::ops::{AddAssign, Range};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{FieldRef, Fields, Schema};
use async_trait::async_trait;
use iceberg::spec::TableMetadata;
use tableflow_connectors::decode::dead_letters::{self, Framings};
use tableflow_connectors::decode::{BadRecords, ColumnRules, MetadataColumns, Reason, RecordError, Taken};
use tableflow_lake::layout::{
    SOURCE_POSITION, VALID_FROM, VALID_TO, VersionIds, arrow_schema, identifying_columns, latest_by,
};
use tableflow_lake::upsert::Emptied;
use tableflow_model::protocol::{Epoch, Tally};
use tableflow_model::{Error, Millis, Offset, Partition, Records, Result, TableName, TopicName};

use super::decoding::{Changes, Changing, Decoding, Part, Stopped, Terms, Truncation, cut};
use super::mirror::{Mirror, Step};
use super::way_on::WayOn;
use crate::definition::{Definition, ErrorHandling};
use crate::home::Home;

/// The places of the tables of a job with one table for rows.
pub(super) const ROWS: usize = 0;
const DEAD_LETTERS: usize = 1;

/// The rows of some records of one partition.
#[derive(Debug)]
pub struct Rows {
    pub partition: Partition,
    /// By the place of the table among the job's.
    pub parts: Vec<(usize, RecordBatch)>,
    /// What they change, where the table has one row a key.
    pub changes: Option<Changes>,
    /// How many records are rows of no table, or of that of dead letters.
    pub tally: Tally,
    /// Those records.
    pub passed_over: Vec<PassedOver>,
    pub next_offset: Offset,
    pub leader_epoch: LeaderEpoch,
    pub halt: Option<Halt>,
    /// What was read to make them; whoever asked for them knows.
    pub volume: Volume,
}

/// How much was read, and from when.
#[derive(Clone, Copy, Debug, Default)]
pub struct Volume {
    /// Of keys, values and headers.
    pub bytes: u64,
    /// The time of the oldest record, where one has a time that counts.
    pub oldest: Option<Millis>,
}

impl Volume {
    /// Some records of a batch; a time counts from `fresh_from` on.
    pub fn of(records: &Records, rows: Range<usize>, fresh_from: Millis) -> Self {
        let times = records.timestamps.get(rows.clone()).unwrap_or_default();
        let oldest = times.iter().copied().filter(|time| *time >= fresh_from.0).min().map(Millis);
        Volume { bytes: records.bytes_of(rows), oldest }
    }
}

impl AddAssign for Volume {
    fn add_assign(&mut self, more: Volume) {
        self.bytes += more.bytes;
        self.oldest = self.oldest.into_iter().chain(more.oldest).min();
    }
}

/// Under which leader the last record before a position was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaderEpoch {
    /// No record came.
    AsBefore,
    Known(i32),
    Unknown,
}

impl LeaderEpoch {
    /// Where records were taken up to there.
    pub fn before(next_offset: Offset, records: &Records) -> Self {
        let taken = records.offsets.partition_point(|offset| *offset < next_offset.0);
        let Some(last) = taken.checked_sub(1) else { return LeaderEpoch::AsBefore };
        records.appendings.of(last).leader_epoch.map_or(LeaderEpoch::Unknown, LeaderEpoch::Known)
    }
}

/// A record that is a row of no table.
#[derive(Clone, Debug)]
pub struct PassedOver {
    pub offset: Offset,
    pub reason: Reason,
    pub message: String,
}

impl PassedOver {
    pub fn of(records: &Records, failures: &[RecordError]) -> Vec<PassedOver> {
        let offset = |row: usize| records.offsets.get(row).map_or(records.next_offset, |offset| Offset(*offset));
        let of = |failure: &RecordError| PassedOver {
            offset: offset(failure.row),
            reason: failure.reason,
            message: failure.message.clone(),
        };
        failures.iter().map(of).collect()
    }
}

/// Why a partition stands still behind rows.
#[derive(Debug)]
pub enum Halt {
    Failed(Error),
    /// The next record is of a table that was made for it just now: the job begins again with it.
    NewTable,
    /// The next record's schema is a newer version than the table follows: it takes that step, and the job begins
    /// again.
    Follows(Box<Step>),
}

/// A way to make rows of records.
#[async_trait]
pub trait Dispatch: Send + std::fmt::Debug {
    /// The rows of records of one partition, in their order; those of an epoch.
    async fn rows(&mut self, records: &Records, epoch: Epoch) -> Result<Vec<Rows>>;

    /// The place of the table of dead letters, where the job has one.
    fn dead_letters(&self) -> usize;
}

/// What is the same for all tables of a job.
#[derive(Clone, Debug)]
pub struct Manner {
    pub topic: TopicName,
    pub metadata_columns: MetadataColumns,
    pub error_handling: ErrorHandling,
}

impl Manner {
    pub fn of(definition: &Definition) -> Self {
        Manner {
            topic: definition.topic.clone(),
            metadata_columns: definition.metadata_columns,
            error_handling: definition.error_handling,
        }
    }

    pub fn bad_records(&self) -> BadRecords {
        match self.error_handling {
            ErrorHandling::Suspend => BadRecords::Stop,
            ErrorHandling::Skip | ErrorHandling::Log => BadRecords::PassOver,
        }
    }

    /// What becomes of records that were passed over. Notices are left out, whatever is done with bad records.
    pub fn put_aside(
        &self,
        records: &Records,
        passed_over: &[RecordError],
        framings: Framings,
        epoch: Epoch,
    ) -> Result<(Option<RecordBatch>, Tally)> {
        if passed_over.is_empty() {
            return Ok((None, Tally::default()));
        }
        let bad: Vec<RecordError> = passed_over.iter().filter(|it| it.reason != Reason::Notice).cloned().collect();
        let skipped = (passed_over.len() - bad.len()) as u64;
        let count = bad.len() as u64;
        Ok(match self.error_handling {
            ErrorHandling::Log if count > 0 => {
                let letters = dead_letters::letters(&self.topic, records, &bad, framings, epoch.0)?;
                (Some(letters), Tally { dead_lettered: count, skipped })
            }
            _ => (None, Tally { skipped: skipped + count, ..Tally::default() }),
        })
    }

    /// The rows of a part: the columns of their values, then those that say where each came from.
    pub fn value_and_origin(&self, records: &Records, part: &Part) -> Result<RecordBatch> {
        self.with_origin(records, &part.batch, &part.taken)
    }

    /// The same of columns of these records.
    fn with_origin(&self, records: &Records, batch: &RecordBatch, taken: &Taken) -> Result<RecordBatch> {
        let mut columns = batch.columns().to_vec();
        columns.extend(self.metadata_columns.columns(&self.topic, records, taken));
        let values = batch.schema();
        let fields: Fields = values.fields().iter().cloned().chain(self.metadata_columns.fields()).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
            .map_err(|error| Error::internal("decoded columns do not fit together").with_source(error))
    }

    /// Why a table stops at a record.
    pub fn stopped(&self, stopped: Stopped, way_on: &WayOn, partition: Partition, offset: Offset) -> Error {
        let failure = match stopped {
            Stopped::Record(failure) => failure,
            Stopped::Schema(error) => return self.at(way_on.past_schema(error), partition, offset),
            Stopped::Follows(_) => return Error::internal("one of several tables mirrors its newest schema"),
        };
        let what = format!("record {offset} of partition {partition} of topic {} cannot be decoded", self.topic);
        let error = Error::data(what).with_detail(failure.message).with_context("reason", failure.reason);
        let error = self.at(error, partition, offset).with_context("path", failure.path);
        error.with_hint(way_on.hint(&failure.remedy))
    }

    pub fn at(&self, error: Error, partition: Partition, offset: Offset) -> Error {
        let error = error.with_context("topic", &self.topic).with_context("partition", partition);
        error.with_context("offset", offset)
    }
}

/// All records become rows of one table, or dead letters.
#[derive(Debug)]
pub struct OneTable {
    home: Home,
    table: TableName,
    manner: Manner,
    decoding: Decoding,
    /// Where the table has one row a key.
    changing: Option<Changing>,
    way_on: WayOn,
}

impl OneTable {
    /// For a table as it was declared (`--columns`), with the columns it has.
    pub async fn new(home: &Home, definition: &Definition, table: &TableMetadata) -> Result<Self> {
        check_registry(home, definition)?;
        let definition = &with_newest_keys(home, definition).await?;
        let decoding = decoding_for(home, Terms::of(definition), table).await?;
        let changing = Changing::new(home, definition, table).await?;
        let (home, table_name, manner) = (home.clone(), definition.table.clone(), Manner::of(definition));
        let way_on = WayOn::of(definition, table)?;
        Ok(OneTable { home, table: table_name, manner, decoding, changing, way_on })
    }

    /// Columns of keys are in the definition before rows have them: whoever comes next fills them from keys too.
    async fn keep_keys(&mut self) -> Result<()> {
        let Some(found) = self.decoding.keys_to_keep() else { return Ok(()) };
        let grow = |definition: &mut Definition| {
            if let Some(keys) = &mut definition.keys {
                keys.grow(&found);
            }
        };
        let newest = self.home.definitions().change(&self.table, grow).await?;
        if let Some(name) = newest.keys.as_ref().and_then(|keys| keys.contradiction(&found)) {
            // Nothing of it is in the table yet.
            return Err(Error::unavailable(format!(
                "another process found field {name} of table {} first",
                self.table
            ))
            .with_detail("to it the column is of the other part of records: of keys, or of values")
            .with_hint("a service begins again by itself; run anything else once more"));
        }
        self.decoding.keys_are_kept();
        Ok(())
    }

    fn rows_of(&self, records: &Records, (part, changes): (Part, Option<Changes>), epoch: Epoch) -> Result<Rows> {
        let batch = self.manner.value_and_origin(records, &part)?;
        let framings = self.decoding.framings();
        let (letters, tally) = self.manner.put_aside(records, &part.passed_over, framings, epoch)?;
        let passed_over = PassedOver::of(records, &part.passed_over);
        let next_offset = records.offsets.get(part.next).map_or(records.next_offset, |offset| Offset(*offset));
        let halt = |stopped| match stopped {
            Stopped::Follows(step) => {
                Halt::Follows(Box::new(Step { before: Some((records.partition, next_offset)), ..*step }))
            }
            failed => Halt::Failed(self.manner.stopped(failed, &self.way_on, records.partition, next_offset)),
        };
        Ok(Rows {
            partition: records.partition,
            parts: std::iter::once((ROWS, batch)).chain(letters.map(|letters| (DEAD_LETTERS, letters))).collect(),
            changes,
            tally,
            passed_over,
            next_offset,
            leader_epoch: LeaderEpoch::before(next_offset, records),
            halt: part.stopped.map(halt),
            volume: Volume::default(),
        })
    }
}

#[async_trait]
impl Dispatch for OneTable {
    async fn rows(&mut self, records: &Records, epoch: Epoch) -> Result<Vec<Rows>> {
        let bad = match (self.manner.bad_records(), &self.changing) {
            (BadRecords::Stop, Some(_)) => BadRecords::StopButAtDeletes,
            (bad, _) => bad,
        };
        let parts = self.decoding.decode(records, bad).await?;
        let parts: Vec<Part> = match self.changing {
            None => parts,
            Some(_) => parts.into_iter().flat_map(cut).collect(),
        };
        self.keep_keys().await?;
        let mut rows = Vec::with_capacity(parts.len());
        for part in parts {
            let changed = match &mut self.changing {
                None => (part, None),
                Some(changing) => {
                    let (part, mut changes) = changing.apart(records, part, self.manner.bad_records()).await?;
                    if let Some(marks) = &mut changes.marks {
                        let taken = Taken::these(&marks.records);
                        marks.rows = self.manner.with_origin(records, &marks.rows, &taken)?;
                    }
                    if let Some(Truncation { record, emptied: Emptied::Marked(mark), .. }) = &mut changes.truncation
                        && changing.marks()
                    {
                        let row = self.manner.with_origin(records, &mark.row, &Taken::these(&[*record]))?;
                        mark.row = changing.without_keys(&row)?;
                    }
                    (part, Some(changes))
                }
            };
            let stops = changed.0.stopped.is_some();
            rows.push(self.rows_of(records, changed, epoch)?);
            if stops {
                break;
            }
        }
        Ok(rows)
    }

    fn dead_letters(&self) -> usize {
        DEAD_LETTERS
    }
}

/// The definition, with the columns that a job of it has given to keys since.
async fn with_newest_keys(home: &Home, definition: &Definition) -> Result<Definition> {
    let mut definition = definition.clone();
    if definition.keys.is_some() {
        let newest = home.definitions().find(&definition.table).await?;
        let newest = newest.filter(|newest| newest.table_uuid == definition.table_uuid);
        definition.keys = newest.and_then(|newest| newest.keys).or(definition.keys);
    }
    Ok(definition)
}

/// The decoder of a table: what is declared must fit what it has.
pub async fn decoding_for(home: &Home, terms: Terms<'_>, table: &TableMetadata) -> Result<Decoding> {
    let partition_fields = || table.partition_specs_iter().flat_map(|spec| spec.fields());
    let name_of = |id: i32| table.current_schema().name_by_field_id(id).map(str::to_owned);
    let rules = ColumnRules {
        metadata: terms.metadata_columns,
        partition_fields: partition_fields().map(|field| field.name.clone()).collect(),
        partition_sources: partition_fields().filter_map(|field| name_of(field.source_id)).collect(),
        evolution: terms.evolution,
        held: identifying_columns(table.current_schema()),
    };
    let terms = Terms { mirror: Mirror::of(table)?, ..terms };
    let columns = arrow_schema(table.current_schema())?;
    if VersionIds::of(table.current_schema()).is_none() {
        let tells_origins = latest_by(table)?.as_deref() == Some(SOURCE_POSITION);
        return Decoding::new(home, Terms { tells_origins, ..terms }, &columns, &rules).await;
    }
    // Times are none of the records' own.
    let is_a_records = |field: &&FieldRef| ![VALID_FROM, VALID_TO].contains(&field.name().as_str());
    let columns = Schema::new(columns.fields().iter().filter(is_a_records).cloned().collect::<Fields>());
    let terms = Terms { tells_origins: true, ..terms };
    Decoding::new(home, terms, &columns, &rules).await
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::{CompactionPolicy, Format, Keys, NewDefinition, StartFrom};

    /// A job that is begun again has its old definition.
    #[tokio::test]
    async fn columns_of_keys_that_were_kept_since_are_known() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::open(directory.path()).await.unwrap();
        let table = TableName::new("bronze", "t").unwrap();
        let new = NewDefinition {
            table: table.clone(),
            table_uuid: home.ids.uuid(),
            topic: "t".parse().unwrap(),
            topic_id: tableflow_model::TopicId(home.ids.uuid()),
            keeper: home.topics.keeper(),
            format: Format::Json,
            envelope: None,
            registry: None,
            columns: String::new(),
            keys: Some(Keys::new(Format::Json, String::new())),
            upsert: None,
            mode_change: None,
            metadata_columns: MetadataColumns::Portable,
            commit_interval_ms: 10,
            from: StartFrom::Earliest,
            from_offsets: None,
            retention_ms: 1,
            data_retention_ms: None,
            compaction: CompactionPolicy::default(),
            evolution: tableflow_connectors::decode::Evolution::Additive,
            error_handling: ErrorHandling::Suspend,
            dead_letters: None,
            fan_out: None,
            created_at: home.clock.now(),
        };
        let old = home.definitions().create(new).await.unwrap();
        let found = Keys { own: vec!["n".to_owned()], ..Keys::default() };
        let grow = |definition: &mut Definition| definition.keys.as_mut().unwrap().grow(&found);
        home.definitions().change(&table, grow).await.unwrap();
        let newest = with_newest_keys(&home, &old).await.unwrap();
        assert_eq!((newest.keys, newest.version), (Some(found), old.version));
        let mut of_another = old.clone();
        of_another.table_uuid = home.ids.uuid();
        assert_eq!(with_newest_keys(&home, &of_another).await.unwrap(), of_another);
    }
}
