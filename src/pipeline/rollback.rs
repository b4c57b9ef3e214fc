//! An old snapshot's content as a new snapshot, the table paused (rule C5).
//!
//! - I1: the ledger moves in the same commit as the content, its generation goes up: a job that is running meets it
//!   and stops, a commit in flight finds another base.
//! - I2: the table is paused first, so that nothing fills it before the person has looked.
//! - I3: a table whose epochs manifests decide is replayed from them, and only where each one that it needs is there.

use std::collections::BTreeMap;

use iceberg::spec::{Snapshot, SnapshotRef, TableMetadata};
use tableflow_catalog::CommitOutcome;
use tableflow_lake::commit::{ROLLED_BACK_TO, prepare_rollback};
use tableflow_lake::feed::path_of;
use tableflow_lake::layout::key_ids;
use tableflow_lake::write::file_from_text;
use tableflow_model::protocol::{Cut, Epoch, Intent, Ledger, Rules, WriterId, reset};
use tableflow_model::{Error, ErrorKind, Result, TableName};

use super::epochs::sink_name;
use super::manifests::{Manifests, branch};
use super::replay::replayed;
use super::status::DIVERGED_PROPERTY;
use crate::definition::{Definition, Wanted};
use crate::home::Home;

/// What becomes of the records that the table had after the old snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Afterwards {
    /// They are read again.
    Replay,
    /// They stay out: the table goes on where it stands in its topic.
    KeepOffsets,
}

/// Answers the new snapshot's id.
pub async fn roll_back(home: &Home, table: &TableName, to: i64, afterwards: Afterwards) -> Result<i64> {
    // What is refused is refused before anything is changed.
    let unchanged = home.definitions().get(table).await?;
    if unchanged.fan_out.is_some() {
        return Err(Error::usage(format!(
            "{table} is several tables, which move together: none of them is rolled back"
        ))
        .with_hint("`tableflow query --as-of` reads what they were"));
    }
    let before = home.catalog.load_table(table).await?;
    if before.metadata.snapshot_by_id(to).is_none() {
        return Err(no_snapshot(table, to));
    }
    check_mode(table, &before.metadata, to)?;
    check_replays(&unchanged, &before.metadata, to)?;
    properties(home, &unchanged, &before.metadata, (to, afterwards)).await?;
    let definition = home.definitions().change(table, |definition| definition.wanted = Wanted::Paused).await?;
    // Loaded again: the job may have committed until it was paused.
    let base = home.catalog.load_table(table).await?;
    check_mode(table, &base.metadata, to)?;
    check_replays(&definition, &base.metadata, to)?;
    let properties = properties(home, &definition, &base.metadata, (to, afterwards)).await?;
    let in_step = afterwards == Afterwards::Replay && !lacks_rows(&base.metadata, to);
    let removals: &[&str] = if in_step { &[DIVERGED_PROPERTY] } else { &[] };
    let prepared = prepare_rollback(home.commit_context(), &base.metadata, to, properties, removals).await?;
    match home.catalog.commit(table, &base, prepared.requirements, prepared.updates).await? {
        CommitOutcome::Applied(_) => Ok(prepared.snapshot_id),
        CommitOutcome::Conflict { reason } => Err(Error::conflict(format!("{table} was changed meanwhile"))
            .with_detail(reason)
            .with_hint("the table is paused; look at `tableflow history` and try again")),
        CommitOutcome::Unknown { error } => {
            Err(error.with_hint("whether the rollback is in is not known; look at `tableflow history`"))
        }
    }
}

/// Rows that came from dead letters are nowhere else: a rollback behind them would lose them.
fn check_replays(definition: &Definition, base: &TableMetadata, to: i64) -> Result<()> {
    let mut next = base.current_snapshot();
    while let Some(snapshot) = next.filter(|snapshot| snapshot.snapshot_id() != to) {
        if replayed_by(definition, snapshot) > 0 {
            return Err(Error::usage(format!(
                "{} has rows of dead letters that snapshot {to} has not",
                definition.table
            ))
            .with_detail(format!("snapshot {} brought them", snapshot.snapshot_id()))
            .with_hint("choose that snapshot or a later one"));
        }
        next = parent(base, snapshot);
    }
    if next.is_some() {
        return Ok(());
    }
    // Snapshots between the two are forgotten, and with them which one brought rows of letters.
    let there = ancestors(base, to).map(|snapshot| replayed_by(definition, snapshot)).max().unwrap_or(0);
    if replayed(definition, |name| base.properties().get(name).cloned()) > there {
        return Err(Error::usage(format!("{} has rows of dead letters that snapshot {to} has not", definition.table))
            .with_detail("which snapshot brought them is forgotten: it expired")
            .with_hint("choose a snapshot of `tableflow history` that is newer"));
    }
    Ok(())
}

fn replayed_by(definition: &Definition, snapshot: &Snapshot) -> u64 {
    replayed(definition, |name| snapshot.summary().additional_properties.get(name).cloned())
}

fn parent<'t>(table: &'t TableMetadata, snapshot: &SnapshotRef) -> Option<&'t SnapshotRef> {
    snapshot.parent_snapshot_id().and_then(|parent| table.snapshot_by_id(parent))
}

/// A snapshot and those before it, as far as they are kept.
fn ancestors(table: &TableMetadata, from: i64) -> impl Iterator<Item = &SnapshotRef> {
    std::iter::successors(table.snapshot_by_id(from), |snapshot| parent(table, snapshot))
}

/// What was committed while every record was a row may have several rows of a key.
fn check_mode(table: &TableName, base: &TableMetadata, to: i64) -> Result<()> {
    let keys = key_ids(base.current_schema());
    let schema = base.snapshot_by_id(to).and_then(|snapshot| snapshot.schema_id()).and_then(|id| base.schema_by_id(id));
    match schema {
        Some(schema) if !keys.is_empty() && key_ids(schema) != keys => {
            let name = table.to_plain_string();
            Err(Error::usage(format!("snapshot {to} is of before table {table} had one row a key"))
                .with_detail("it may have several rows of one key")
                .with_hint(format!(
                    "`tableflow update {name} --mode append` first; once it is rolled back, --mode upsert leaves one of each key"
                )))
        }
        _ => Ok(()),
    }
}

fn no_snapshot(table: &TableName, id: i64) -> Error {
    Error::not_found(format!("{table} has no snapshot {id}"))
        .with_hint(format!("`tableflow history {table}` lists the snapshots that are kept"))
}

/// The ledger after the rollback, and whether the table now differs from its topic.
async fn properties(
    home: &Home,
    definition: &Definition,
    base: &TableMetadata,
    (to, afterwards): (i64, Afterwards),
) -> Result<BTreeMap<String, String>> {
    let property = Ledger::property(&definition.job);
    let Some(text) = base.properties().get(&property) else {
        return Err(Error::usage(format!("{} was never filled: there is nothing to roll back", definition.table))
            .with_hint(format!("`tableflow sync {}` fills it", definition.table)));
    };
    let (current, target) = (Ledger::from_text(text)?, ledger_of(base, to, &property)?);
    let writer = WriterId(home.ids.uuid());
    let ledger = match afterwards {
        Afterwards::Replay => {
            let (kept, newest) = match current.cut {
                Cut::Commit => (Vec::new(), Epoch::default()),
                Cut::Manifest | Cut::Fence => {
                    let (kept, newest) = kept_manifests(home, definition, base, (&target, &current)).await?;
                    (if is_on_branch(base, to, (&property, text)) { kept } else { Vec::new() }, newest)
                }
            };
            reset::replay(&current, &target, &kept, newest, writer, Rules::law())?
        }
        Afterwards::KeepOffsets => reset::keep_offsets(&current, &target, writer)?,
    };
    let mut properties = BTreeMap::from([(property, ledger.to_text()?)]);
    if afterwards == Afterwards::KeepOffsets {
        properties.insert(DIVERGED_PROPERTY.to_owned(), to.to_string());
    }
    Ok(properties)
}

/// The epochs from the target's on that can be brought into the table once more, and the newest one that was decided.
async fn kept_manifests(
    home: &Home,
    definition: &Definition,
    base: &TableMetadata,
    (target, current): (&Ledger, &Ledger),
) -> Result<(Vec<Epoch>, Epoch)> {
    let manifests = Manifests::of_topic(home.clone(), definition)?;
    let (found, newest) = manifests.since(target.epoch, current.epoch).await?;
    let sink = sink_name(&definition.table);
    let mut kept = Vec::with_capacity(found.len());
    for manifest in &found {
        let files = match &manifest.intent {
            Intent::Work { sinks, .. } => sinks.get(&sink).map_or(&[][..], |work| &work.files),
            Intent::Claim => &[],
        };
        if are_there(home, base, files).await? {
            kept.push(manifest.epoch);
        }
    }
    Ok((kept, newest))
}

async fn are_there(home: &Home, table: &TableMetadata, files: &[String]) -> Result<bool> {
    for text in files {
        let path = match path_of(text) {
            Ok(change_file) => change_file,
            Err(_) => file_from_text(text, table)?.0.file_path().to_owned(),
        };
        match home.store.head(&path).await {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// Whether manifests are kept for a snapshot: they are for those before the newest commit of the job, and before main.
fn is_on_branch(base: &TableMetadata, to: i64, (property, text): (&str, &str)) -> bool {
    let says = |snapshot: &&SnapshotRef| {
        snapshot.summary().additional_properties.get(property).is_some_and(|said| said == text)
    };
    let newest = base.snapshots().filter(says).max_by_key(|snapshot| snapshot.sequence_number());
    let holds = |tip| branch(base, tip).any(|snapshot| snapshot.snapshot_id() == to);
    let on_main = branch(base, base.current_snapshot()).any(|snapshot| says(&snapshot));
    holds(newest) || (on_main && holds(base.current_snapshot()))
}

/// Whether rows were left out of a snapshot's content by an earlier rollback, or nobody knows any more.
fn lacks_rows(table: &TableMetadata, snapshot: i64) -> bool {
    let mut next = Some(snapshot);
    for _ in 0..=table.snapshots().len() {
        let Some(id) = next else { return false };
        let Some(snapshot) = table.snapshot_by_id(id) else { return true };
        let summary = &snapshot.summary().additional_properties;
        if summary.contains_key(DIVERGED_PROPERTY) {
            return true;
        }
        // A rollback's content is that of the snapshot it went to, not of the one before it.
        let went_to = summary.get(ROLLED_BACK_TO).and_then(|to| to.parse().ok());
        next = went_to.or_else(|| snapshot.parent_snapshot_id());
    }
    true
}

/// The ledger that stood when a snapshot was current: its own, or that of its nearest ancestor with one.
fn ledger_of(table: &TableMetadata, snapshot: i64, property: &str) -> Result<Ledger> {
    let mut next = table.snapshot_by_id(snapshot);
    while let Some(snapshot) = next {
        if let Some(text) = snapshot.summary().additional_properties.get(property) {
            return Ledger::from_text(text);
        }
        next = snapshot.parent_snapshot_id().and_then(|parent| table.snapshot_by_id(parent));
    }
    Err(Error::usage(format!("snapshot {snapshot} does not say how far the topic was read"))
        .with_hint("choose a snapshot that tableflow wrote, or one after it"))
}
