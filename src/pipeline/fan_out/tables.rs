//! The tables of a fan-out: one for each value.
//!
//! Owns [`FanOutTables`], where they are noted, and how each is made.
//! - I1: a value has one table for good: the note of it is put create-only, under the value's name.
//! - I2: a table that was made and not yet noted when its process died is taken over by the next one; a table of
//!   anybody else never is.
//! - I3: a table is called after the topic's table and the value; of a record's full name the last part, unless another
//!   value has that.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tableflow_catalog::LoadedTable;
use tableflow_model::{Error, ErrorKind, Records, Result, TableName};
use tableflow_store::PutOutcome;
use uuid::Uuid;

use crate::definition::{Definition, FanOutBy};
use crate::home::Home;
use crate::pipeline::enable::fan_out::make_table;

/// A fan-out with more tables is by something that is no type of record.
const TABLES_MAX: usize = 500;

/// A hint has so many of them.
const NAMED_MAX: usize = 10;

/// Says which fan-out a table belongs to, and which of its values it holds.
pub const GROUP_PROPERTY: &str = "tableflow.fan-out-of";
pub const VALUE_PROPERTY: &str = "tableflow.fan-out-value";

/// The table of one value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FanOutTable {
    pub value: String,
    pub table: TableName,
    pub table_uuid: Uuid,
}

/// The tables that a definition has so far.
#[derive(Clone, Debug, Default)]
pub struct FanOutTables {
    by_value: BTreeMap<String, FanOutTable>,
}

impl FanOutTables {
    pub async fn load(home: &Home, definition: &Definition) -> Result<Self> {
        let mut by_value = BTreeMap::new();
        for object in home.store.list_all(&home.state.fan_out_tables(definition.table_uuid)).await? {
            let noted = read(home, &object.uri).await?;
            by_value.insert(noted.value.clone(), noted);
        }
        Ok(FanOutTables { by_value })
    }

    /// Which names are meant where that of all of them is said.
    pub fn hint(&self) -> String {
        let names: Vec<String> = self.iter().take(NAMED_MAX).map(|named| named.table.to_string()).collect();
        match (names.as_slice(), self.by_value.len()) {
            ([], _) => "it has none yet: `tableflow up` or `tableflow sync` make them as records come".to_owned(),
            (names, all) if all > names.len() => format!("name one of {all}, such as {}", names.join(", ")),
            (names, _) => format!("name one: {}", names.join(", ")),
        }
    }

    /// In the order of their values.
    pub fn iter(&self) -> impl Iterator<Item = &FanOutTable> {
        self.by_value.values()
    }

    pub fn has(&self, value: &str) -> bool {
        self.by_value.contains_key(value)
    }

    /// Makes the table of a value that has none, with the columns that the records show.
    pub async fn add(&mut self, home: &Home, definition: &Definition, value: &str, sample: &Records) -> Result<()> {
        // Records of another partition may have asked for it first.
        if self.has(value) {
            return Ok(());
        }
        if self.by_value.len() >= TABLES_MAX {
            let (table, topic) = (&definition.table, &definition.topic);
            return Err(Error::data(format!(
                "{table} has {TABLES_MAX} tables, and topic {topic} names another one: {value:?}"
            ))
            .with_hint(
                "fan out by something that has fewer values; with --error-handling SKIP or LOG nothing changes: \
                            each value is a table",
            ));
        }
        let (table, made) = self.find_or_make(home, definition, value, sample).await?;
        let noted = FanOutTable { value: value.to_owned(), table, table_uuid: made.metadata.uuid() };
        let noted = note(home, definition, noted).await?;
        tracing::info!(topic = %definition.topic, value, table = %noted.table, "a type of record has a table");
        self.by_value.insert(noted.value.clone(), noted);
        Ok(())
    }

    /// I3: the names that the table of a value may have, the best one first. An error is the value's: no table can be
    /// called after it.
    pub fn names_for(&self, definition: &Definition, value: &str) -> Result<Vec<TableName>> {
        let group = &definition.table;
        let called = |value: &str| TableName::new(group.namespace(), &format!("{}__{value}", group.name()));
        let by_name = matches!(&definition.fan_out, Some(fan_out) if fan_out.by == FanOutBy::RecordName);
        let short = value.rsplit_once('.').map(|(_, short)| short).filter(|short| by_name && !short.is_empty());
        let mut names = vec![called(value)?];
        if let Some(short) = short {
            names.insert(0, called(short)?);
        }
        let letters = definition.dead_letters.as_ref().map(|letters| &letters.table);
        names.retain(|name| !self.is_taken(name) && Some(name) != letters);
        if names.is_empty() {
            return Err(Error::data(format!("the table of {value:?} of topic {} would have another one's name", definition.topic))
                .with_detail("it differs from another value's by case only, which Athena and Spark cannot tell apart, or is that of the dead letters")
                .with_hint("write the value otherwise, or fan out by something else"));
        }
        Ok(names)
    }

    fn is_taken(&self, table: &TableName) -> bool {
        self.iter().any(|other| other.table.name().to_lowercase() == table.name().to_lowercase())
    }

    /// I2.
    async fn find_or_make(
        &self,
        home: &Home,
        definition: &Definition,
        value: &str,
        sample: &Records,
    ) -> Result<(TableName, LoadedTable)> {
        let mut foreign = None;
        for table in self.names_for(definition, value)? {
            let found = match home.catalog.load_table(&table).await {
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    match make_table(home, definition, (&table, value), sample).await {
                        // A replay and a job may meet the same type at once.
                        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                            home.catalog.load_table(&table).await?
                        }
                        made => return Ok((table, made?)),
                    }
                }
                found => found?,
            };
            let properties = found.metadata.properties();
            let is_ours = properties.get(GROUP_PROPERTY) == Some(&definition.table_uuid.to_string());
            if is_ours && properties.get(VALUE_PROPERTY).map(String::as_str) == Some(value) {
                return Ok((table, found));
            }
            foreign.get_or_insert(table);
            // One of ours that was made for another value, and is not noted yet, leaves the next name.
            if !is_ours {
                break;
            }
        }
        let table = foreign.map(|table| table.to_string()).unwrap_or_default();
        Err(Error::already_exists(format!("table {table} exists, and is not that of {value:?} of topic {}", definition.topic))
            .with_hint("drop or rename it where it was made, then `tableflow resume` this one; another --table gives the tables another name"))
    }
}

/// I1: whoever notes a value first says what its table is.
async fn note(home: &Home, definition: &Definition, noted: FanOutTable) -> Result<FanOutTable> {
    let json = serde_json::to_vec_pretty(&noted);
    let json = json.map_err(|error| Error::internal("a note of a table has no JSON form").with_source(error))?;
    let uri = home.state.fan_out_table(definition.table_uuid, &noted.value);
    match home.store.put_new(&uri, Bytes::from(json)).await? {
        PutOutcome::Created | PutOutcome::Identical => Ok(noted),
        PutOutcome::Taken => read(home, &uri).await,
    }
}

async fn read(home: &Home, uri: &str) -> Result<FanOutTable> {
    serde_json::from_slice(&home.store.get(uri).await?).map_err(|error| {
        Error::data("the note of a fan-out's table cannot be read")
            .with_context("object", uri)
            .with_source(error)
            .with_hint("it was written by a newer tableflow, or it is damaged")
    })
}
