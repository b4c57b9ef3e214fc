//! `rollback`: an old snapshot's content as a new snapshot, the table paused (rule C5).
//!
//! - I1: the ledger moves in the same commit as the content, its generation goes up: a job that is running meets it
//!   and stops, a commit in flight finds another base.
//! - I2: the table is paused first, so that nothing fills it before the person has looked.

use std::collections::BTreeMap;
use std::io::Write;

use iceberg::spec::TableMetadata;
use serde::Serialize;
use tableflow_catalog::CommitOutcome;
use tableflow_lake::commit::prepare_rollback;
use tableflow_model::protocol::{Epoch, Ledger, Rules, WriterId, reset};
use tableflow_model::{Error, Result};

use super::args::RollbackArguments;
use super::session::Session;
use crate::exit::Exit;
use crate::output;
use crate::pipeline::definition::{Definition, Wanted};
use crate::pipeline::status::DIVERGED_PROPERTY;

#[derive(Debug, Serialize)]
struct RolledBack {
    table: String,
    to: i64,
    snapshot_id: i64,
    offsets: &'static str,
    status: &'static str,
}

pub async fn run(arguments: &RollbackArguments, session: &Session, out: &mut dyn Write) -> Result<Exit> {
    let table = session.enabled_table(&arguments.table.table).await?;
    let home = &session.home;
    let before = home.catalog.load_table(&table).await?;
    if before.metadata.snapshot_by_id(arguments.to).is_none() {
        return Err(no_snapshot(&table.to_string(), arguments.to));
    }
    let definition = home.definitions().change(&table, |definition| definition.wanted = Wanted::Paused).await?;
    // Loaded again: the job may have committed until it was paused.
    let base = home.catalog.load_table(&table).await?;
    let properties = properties(arguments, &definition, &base.metadata, WriterId(home.ids.uuid()))?;
    let prepared = prepare_rollback(home.commit_context(), &base.metadata, arguments.to, properties).await?;
    match home.catalog.commit(&table, &base, prepared.requirements, prepared.updates).await? {
        CommitOutcome::Applied(_) => {}
        CommitOutcome::Conflict { reason } => {
            return Err(Error::conflict(format!("{table} was changed meanwhile"))
                .with_detail(reason)
                .with_hint("the table is paused; look at `tableflow history` and try again"));
        }
        CommitOutcome::Unknown { error } => {
            return Err(error.with_hint("whether the rollback is in is not known; look at `tableflow history`"));
        }
    }
    let rolled_back = RolledBack {
        table: table.to_plain_string(),
        to: arguments.to,
        snapshot_id: prepared.snapshot_id,
        offsets: if arguments.replay { "replay" } else { "keep" },
        status: "Paused",
    };
    output::document(session.format, &rolled_back, out)?;
    Ok(Exit::Done)
}

fn no_snapshot(table: &str, id: i64) -> Error {
    Error::not_found(format!("{table} has no snapshot {id}"))
        .with_hint(format!("`tableflow history {table}` lists the snapshots that are kept"))
}

/// The ledger after the rollback, and whether the table now differs from its topic.
fn properties(
    arguments: &RollbackArguments,
    definition: &Definition,
    base: &TableMetadata,
    writer: WriterId,
) -> Result<BTreeMap<String, String>> {
    let property = Ledger::property(&definition.job);
    let Some(current) = base.properties().get(&property) else {
        return Err(Error::usage(format!("{} was never filled: there is nothing to roll back", definition.table)));
    };
    let current = Ledger::from_text(current)?;
    let target = ledger_of(base, arguments.to, &property)?;
    let ledger = if arguments.replay {
        let (no_manifests, no_epoch) = (&[], Epoch::default());
        reset::replay(&current, &target, no_manifests, no_epoch, writer, Rules::law())?
    } else {
        reset::keep_offsets(&current, &target, writer)?
    };
    let mut properties = BTreeMap::from([(property, ledger.to_text()?)]);
    if arguments.keep_offsets {
        properties.insert(DIVERGED_PROPERTY.to_owned(), arguments.to.to_string());
    }
    Ok(properties)
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
