//! A table as `status`, `describe` and `list` show it.
//!
//! Owns [`TableStatus`], whose JSON field names are a contract. It is put together from the definition, the
//! catalog's table, the topic's ends and the running job's report.
//! - I1: what is committed comes from the table's own ledger, never from a report.

use bytes::Bytes;
use iceberg::spec::{Operation, TableMetadata};
use serde::Serialize;
use tableflow_catalog::LoadedTable;
use tableflow_lake::commit::ROLLED_BACK_TO;
use tableflow_lake::layout::key_ids;
use tableflow_model::protocol::Ledger;
use tableflow_model::{Error, ErrorKind, Offset, Partition, Result, Source, TableName};

use super::fan_out::FanOutTable;
use super::filled::Filled;
use super::gone::deleted;
use super::left_out;
use super::mode::{self, Standing};
use super::progress::{KeyIndexReport, Report, State, Trouble, UpkeepReport};
use super::replay::replayed;
use super::target::total_of;
use super::writing::{Reader, Writing};
use crate::definition::Unreadable;
use crate::definition::{Definition, Wanted};
use crate::home::Home;
use crate::lease::live_service;
use crate::output::rfc3339;

/// Set by `rollback --keep-offsets`: the table no longer holds what its topic says.
pub const DIVERGED_PROPERTY: &str = "tableflow.diverged-at";

/// One table, in words and numbers.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TableStatus {
    pub table: String,
    pub topic: String,
    pub status: State,
    pub reason: Option<String>,
    pub hint: Option<String>,
    /// As the table is.
    pub mode: &'static str,
    /// What `update --mode` asked for, until the table's job has made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode_asked: Option<&'static str>,
    pub format_version: u8,
    pub delete_encoding: &'static str,
    /// The engines that the table is for, where some were named.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub readers: Vec<Reader>,
    /// Rows were left out by a rollback that kept the offsets.
    pub diverged: bool,
    pub snapshot_id: Option<i64>,
    pub metadata_location: Option<String>,
    pub schema_id: Option<i32>,
    pub partitions: Vec<PartitionStatus>,
    pub rows_committed: u64,
    pub rows_buffered: u64,
    pub rows_skipped: u64,
    /// Changes that were older than the rows of their keys, of a table that goes by a column.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes_left_out: Option<u64>,
    pub rows_dead_lettered: u64,
    /// The topic that dead letters go to beside their table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dlq_topic: Option<String>,
    /// Records of all partitions that are not committed.
    pub lag: i64,
    pub freshness_ms: Option<i64>,
    pub last_commit_at: Option<String>,
    pub data_files: u64,
    pub delete_files: u64,
    pub bytes: u64,
    pub snapshots: u64,
    /// Of those that are kept.
    pub last_compacted_at: Option<String>,
    pub catalogs: Vec<CatalogStatus>,
    /// Of a table with one row a key that a running service feeds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_index: Option<KeyIndexReport>,
    /// Where a running service looks after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upkeep: Option<UpkeepStatus>,
    /// Of a fan-out: those that it has so far.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<OneOfSeveral>,
}

/// How the service looks after a table.
#[derive(Clone, Debug, Serialize)]
pub struct UpkeepStatus {
    pub state: UpkeepState,
    /// Data files and delete files that came since it was there.
    pub files_since: u64,
    pub looked_at: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum UpkeepState {
    Waiting,
    /// It has had its look.
    Kept,
    /// Files come faster than they are compacted: commits wait longer.
    Behind,
    Failing,
}

impl From<UpkeepReport> for UpkeepStatus {
    fn from(report: UpkeepReport) -> Self {
        let state = match (&report.failure, report.is_behind, report.looked_at) {
            (Some(_), _, _) => UpkeepState::Failing,
            (None, true, _) => UpkeepState::Behind,
            (None, false, None) => UpkeepState::Waiting,
            (None, false, Some(_)) => UpkeepState::Kept,
        };
        let looked_at = report.looked_at.and_then(|at| rfc3339(at.0));
        UpkeepStatus { state, files_since: report.files_since, looked_at }
    }
}

/// A table of one type of record, of a topic that has many.
#[derive(Clone, Debug, Serialize)]
pub struct OneOfSeveral {
    pub table: String,
    /// The type.
    pub value: String,
    pub rows_committed: u64,
    pub snapshot_id: Option<i64>,
}

impl OneOfSeveral {
    fn of(named: FanOutTable, table: &LoadedTable) -> Self {
        OneOfSeveral {
            table: named.table.to_plain_string(),
            value: named.value,
            rows_committed: total_of(&table.metadata, "total-records"),
            snapshot_id: table.metadata.current_snapshot_id(),
        }
    }
}

#[derive(Clone, Debug, Serialize)]
pub struct PartitionStatus {
    pub partition: i32,
    pub next_offset: i64,
    pub end_offset: i64,
    pub lag: i64,
}

#[derive(Clone, Debug, Serialize)]
pub struct CatalogStatus {
    pub name: &'static str,
    pub state: &'static str,
    pub error: Option<String>,
}

impl TableStatus {
    /// All that can be said of a table whose definition cannot be read.
    pub fn unreadable(unreadable: &Unreadable) -> Self {
        let Trouble { reason, hint, .. } = Trouble::of(&unreadable.error);
        TableStatus {
            table: unreadable.table.clone(),
            status: State::Suspended,
            reason: Some(reason),
            hint,
            ..TableStatus::appended()
        }
    }

    /// What the tables alone tell.
    fn of_tables(filled: &Filled, definition: &Definition) -> Self {
        let rows_in = filled.with_rows(definition);
        let total = |name: &str| rows_in.iter().map(|metadata| total_of(metadata, name)).sum::<u64>();
        let metadata = filled.anchor.as_ref().map(|table| &table.metadata);
        let one = rows_in.first().filter(|_| definition.fan_out.is_none());
        let registered = if filled.anchor.is_some() { "Registered" } else { "Missing" };
        let known = one.copied().or(metadata.map(AsRef::as_ref));
        let writing = known.map_or_else(Writing::default, Writing::of);
        let mode = mode_of(definition, known);
        let is_due = known.is_some_and(|table| matches!(Standing::of(definition, table), Standing::Due(_)));
        let delete_encoding = if mode == mode::word(true) { writing.encoding.word() } else { "none" };
        TableStatus {
            table: definition.table.to_plain_string(),
            topic: definition.topic.to_string(),
            mode,
            mode_asked: Some(mode::word(definition.upsert.is_some())).filter(|asked| *asked != mode || is_due),
            format_version: writing.version_number(),
            delete_encoding,
            readers: writing.readers,
            dlq_topic: definition.letters_topic().map(|letters| letters.topic.to_string()),
            diverged: metadata.is_some_and(|metadata| metadata.properties().contains_key(DIVERGED_PROPERTY)),
            snapshot_id: one.and_then(|metadata| metadata.current_snapshot_id()),
            metadata_location: filled.anchor.as_ref().map(|table| table.metadata_location.clone()),
            schema_id: metadata.map(|metadata| metadata.current_schema_id()),
            rows_committed: total("total-records").saturating_sub(total("total-position-deletes")),
            last_commit_at: filled.committed_at(definition).and_then(rfc3339),
            data_files: total("total-data-files"),
            delete_files: total("total-delete-files"),
            bytes: total("total-files-size"),
            snapshots: rows_in.iter().map(|metadata| metadata.snapshots().len() as u64).sum(),
            last_compacted_at: rows_in.iter().filter_map(|metadata| compacted_at(metadata)).max().and_then(rfc3339),
            catalogs: vec![CatalogStatus { name: "tableflow", state: registered, error: None }],
            tables: filled.of_fan_out.iter().map(|(named, table)| OneOfSeveral::of(named.clone(), table)).collect(),
            changes_left_out: known.and_then(left_out::known),
            ..TableStatus::appended()
        }
    }

    /// What is the same of all tables in this version.
    fn appended() -> Self {
        TableStatus { mode: "append", format_version: 2, delete_encoding: "none", ..TableStatus::default() }
    }
}

/// That of the table: a change that is declared is another one until it is made.
fn mode_of(definition: &Definition, table: Option<&TableMetadata>) -> &'static str {
    match table.map(|table| (table, Standing::of(definition, table))) {
        // One that was taken back is due, too, and changes nothing.
        Some((table, Standing::Due(_))) => mode::word(!key_ids(table.current_schema()).is_empty()),
        _ => mode::word(definition.upsert.is_some()),
    }
}

/// The table as it is now.
pub async fn status_of(home: &Home, definition: &Definition) -> Result<TableStatus> {
    let report = report_of(home, definition).await;
    let tables = Filled::load(home, definition).await?;
    let ledger = tables.ledger(home, definition).await?;
    let tally = ledger.as_ref().map(|ledger| ledger.positions.tally()).unwrap_or_default();
    let (partitions, no_topic, open) = match partitions(home, definition, ledger).await {
        Ok((partitions, open)) => (partitions, None, open),
        Err(error) => (Vec::new(), Some(without_topic(definition, &error)), None),
    };
    let served = live_service(home).await.is_some();
    let (status, trouble) = state(definition, report.as_ref(), tables.anchor.as_ref(), no_topic, served);
    let upkeep = report.as_ref().filter(|_| served).and_then(|report| report.upkeep.clone());
    let trouble = trouble.or(open).or(upkeep.as_ref().and_then(upkeep_trouble));
    let lag: i64 = partitions.iter().map(|partition| partition.lag).sum();
    let reads = !partitions.is_empty();
    // A report is older than the ledger: what it calls buffered may be committed by now (I1).
    let buffered = report.as_ref().filter(|_| served && reads).map_or(0, |report| report.rows_buffered);
    let replayed = replayed(definition, |name| tables.property(name));
    let since_commit = tables.committed_at(definition).map(|at| home.clock.now().0 - at);
    Ok(TableStatus {
        status,
        reason: trouble.as_ref().map(|trouble| trouble.reason.clone()),
        hint: trouble.and_then(|trouble| trouble.hint),
        rows_buffered: buffered.min(u64::try_from(lag).unwrap_or(0)),
        key_index: report.as_ref().filter(|_| served).and_then(|report| report.key_index),
        upkeep: upkeep.map(UpkeepStatus::from),
        rows_skipped: tally.skipped,
        rows_dead_lettered: tally.dead_lettered.saturating_sub(replayed),
        lag,
        freshness_ms: freshness(
            report.and_then(|report| report.freshness_ms),
            (reads && lag == 0).then_some(0).or(since_commit),
        ),
        partitions,
        ..TableStatus::of_tables(&tables, definition)
    })
}

/// When the newest compaction of those that history tells of was.
fn compacted_at(metadata: &TableMetadata) -> Option<i64> {
    let replacing = metadata.snapshots().filter(|snapshot| snapshot.summary().operation == Operation::Replace);
    replacing.map(|snapshot| snapshot.timestamp_ms()).max()
}

/// What keeps a table from being as quick to read as it could be.
fn upkeep_trouble(upkeep: &UpkeepReport) -> Option<Trouble> {
    match &upkeep.failure {
        Some(failure) => {
            let hint = "rows come all the same; the log has each try, and `tableflow compact` tells what it met";
            trouble(&format!("upkeep fails: {failure}"), Some(hint))
        }
        None if upkeep.is_behind => {
            let reason = format!("{} files came since upkeep was there: commits wait longer", upkeep.files_since);
            trouble(&reason, Some("it goes on by itself; a longer --commit-interval makes fewer files"))
        }
        None => None,
    }
}

/// How long the newest records took until they could be seen; while others wait, at least as long as they do.
fn freshness(of_last_commit: Option<i64>, waiting: Option<i64>) -> Option<i64> {
    of_last_commit.max(waiting)
}

/// What a table is whose topic cannot be asked for its ends.
fn without_topic(definition: &Definition, error: &Error) -> (State, Trouble) {
    match error.kind() {
        ErrorKind::NotFound => (State::Suspended, Trouble::of(&deleted(&definition.topic, &definition.table))),
        ErrorKind::Unavailable => (State::Degraded, Trouble::of(error)),
        _ => (State::Suspended, Trouble::of(error)),
    }
}

/// Leaves a job's words for other processes.
pub async fn put_report(home: &Home, table: &TableName, report: &Report) -> Result<()> {
    let json = serde_json::to_vec(report);
    let json = json.map_err(|error| Error::internal("a report has no JSON form").with_source(error))?;
    home.store.put_overwrite(&home.state.status(table), Bytes::from(json)).await
}

/// Whether the service that runs here has ended the table's job, as its definition wants it.
pub async fn rests(home: &Home, definition: &Definition) -> bool {
    live_service(home).await.is_none()
        || report_of(home, definition).await.is_some_and(|report| report.state == State::Paused)
}

/// The job's own words, if they are about this definition.
pub async fn report_of(home: &Home, definition: &Definition) -> Option<Report> {
    let bytes = home.store.get(&home.state.status(&definition.table)).await.ok()?;
    let report: Report = serde_json::from_slice(&bytes).ok()?;
    (report.definition_version == definition.version).then_some(report)
}

fn state(
    definition: &Definition,
    report: Option<&Report>,
    table: Option<&LoadedTable>,
    no_topic: Option<(State, Trouble)>,
    served: bool,
) -> (State, Option<Trouble>) {
    if definition.wanted == Wanted::Paused {
        return (State::Paused, Some(pause_of(definition, table)));
    }
    match (report, no_topic) {
        // Whatever a person decides about the record that stopped it, there is no topic to go on with.
        (_, Some((State::Suspended, gone))) if table.is_some() => (State::Suspended, Some(gone)),
        // What a job said before its service ended is no longer so, unless a person has to decide.
        (Some(report), _) if report.state == State::Suspended => (report.state, report.trouble.clone()),
        _ if table.is_none() => {
            let hint = "`tableflow disable` it, then enable the topic again to make a new table";
            (State::Suspended, trouble(&format!("table {} was dropped", definition.anchor()), Some(hint)))
        }
        (_, Some((state, trouble))) => (state, Some(trouble)),
        (Some(report), None) if served => (report.state, report.trouble.clone()),
        _ if served => (State::Pending, trouble("the service takes it up within a second", None)),
        _ => {
            let hint = "run `tableflow up` to keep it fresh, or `tableflow sync` once";
            (State::Pending, trouble("no service runs", Some(hint)))
        }
    }
}

fn trouble(reason: &str, hint: Option<&str>) -> Option<Trouble> {
    Some(Trouble { reason: reason.to_owned(), hint: hint.map(str::to_owned), letters: None })
}

/// Why a table rests that a person paused: with `pause`, or by rolling it back.
fn pause_of(definition: &Definition, table: Option<&LoadedTable>) -> Trouble {
    let snapshot = table.and_then(|table| table.metadata.current_snapshot());
    let rolled_back = snapshot.and_then(|it| it.summary().additional_properties.get(ROLLED_BACK_TO));
    Trouble {
        reason: match rolled_back {
            Some(to) => format!("rolled back to {to}"),
            None => "paused by a person".to_owned(),
        },
        hint: Some(format!("`tableflow resume {}` feeds it again", definition.table)),
        letters: None,
    }
}

/// I1. Offsets of a topic that was made again have nothing to do with those in the ledger. Beside the partitions, what
/// holds up a table that has everything it may read.
async fn partitions(
    home: &Home,
    definition: &Definition,
    ledger: Option<Ledger>,
) -> Result<(Vec<PartitionStatus>, Option<Trouble>)> {
    let mut source = home.source_of(definition).await?;
    let (topic_id, ranges) = (source.topic_id().await?, source.ranges().await?);
    let positions = ledger.and_then(|mut ledger| ledger.positions.0.remove(&definition.topic));
    let positions = positions.filter(|positions| positions.id == topic_id);
    let known = positions.map(|positions| positions.offsets).unwrap_or_default();
    let partition = |(partition, range): (Partition, tableflow_model::source::Range)| {
        let Offset(next) = known.get(&partition).copied().unwrap_or(range.start);
        PartitionStatus {
            partition: partition.0,
            next_offset: next,
            end_offset: range.end.0,
            lag: (range.end.0 - next).max(0),
        }
    };
    let partitions: Vec<PartitionStatus> = ranges.into_iter().map(partition).collect();
    let in_step = partitions.iter().all(|partition| partition.lag == 0);
    let open = if in_step { open_transaction(source.as_mut(), &partitions).await? } else { None };
    Ok((partitions, open))
}

/// Records that nobody may read yet, since a transaction before them is open.
async fn open_transaction(source: &mut dyn Source, partitions: &[PartitionStatus]) -> Result<Option<Trouble>> {
    let numbers: Vec<Partition> = partitions.iter().map(|partition| Partition(partition.partition)).collect();
    let ends = source.uncommitted_ends(&numbers).await?;
    let waiting = |it: &PartitionStatus| Some(ends.get(&Partition(it.partition))?.0 - it.end_offset);
    let held_up = partitions.iter().find_map(|it| waiting(it).filter(|count| *count > 0).map(|count| (it, count)));
    Ok(held_up.and_then(|(it, count)| {
        let (partition, from) = (it.partition, it.end_offset);
        let reason = format!("{count} records of partition {partition} from offset {from} on wait for the end of a transaction");
        let hint = "they are read when it is committed or aborted; of a producer that is gone: `kafka-transactions find-hanging`, \
                    then `abort`";
        trouble(&reason, Some(hint))
    }))
}
