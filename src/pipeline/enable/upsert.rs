//! Whether a table has one row a key, and which columns say which.
//!
//! Owns [`is_wanted`] and [`Key`].
//! - I1: a table stays what it was made as, or was changed to; a topic that is compacted keeps one record a key, and so does its table
//!   unless every record is asked for.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields};
use iceberg::spec::{Schema, TableMetadata};
use tableflow_connectors::decode::MetadataColumns;
use tableflow_connectors::registry::RecordPart;
use tableflow_lake::layout::{
    SOURCE_POSITION, VALID_FROM, VALID_TO, VERSION_OP, VersionIds, identified_by, key_ids, latest_by, version_columns,
};
use tableflow_model::types::flink_column;
use tableflow_model::{Error, Result, Source};

use super::settings::Settings;
use super::{Request, layout};
use crate::definition::{DELETED_COLUMN, Definition, Deletes, Format, Keys, Upsert};
use crate::home::Home;
use crate::pipeline::decoding::format_of;
use crate::pipeline::identity;
use crate::pipeline::mode::Standing;

/// The word for where in their source changes were made.
const SOURCE: &str = "source";

const APPEND: &str = "append";
const UPSERT: &str = "upsert";

/// Whether the table has one row a key (I1).
pub(super) async fn is_wanted(
    home: &Home,
    request: &Request,
    before: Option<&Definition>,
    existing: Option<&TableMetadata>,
) -> Result<bool> {
    let asked = &request.asked;
    let asked = match (asked.append, asked.upsert || asked.envelope.is_some() || !asked.key.is_empty()) {
        (true, true) if asked.envelope.is_some() => {
            return Err(Error::usage("a table of Debezium's changes has one row for each row of their source")
                .with_hint("leave --mode out; --delete history keeps each version, and --format json makes a row of each change"));
        }
        (true, true) => {
            return Err(Error::usage("--key is for tables with one row a key")
                .with_hint("say --mode upsert, or leave --key out"));
        }
        (true, false) => Some(false),
        (false, true) => Some(true),
        (false, false) => None,
    };
    let of_schema = || existing.map(|table| !key_ids(table.current_schema()).is_empty());
    // A definition of before the table's last change of mode says what it was then.
    let is_behind = |before: &&Definition| existing.is_some_and(|table| Standing::of(before, table) == Standing::Ahead);
    let before = before.filter(|before| !is_behind(before));
    let has = before.map(|before| before.upsert.is_some()).or_else(of_schema);
    let word = |upserts: bool| if upserts { UPSERT } else { APPEND };
    match (asked, has) {
        (Some(asked), Some(has)) if asked != has => {
            let table = request.table.to_plain_string();
            Err(layout::differs(request, "--mode", word(asked), word(has)).with_hint(format!(
                "leave --mode out to fill the table as it is, and then change it: tableflow update {table} --mode {}; or make another one: tableflow enable {} --table NAME",
                word(asked),
                request.topic
            )))
        }
        (_, Some(known)) | (Some(known), None) => Ok(known),
        (None, None) => Ok(home.topics.describe(&request.topic).await?.compacts()),
    }
}

/// What such a table cannot have yet.
pub(super) fn check(request: &Request) -> Result<()> {
    if request.asked.fan_out.is_some() {
        return Err(Error::usage("--fan-out into tables with one row a key comes later")
            .with_hint("say --mode append: every record becomes a row"));
    }
    Ok(())
}

/// What only such a table has.
pub(super) fn check_append(request: &Request) -> Result<()> {
    for (flag, is_asked) in [
        ("--delete", request.asked.delete.is_some()),
        ("--latest-by", request.asked.latest_by.is_some()),
        ("--unavailable-value-placeholder", request.asked.unavailable_value.is_some()),
    ] {
        if is_asked {
            return Err(Error::usage(format!("{flag} is for tables with one row a key"))
                .with_hint(format!("say --mode upsert, or leave {flag} out")));
        }
    }
    Ok(())
}

/// The columns, with those that say what became of rows where there are to be some. A flattened change brings its own.
pub(super) fn with_marks((request, settings): (&Request, &Settings), columns: Fields) -> Result<Fields> {
    let columns = match latest_by_column(request, settings)?.as_deref() {
        Some(SOURCE_POSITION) => with_position(columns)?,
        _ => columns,
    };
    match request.asked.delete {
        None | Some(Deletes::Hard) => Ok(columns),
        Some(Deletes::Soft) => with_deleted(columns),
        Some(Deletes::History) => with_versions(columns),
    }
}

/// The column that is to tell the latest row of a key.
pub(super) fn latest_by_column(request: &Request, settings: &Settings) -> Result<Option<String>> {
    let Some(asked) = &request.asked.latest_by else { return Ok(None) };
    if request.asked.delete == Some(Deletes::History) {
        return Err(Error::usage("--latest-by is not for tables that keep each version of their rows")
            .with_detail("none of a key's changes is left out there")
            .with_hint("leave --latest-by out, or --delete history"));
    }
    let is_of_source = is_same(asked, SOURCE_POSITION);
    match settings.envelope {
        Some(_) if asked == SOURCE || is_of_source => return Ok(Some(SOURCE_POSITION.to_owned())),
        None if is_of_source => {
            return Err(Error::usage(format!("no record says what {SOURCE_POSITION} is"))
                .with_detail("that column has where a database made a change, as Debezium's envelopes say it")
                .with_hint("say --format debezium --latest-by source, or name a column of the records"));
        }
        _ => {}
    }
    if settings.metadata_columns.reserves(asked).is_some() {
        return Err(Error::usage(format!("column {asked} cannot tell the latest row of a key"))
            .with_detail("it says where a record came from, and the later record counts by itself")
            .with_hint("name a column of the records with --latest-by, or leave it out"));
    }
    Ok(Some(asked.clone()))
}

/// That of a table that exists, which a request may not contradict.
pub(super) fn latest_by_of_table(
    (request, settings): (&Request, &Settings),
    table: &TableMetadata,
) -> Result<Option<String>> {
    let has = latest_by(table)?;
    match latest_by_column(request, settings)? {
        Some(asked) if Some(&asked) != has.as_ref() => {
            Err(layout::differs(request, "--latest-by", &asked, has.as_deref().unwrap_or_default()))
        }
        _ => Ok(has),
    }
}

fn with_position(columns: Fields) -> Result<Fields> {
    match columns.iter().find(|column| is_same(column.name(), SOURCE_POSITION)) {
        None => {
            let position = Arc::new(Field::new(SOURCE_POSITION, DataType::Int64, true));
            Ok(columns.iter().cloned().chain([position]).collect())
        }
        Some(own) => Err(Error::usage(format!("column {} cannot say where in its source a row is", flink_column(own)))
            .with_hint(format!("rename the field: {SOURCE_POSITION} is what --latest-by {SOURCE} adds"))),
    }
}

fn with_versions(columns: Fields) -> Result<Fields> {
    let mut added = Vec::new();
    for column in version_columns() {
        match columns.iter().find(|own| is_same(own.name(), column.name())) {
            None => added.push(column),
            // It is what the source says of the change.
            Some(own) if own.name() == VERSION_OP && own.data_type() == column.data_type() => {}
            Some(own) => {
                return Err(Error::usage(format!("column {} cannot say of which version a row is", flink_column(own)))
                    .with_hint(format!(
                        "rename the field: {VERSION_OP}, {VALID_FROM} and {VALID_TO} belong to versions of rows; a text \
                         {VERSION_OP} may be the records' own"
                    )));
            }
        }
    }
    Ok(columns.iter().cloned().chain(added).collect())
}

fn with_deleted(columns: Fields) -> Result<Fields> {
    match columns.iter().find(|column| is_same(column.name(), DELETED_COLUMN)) {
        None => {
            let mark = Arc::new(Field::new(DELETED_COLUMN, DataType::Boolean, true));
            Ok(columns.iter().cloned().chain([mark]).collect())
        }
        Some(own) if own.name() == DELETED_COLUMN && matches!(own.data_type(), DataType::Boolean | DataType::Utf8) => {
            Ok(columns)
        }
        Some(own) => Err(Error::usage(format!("column {} cannot say whether a row is deleted", flink_column(own)))
            .with_hint(format!("rename the field: {DELETED_COLUMN} is a boolean, or a text that is true or false"))),
    }
}

fn is_of_versions(name: &str) -> bool {
    version_columns().iter().any(|column| column.name() == name)
}

fn is_same(name: &str, other: &str) -> bool {
    name.to_lowercase() == other.to_lowercase()
}

/// The columns that identify rows.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub columns: Vec<String>,
    /// Whether they are the record's key as it is.
    pub is_the_records: bool,
    /// Whether each version of a row is kept.
    pub keeps_versions: bool,
}

impl Key {
    /// What was asked for, or else the columns of keys, whether keys or values fill them, or else keys as they are.
    pub fn of(
        request: &Request,
        (keys, key_fields): (Option<&Keys>, &[String]),
        (columns, metadata): (&[String], MetadataColumns),
    ) -> Result<Self> {
        let keeps_versions = request.asked.delete == Some(Deletes::History);
        let own = keys.map_or(key_fields.to_vec(), Keys::fields);
        let spelt = |name: String| columns.iter().find(|column| is_same(column, &name)).cloned().unwrap_or(name);
        let own = Some(own.into_iter().map(spelt).collect::<Vec<_>>()).filter(|own| !own.is_empty());
        if own.is_none() && request.asked.key.is_empty() && request.asked.envelope.is_some() {
            return Err(Error::usage(format!("no record of topic {} has a key that names columns", request.topic))
                .with_detail("Debezium's connectors send the primary key of a row as its record's key")
                .with_hint("name the columns that identify rows with --key id,.., or let the connector send keys"));
        }
        let asked = Some(request.asked.key.clone()).filter(|asked| !asked.is_empty());
        match (asked.or(own), metadata.key_column()) {
            (Some(columns), _) => {
                let is_the_records = identity::are_the_records(&columns, metadata)?;
                if let Some(name) = columns.iter().find(|name| keeps_versions && is_of_versions(name)) {
                    return Err(Error::usage(format!("rows cannot be identified by column {name}"))
                        .with_detail("it says of which version a row is")
                        .with_hint("name columns of the records with --key"));
                }
                Ok(Key { columns, is_the_records, keeps_versions })
            }
            (None, Some(column)) => Ok(Key { columns: vec![column], is_the_records: true, keeps_versions }),
            (None, None) => Err(Error::usage(format!("nothing identifies the rows of table {}", request.table))
                .with_hint("name columns with --key id,.., or keep the metadata columns: then the records' keys do")),
        }
    }

    /// The same of a table that exists, which a request may not contradict.
    pub fn of_table(request: &Request, schema: &Schema, metadata: Option<String>) -> Result<Self> {
        let name = |id: &i32| schema.name_by_field_id(*id).map(str::to_owned);
        let columns: Vec<String> = key_ids(schema).iter().filter_map(name).collect();
        let asked = &request.asked.key;
        let is_same = asked.len() == columns.len() && asked.iter().all(|name| columns.contains(name));
        if !asked.is_empty() && !is_same {
            return Err(layout::differs(request, "--key", &asked.join(","), &columns.join(",")));
        }
        let is_the_records = columns.iter().map(Some).eq([metadata.as_ref()]);
        let keeps_versions = VersionIds::of(schema).is_some();
        Ok(Key { columns, is_the_records, keeps_versions })
    }

    /// A schema whose rows they identify; of a version also when it began.
    pub fn identifies(&self, schema: Schema) -> Result<Schema> {
        let began = self.keeps_versions.then(|| VALID_FROM.to_owned());
        identified_by(schema, &self.columns.iter().cloned().chain(began).collect::<Vec<_>>())
    }

    /// How the definition has it: the keys of deletes are written as keys are said to be, or as the registry says.
    pub async fn definition(
        &self,
        home: &Home,
        request: &Request,
        (before, keys): (Option<Upsert>, Option<&Keys>),
        source: &mut dyn Source,
    ) -> Result<Upsert> {
        let asked = &request.asked;
        let of_table = self.keeps_versions.then_some(Deletes::History);
        let known = before.as_ref().map(|before| before.deletes).or(of_table);
        let can_be = |asked: &Deletes| *asked != Deletes::History || self.keeps_versions;
        let deletes = known.or(asked.delete.filter(can_be)).unwrap_or_default();
        if let Some(other) = asked.delete.filter(|asked| *asked != deletes) {
            return Err(layout::differs(request, "--delete", &other.to_string(), &deletes.to_string()));
        }
        let word = before.as_ref().and_then(|before| before.unavailable_value.clone());
        let unavailable_value = asked.unavailable_value.clone().or(word);
        let format = match (before, keys) {
            _ if self.is_the_records => None,
            (Some(before), _) => before.keys,
            (None, Some(keys)) => Some(keys.format),
            (None, None) => {
                Some(format_of(home, &request.topic, RecordPart::Key, source).await?.unwrap_or(Format::Json))
            }
        };
        Ok(Upsert { keys: format, deletes, unavailable_value })
    }
}
