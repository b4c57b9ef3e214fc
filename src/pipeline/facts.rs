//! A catalog's table as the protocol sees it.

use tableflow_catalog::LoadedTable;
use tableflow_model::JobName;
use tableflow_model::protocol::{Guard, History, Ledger, SnapshotFacts, TableFacts};

/// What the decisions of the exactly-once protocol need to know about a table.
pub fn table_facts(table: &LoadedTable, job: &JobName) -> TableFacts {
    let metadata = &table.metadata;
    let property = Ledger::property(job);
    let ledger = metadata.properties().get(&property).cloned();
    let history = History::trace(ledger.as_deref(), metadata.current_snapshot_id(), |id| {
        metadata.snapshot_by_id(id).map(|snapshot| SnapshotFacts {
            parent: snapshot.parent_snapshot_id(),
            ledger: snapshot.summary().additional_properties.get(&property).map(String::as_str),
        })
    });
    TableFacts {
        uuid: metadata.uuid(),
        guard: Guard::Location,
        snapshot_id: metadata.current_snapshot_id(),
        last_sequence_number: metadata.last_sequence_number(),
        metadata_location: table.metadata_location.clone(),
        ledger,
        history,
    }
}
