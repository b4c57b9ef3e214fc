//! What `update --mode` asks for: checked, counted, declared.
//!
//! Owns [`AskedMode`] and [`plan`].
//! - I1: what the table's job could not make is refused before anything is declared.
//! - I2: what is so already is no change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use iceberg::spec::TableMetadata;
use tableflow_connectors::registry::RecordPart;
use tableflow_lake::layout::{key_ids, latest_by};
use tableflow_model::protocol::Ledger;
use tableflow_model::{Error, Result};

use super::staying::{check_values, counted, never_filled, origins, schema_after, without_origins};
use super::{Standing, made};
use crate::definition::{Definition, Deletes, Format, Keys, ModeChange, Upsert};
use crate::home::Home;
use crate::pipeline::decoding::format_of;
use crate::pipeline::feed::LIVE_RECORDS_MAX;
use crate::pipeline::identity;
use crate::pipeline::status::status_of;
use crate::pipeline::target;

/// What a person asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedMode {
    /// Nothing: `--key` alone.
    pub upserts: Option<bool>,
    pub key: Vec<String>,
}

/// A change that can be made.
#[derive(Clone, Debug)]
pub struct Planned {
    change: ModeChange,
    upsert: Option<Upsert>,
    table: Arc<TableMetadata>,
}

impl Planned {
    /// Declares it.
    pub fn declare(&self, definition: &mut Definition) {
        let number = definition.mode_change.as_ref().map_or(0, |before| before.number) + 1;
        definition.mode_change = Some(ModeChange { number: number.max(self.change.number), ..self.change.clone() });
        definition.upsert.clone_from(&self.upsert);
    }

    /// How many rows would stay, and go; nothing where all stay as they are.
    pub async fn count(
        &self,
        home: &Home,
        definition: &Definition,
        memory_bytes: usize,
    ) -> Result<BTreeMap<&'static str, u64>> {
        let mut after = definition.clone();
        self.declare(&mut after);
        counted(home, (&after, &self.change), &self.table, memory_bytes).await
    }
}

/// Whether a change that was declared is still to be made.
pub async fn is_pending(home: &Home, definition: &Definition) -> Result<bool> {
    if definition.mode_change.is_none() {
        return Ok(false);
    }
    let table = target::load(home, &definition.table).await?;
    Ok(matches!(Standing::of(definition, &table.metadata), Standing::Due(_)))
}

/// Nothing where the table is so already (I2).
pub async fn plan(home: &Home, definition: &Definition, asked: &AskedMode) -> Result<Option<Planned>> {
    check_kind(definition)?;
    let table = target::load(home, &definition.table).await?.metadata;
    let is_upsert = definition.upsert.is_some();
    let upserts = match asked.upserts {
        Some(upserts) => upserts,
        None if is_upsert => true,
        None => {
            return Err(Error::usage(format!("every record of table {} is a row", definition.table))
                .with_detail("--key names the columns of which there is to be one row each")
                .with_hint("say --mode upsert as well"));
        }
    };
    if !upserts && !asked.key.is_empty() {
        return Err(Error::usage("--key is for tables with one row a key").with_hint("leave --key out"));
    }
    if upserts && is_upsert {
        return check_key(definition, &table, &asked.key).map(|()| None);
    }
    if upserts == is_upsert {
        return Ok(None);
    }
    if !table.properties().contains_key(&Ledger::property(&definition.job)) {
        return Err(never_filled(definition));
    }
    let number = made(&table) + 1;
    if definition.upsert.as_ref().is_some_and(|upsert| upsert.deletes == Deletes::History) {
        return Err(Error::usage(format!("table {} keeps each version of its rows", definition.table))
            .with_detail("such tables keep the mode that they were made with")
            .with_hint("enable the topic into another table with --table and --mode"));
    }
    if let Some(column) = latest_by(&table)? {
        return Err(Error::usage(format!("table {} tells the latest row of a key by {column}", definition.table))
            .with_detail("such tables keep the mode that they were made with")
            .with_hint("enable the topic into another table with --table and --mode"));
    }
    if !upserts {
        if definition.envelope.is_some() {
            return Err(Error::usage(format!(
                "table {} has one row for each row of the changes' source",
                definition.table
            ))
            .with_detail("it stays so: its records are Debezium's changes")
            .with_hint("for a row of each change enable the topic into another table: --table NAME --format json"));
        }
        return Ok(Some(Planned { change: ModeChange { number, key: Vec::new() }, upsert: None, table }));
    }
    let change = ModeChange { number, key: key_of(definition, &table, &asked.key)? };
    let upsert = upsert_of(home, definition, &change.key).await?;
    check_in_step(home, definition).await?;
    let planned = Planned { change, upsert: Some(upsert), table };
    let mut after = definition.clone();
    planned.declare(&mut after);
    origins(&after, &planned.table)?;
    schema_after((&after, &planned.change), &planned.table)?;
    check_values(home, (&after, &planned.change), &planned.table).await?;
    Ok(Some(planned))
}

/// Tables whose epochs manifests decide stay what they were made as: work of the former mode may be decided and not yet
/// committed.
fn check_kind(definition: &Definition) -> Result<()> {
    let refused = |what: &str| {
        Error::usage(format!("{} {what}", definition.table))
            .with_detail("such tables keep the mode that they were made with")
            .with_hint("enable the topic into another table with --table and --mode")
    };
    match (&definition.fan_out, &definition.dead_letters) {
        (Some(_), _) => Err(refused("is a table for each type of record")),
        (None, Some(_)) => Err(refused("has a table of dead letters, which it is kept in step with")),
        (None, None) => Ok(()),
    }
}

/// Of a key in several partitions the last record stays: what is not read yet would come behind what is.
async fn check_in_step(home: &Home, definition: &Definition) -> Result<()> {
    let status = status_of(home, definition).await?;
    if status.partitions.len() > 1 && u64::try_from(status.lag).is_ok_and(|lag| lag > LIVE_RECORDS_MAX) {
        let table = definition.table.to_plain_string();
        return Err(Error::usage(format!("{} records of the topic are not in table {table} yet", status.lag))
            .with_detail("of a key with records in several partitions an older one might come last, and stay")
            .with_hint(format!("`tableflow sync {table}`, or let the service catch up; then ask again")));
    }
    Ok(())
}

/// The columns that identify rows by now.
fn key_now(table: &TableMetadata) -> Vec<String> {
    let schema = table.current_schema();
    key_ids(schema).iter().filter_map(|id| schema.name_by_field_id(*id)).map(str::to_owned).collect()
}

/// Rows stay identified by the columns that they are identified by, or are to be.
fn check_key(definition: &Definition, table: &TableMetadata, asked: &[String]) -> Result<()> {
    let has: Vec<String> = match Standing::of(definition, table) {
        Standing::Due(change) if !change.key.is_empty() => change.key,
        _ => key_now(table),
    };
    let is_same = asked.len() == has.len() && asked.iter().all(|name| has.contains(name));
    if asked.is_empty() || is_same {
        return Ok(());
    }
    let name = definition.table.to_plain_string();
    Err(Error::usage(format!("rows of table {name} are identified by {}", has.join(", ")))
        .with_detail("of rows that are gone nobody can tell what other columns would have kept")
        .with_hint(format!(
            "enable the topic into another table with --table; or, to go on with the rows that are there: tableflow update {name} --mode append, and once that is made --mode upsert --key {}",
            asked.join(",")
        )))
}

/// The columns that are to identify rows, as `enable` takes them.
fn key_of(definition: &Definition, table: &TableMetadata, asked: &[String]) -> Result<Vec<String>> {
    let has = key_now(table);
    if !has.is_empty() {
        // Every record was to be a row, and is not yet.
        return check_key(definition, table, asked).map(|()| has);
    }
    let metadata = definition.metadata_columns;
    let own = definition.keys.as_ref().map(Keys::fields).filter(|own| !own.is_empty());
    let of_records = || metadata.key_column().into_iter().collect();
    let fields = table.current_schema().as_struct().fields();
    let spelt = |name: &String| {
        let is_it = |field: &&iceberg::spec::NestedFieldRef| field.name.to_lowercase() == name.to_lowercase();
        fields.iter().find(is_it).map_or_else(|| name.clone(), |field| field.name.clone())
    };
    let former = if asked.is_empty() { former_key(definition, table)? } else { None };
    let key: Vec<String> = match (asked.is_empty(), former) {
        (false, _) => asked.to_vec(),
        (true, Some(former)) => former,
        (true, None) => own.unwrap_or_else(of_records).iter().map(spelt).collect(),
    };
    if key.is_empty() {
        return Err(without_origins(definition));
    }
    identity::are_the_records(&key, metadata).map(|_| key)
}

/// The columns that identified rows before every record was one, where there is no doubt which.
fn former_key(definition: &Definition, table: &TableMetadata) -> Result<Option<Vec<String>>> {
    let schema = table.current_schema();
    let names = |ids: Vec<i32>| {
        let names: Option<Vec<String>> = ids.iter().map(|id| schema.name_by_field_id(*id).map(str::to_owned)).collect();
        names.filter(|names| !names.is_empty())
    };
    let former: BTreeSet<Vec<String>> = table.schemas_iter().filter_map(|schema| names(key_ids(schema))).collect();
    if former.len() < 2 {
        return Ok(former.into_iter().next());
    }
    let table = definition.table.to_plain_string();
    let keys = former.into_iter().map(|key| key.join(",")).collect::<Vec<_>>().join(" or ");
    Err(Error::usage(format!("rows of table {table} were identified by different columns: {keys}"))
        .with_hint("say which with --key"))
}

/// How records change the table from then on.
async fn upsert_of(home: &Home, definition: &Definition, key: &[String]) -> Result<Upsert> {
    let is_the_records = identity::are_the_records(key, definition.metadata_columns)?;
    let keys = match (is_the_records, &definition.keys) {
        (true, _) => None,
        (false, Some(keys)) => Some(keys.format),
        (false, None) => {
            let mut source = home.source_of(definition).await?;
            let format = format_of(home, &definition.topic, RecordPart::Key, source.as_mut()).await?;
            Some(format.unwrap_or(Format::Json))
        }
    };
    Ok(Upsert { keys, deletes: Deletes::Hard, unavailable_value: None })
}
