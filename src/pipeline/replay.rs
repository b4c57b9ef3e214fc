//! Dead letters through the decoder again.
//!
//! Owns [`Letters`], what a replay takes its rows from, and [`replay`], its job. The job has the same two tables as the
//! one that wrote the letters: an epoch appends rows to the table, and to the letters that they are rows now.
//! - I1: a letter becomes a row once: the two are decided by one manifest, and what was decided is finished before
//!   letters are read. Of letters of one place the newest counts, once: a record that was read again has one of each.
//! - I2: a letter that cannot be decoded still is left as it is.
//! - I3: what a person asks for can only leave letters out, never take in others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{Int32Type, Int64Type, Schema, TimestampMicrosecondType};
use async_trait::async_trait;
use bytes::{BufMut, BytesMut};
use futures::StreamExt;
use serde::Serialize;
use tableflow_connectors::decode::dead_letters;
use tableflow_lake::layout::conform;
use tableflow_model::protocol::{Epoch, Ledger, Positions, Tally, TopicPositions};
use tableflow_model::{
    Error, ErrorKind, JobName, Offset, Partition, Records, Result, Span, TableName, TopicId, TopicName,
};
use tokio_util::sync::CancellationToken;

use super::budget::TableMemory;
use super::dispatch::{Dispatch, Halt, PassedOver, Rows};
use super::epochs::{Epochs, tables_of};
use super::intake::{Intake, Start};
use super::job::{Ended, Goal};
use super::progress::Progress;
use super::staging::EpochFiles;
use super::target;
use crate::definition::{DeadLetters, Definition, ErrorHandling, Wanted};
use crate::home::Home;
use crate::query::{QuerySession, query_error};

/// Where the ledger of a replay counts the letters that became rows.
const COUNTER: Partition = Partition(0);

/// A place in the topic, and the epoch that found the record bad.
type Letter = (i32, i64, i64);

/// What a replay came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    pub rows: u64,
    /// Letters that were not asked for.
    pub not_asked_for: u64,
    /// Those that cannot be decoded still, by why.
    pub stay: Vec<Stay>,
}

/// Letters that stay for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stay {
    pub reason: &'static str,
    pub letters: u64,
    /// What is said of the first of them, and where that is.
    pub message: String,
    pub partition: i32,
    pub offset: i64,
}

impl Replayed {
    pub fn left(&self) -> u64 {
        self.not_asked_for + self.stay.iter().map(|stay| stay.letters).sum::<u64>()
    }

    fn stays(&mut self, letter: &PassedOver, partition: Partition) {
        let reason = letter.reason.code();
        match self.stay.iter_mut().find(|stay| stay.reason == reason) {
            Some(stay) => stay.letters += 1,
            None => self.stay.push(Stay {
                reason,
                letters: 1,
                message: letter.message.clone(),
                partition: partition.0,
                offset: letter.offset.0,
            }),
        }
    }
}

/// The name of a table's replay job; those of the jobs that fill tables have a dot.
pub fn job_of(definition: &Definition) -> Result<JobName> {
    format!("replay-{}", definition.table_uuid).parse()
}

/// The SQL of a table's letters that are no rows yet (I1).
pub fn outstanding(letters: &TableName) -> String {
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let table = format!("{}.{}", quoted(letters.namespace()), quoted(letters.name()));
    format!(
        "SELECT * FROM (SELECT *, max(epoch) OVER (PARTITION BY \"partition\", \"offset\") AS newest, \
         max(CASE WHEN replayed THEN epoch END) OVER (PARTITION BY \"partition\", \"offset\") AS done FROM {table}) \
         WHERE NOT replayed AND epoch = newest AND (done IS NULL OR done < epoch)"
    )
}

/// How many letters became rows, by the table's ledger of its replays.
pub fn replayed(definition: &Definition, property: impl Fn(&str) -> Option<String>) -> u64 {
    let ledger = job_of(definition).ok().and_then(|job| property(&Ledger::property(&job)));
    let ledger = ledger.and_then(|text| Ledger::from_text(&text).ok());
    let counted = |topic: &TopicPositions| topic.offsets.get(&COUNTER).map_or(0, |offset| offset.0);
    let count = ledger.map_or(0, |ledger| ledger.positions.0.values().map(counted).sum());
    u64::try_from(count).unwrap_or(0)
}

/// Brings the letters that can be decoded by now into the table.
pub async fn replay(
    home: &Home,
    definition: &Definition,
    condition: Option<&str>,
    memory: Arc<TableMemory>,
) -> Result<Replayed> {
    let Some(dead_letters) = definition.dead_letters.clone() else {
        return Err(Error::usage(format!("{} has no dead letters", definition.table))
            .with_hint("a table has them with --error-handling LOG"));
    };
    if definition.upsert.is_some() {
        return Err(Error::usage(format!("{} has one row a key: its dead letters are not replayed", definition.table))
            .with_detail("a later record of the same key may be in the table already")
            .with_hint("`tableflow dlq show` has the records: produce those anew that are the newest of their keys"));
    }
    let mut definition = definition.clone();
    definition.job = job_of(&definition)?;
    let found = Arc::new(Mutex::new(Replayed::default()));
    let before = replayed_of(home, &definition).await?;
    loop {
        let (sinks, dispatch) = tables_of(home, &again(&definition), dead_letters.clone()).await?;
        let letters = Letters {
            home: home.clone(),
            topic: definition.topic.clone(),
            topic_id: definition.topic_id,
            dead_letters: dead_letters.clone(),
            condition: condition.map(str::to_owned),
            dispatch,
            memory: memory.clone(),
            found: found.clone(),
        };
        let (progress, goal) = (Arc::new(Progress::default()), Goal::CatchUp(CancellationToken::new()));
        let job = Epochs::over_letters(home.clone(), definition.clone(), (sinks, Box::new(letters)), progress, goal);
        match job.run().await? {
            Ended::Grown | Ended::Follows(_) => {
                let job = definition.job.clone();
                definition = home.definitions().newest_of(definition).await?;
                definition.job = job;
                if definition.wanted == Wanted::Disabled {
                    return Err(Error::conflict(format!("{} was disabled meanwhile", definition.table))
                        .with_hint("enable it again, and replay what is left"));
                }
            }
            Ended::CaughtUp | Ended::Stopped => break,
            Ended::Fenced(error) | Ended::Suspended(error) => return Err(error),
        }
    }
    let after = replayed_of(home, &definition).await?;
    let found = std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(Replayed { rows: after.saturating_sub(before), ..found })
}

async fn replayed_of(home: &Home, definition: &Definition) -> Result<u64> {
    let table = target::load(home, definition.anchor()).await?;
    Ok(replayed(definition, |name| table.metadata.properties().get(name).cloned()))
}

/// As letters are decoded: a bad one is passed over, and put nowhere.
fn again(definition: &Definition) -> Definition {
    let mut again = definition.clone();
    again.error_handling = ErrorHandling::Skip;
    again
}

/// A table's dead letters as a job reads them.
pub struct Letters {
    home: Home,
    topic: TopicName,
    topic_id: TopicId,
    dead_letters: DeadLetters,
    condition: Option<String>,
    dispatch: Box<dyn Dispatch>,
    memory: Arc<TableMemory>,
    /// What the last look found.
    found: Arc<Mutex<Replayed>>,
}

impl std::fmt::Debug for Letters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Letters").field("of", &self.topic).finish_non_exhaustive()
    }
}

#[async_trait]
impl Intake for Letters {
    async fn start(&mut self, from: Option<Positions>, _epoch: Epoch) -> Result<Start> {
        let known = from.and_then(|mut from| from.0.remove(&self.topic));
        let counted = known.and_then(|known| known.offsets.get(&COUNTER).copied()).unwrap_or(Offset(0));
        Ok(Start::At(BTreeMap::from([(COUNTER, counted)])))
    }

    async fn fill(&mut self, files: &mut EpochFiles) -> Result<Option<Ended>> {
        let wanted = match self.condition.clone() {
            Some(condition) => {
                let queries = QuerySession::new(self.home.clone(), self.memory.bytes_max());
                Some(chosen(queries, &self.dead_letters.table.clone(), &condition).await?)
            }
            None => None,
        };
        let sql = format!("{} ORDER BY \"partition\", \"offset\"", outstanding(&self.dead_letters.table));
        let queries = QuerySession::new(self.home.clone(), self.memory.bytes_max());
        let mut stream = queries.stream(&sql, None).await?;
        let shape = Arc::new(Schema::new(dead_letters::fields()));
        let start = files.positions.get(&COUNTER).copied().unwrap_or(Offset(0));
        let mut replayed = Replayed::default();
        while let Some(batch) = stream.next().await {
            let batch = conform(&batch.map_err(query_error)?, &shape)?;
            let (asked_for, others) = by_partition(&batch, wanted.as_ref())?;
            replayed.not_asked_for += others;
            for letters in asked_for {
                for rows in self.rows(&letters, start, &mut replayed).await? {
                    files.write(&rows).await?;
                    match rows.halt {
                        None => {}
                        Some(Halt::Failed(error)) => return Err(error),
                        Some(Halt::NewTable) => return Ok(Some(Ended::Grown)),
                        Some(Halt::Follows(step)) => return Ok(Some(Ended::Follows(step))),
                    }
                }
            }
        }
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = replayed;
        Ok(Some(Ended::CaughtUp))
    }

    async fn confirm(&mut self) -> Result<()> {
        Ok(())
    }

    fn positions(&self, files: &EpochFiles) -> Positions {
        let topic = TopicPositions::new(self.topic_id, files.positions.clone());
        Positions(BTreeMap::from([(self.topic.clone(), topic)]))
    }

    fn take_failure(&mut self) -> Option<Error> {
        None
    }
}

impl Letters {
    /// The letters of one partition as rows, each with the word that it is one.
    async fn rows(&mut self, letters: &RecordBatch, start: Offset, replayed: &mut Replayed) -> Result<Vec<Rows>> {
        let records = records(letters)?;
        let mut from = Offset(i64::MIN);
        let mut all = self.dispatch.rows(&records, Epoch::default()).await?;
        for rows in &mut all {
            let passed_over: BTreeSet<i64> = rows.passed_over.iter().map(|passed_over| passed_over.offset.0).collect();
            let became_row =
                |offset: &i64| (from.0..rows.next_offset.0).contains(offset) && !passed_over.contains(offset);
            let indices = records.offsets.iter().zip(0_u32..).filter(|(offset, _)| became_row(offset));
            let indices: Vec<u32> = indices.map(|(_, index)| index).collect();
            from = rows.next_offset;
            replayed.rows += indices.len() as u64;
            rows.passed_over.iter().for_each(|passed_over| replayed.stays(passed_over, records.partition));
            if !indices.is_empty() {
                rows.parts.push((self.dispatch.dead_letters(), done(letters, indices)?));
            }
            // The ledger of a replay counts letters, and nothing else.
            rows.partition = COUNTER;
            rows.tally = Tally::default();
            rows.next_offset = Offset(start.0 + i64::try_from(replayed.rows).unwrap_or(i64::MAX));
        }
        Ok(all)
    }
}

/// What a person's condition was refused with: of the statement around it they know nothing.
pub fn refused_condition(condition: &str, error: Error) -> Error {
    if error.kind() != ErrorKind::Usage {
        return error;
    }
    let detail = error.detail().unwrap_or_else(|| error.message()).lines().next().unwrap_or_default().to_owned();
    let columns: Vec<String> = dead_letters::fields().iter().map(|field| field.name().clone()).collect();
    Error::usage(format!("--where {condition:?} is no condition on dead letters"))
        .with_detail(detail)
        .with_hint(format!("their columns are {}; \"partition\" and \"offset\" in quotes", columns.join(", ")))
}

/// The letters that a person's condition names (I3).
async fn chosen(queries: QuerySession, letters: &TableName, condition: &str) -> Result<BTreeSet<Letter>> {
    let letters = outstanding(letters);
    let sql = format!("SELECT \"partition\", \"offset\", epoch FROM ({letters}) AS letters WHERE {condition}");
    let stream = queries.stream(&sql, None).await;
    let mut stream = stream.map_err(|error| refused_condition(condition, error))?;
    let mut chosen = BTreeSet::new();
    while let Some(batch) = stream.next().await {
        let batch = batch.map_err(query_error)?;
        chosen.extend((0..batch.num_rows()).filter_map(|row| letter(&batch, row)));
    }
    Ok(chosen)
}

fn letter(batch: &RecordBatch, row: usize) -> Option<Letter> {
    let partition = batch.column_by_name("partition")?.as_primitive_opt::<Int32Type>()?;
    let number = |name: &str| Some(batch.column_by_name(name)?.as_primitive_opt::<Int64Type>()?.value(row));
    Some((partition.value(row), number("offset")?, number("epoch")?))
}

/// The letters that are wanted, partition by partition, in the order of their offsets; and how many are not.
fn by_partition(batch: &RecordBatch, wanted: Option<&BTreeSet<Letter>>) -> Result<(Vec<RecordBatch>, u64)> {
    let mut rows: BTreeMap<i32, Vec<u32>> = BTreeMap::new();
    let mut others = 0;
    for (row, index) in (0..batch.num_rows()).zip(0_u32..) {
        let letter = letter(batch, row).ok_or_else(foreign)?;
        if wanted.is_none_or(|wanted| wanted.contains(&letter)) {
            rows.entry(letter.0).or_default().push(index);
        } else {
            others += 1;
        }
    }
    let taken = |rows: Vec<u32>| {
        take_record_batch(batch, &UInt32Array::from(rows))
            .map_err(|error| Error::internal("dead letters cannot be picked out").with_source(error))
    };
    Ok((rows.into_values().map(taken).collect::<Result<_>>()?, others))
}

fn foreign() -> Error {
    Error::data("the table of dead letters has other columns than it was made with")
        .with_hint("restore its columns, or read its rows with `tableflow query`")
}

/// Letters as the records that they were; those of one partition, where it matters.
pub fn records(letters: &RecordBatch) -> Result<Records> {
    let column = |name: &str| letters.column_by_name(name).ok_or_else(foreign);
    let (keys, values) = (column("key")?.as_binary_opt::<i32>(), column("value")?.as_binary_opt::<i32>());
    let (keys, values) = (keys.ok_or_else(foreign)?, values.ok_or_else(foreign)?);
    let headers = column("headers")?.as_list_opt::<i32>().ok_or_else(foreign)?;
    let times = column("timestamp")?.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(foreign)?;
    let mut buffer = BytesMut::new();
    let mut push = |bytes: Option<&[u8]>| match bytes {
        None => Span::NULL,
        Some(bytes) => {
            let start = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
            buffer.put_slice(bytes);
            Span::new(start, u32::try_from(bytes.len()).unwrap_or(u32::MAX - 1))
        }
    };
    let mut records = Records::default();
    for row in 0..letters.num_rows() {
        let (partition, offset, _) = letter(letters, row).ok_or_else(foreign)?;
        records.partition = Partition(partition);
        records.offsets.push(offset);
        records.next_offset = Offset(offset + 1);
        // A time that the letter could not keep is one that the row cannot keep either.
        records.timestamps.push(if times.is_null(row) { i64::MAX } else { times.value(row).div_euclid(1_000) });
        records.keys.push(push(keys.is_valid(row).then(|| keys.value(row))));
        records.values.push(push(values.is_valid(row).then(|| values.value(row))));
        let pairs = headers.value(row);
        let pairs = pairs.as_struct_opt().ok_or_else(foreign)?;
        let names = pairs.column_by_name("key").and_then(|names| names.as_string_opt::<i32>()).ok_or_else(foreign)?;
        let bytes = pairs.column_by_name("value").and_then(|bytes| bytes.as_binary_opt::<i32>()).ok_or_else(foreign)?;
        for index in 0..pairs.len() {
            let value = bytes.is_valid(index).then(|| bytes.value(index));
            let name = push(Some(names.value(index).as_bytes()));
            records.headers.push((name, push(value)));
        }
        records.header_ends.push(u32::try_from(records.headers.len()).unwrap_or(u32::MAX));
    }
    records.buffer = buffer.freeze();
    Ok(records)
}

/// The rows that say of letters that they became rows of the table.
fn done(letters: &RecordBatch, rows: Vec<u32>) -> Result<RecordBatch> {
    const KEPT: [&str; 4] = ["topic", "partition", "offset", "epoch"];
    let unfit = |error| Error::internal("what became of dead letters has no form").with_source(error);
    let letters = take_record_batch(letters, &UInt32Array::from(rows)).map_err(unfit)?;
    let fields = dead_letters::fields();
    let column = |name: &str| letters.column_by_name(name).cloned();
    let columns: Option<Vec<ArrayRef>> = fields
        .iter()
        .map(|field| match field.name().as_str() {
            "replayed" => Some(Arc::new(BooleanArray::from(vec![true; letters.num_rows()])) as ArrayRef),
            name if KEPT.contains(&name) => column(name),
            _ => Some(new_null_array(field.data_type(), letters.num_rows())),
        })
        .collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.ok_or_else(foreign)?).map_err(unfit)
}
