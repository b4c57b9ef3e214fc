//! A topic's records into columns.
//!
//! Owns [`Decoding`]: what reads the values of a table's records, and their keys where those become columns too.
//!
//! ```text
//!  subjects  where schemas are registered, and what they say that records are
//!  learning  one part of the records, with the schemas that it names
//!  following which version each of them is, and what it drops
//!  keys      the columns of keys beside those of values
//!  changes   which records put rows, and which keys the others delete
//!  deleted   which records say that their rows are gone
//!  partly    what rows keep of those before them, and which are marked as deleted
//!  truncated records that say that all rows went
//!  versions  when versions of rows begin and end, and what made them
//!  latest    by what the latest row of a key is told
//!  first_key which fields keys have that identify rows
//! ```

mod changes;
mod deleted;
mod first_key;
mod following;
mod keys;
mod latest;
mod learning;
mod partly;
mod subjects;
mod truncated;
mod versions;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Fields, Schema, SchemaRef};
use tableflow_connectors::decode::dead_letters::Framings;
use tableflow_connectors::decode::{
    BadRecords, ColumnRules, Evolution, Learned, MetadataColumns, Note, Origins, RecordError, Taken,
};
use tableflow_connectors::registry::{RecordPart, ResolvedSchema, Version};
use tableflow_model::types::flink_name;
use tableflow_model::{Error, Records, Result};

pub use self::changes::{Changes, Changing};
pub use self::deleted::{MARKS, says_deleted};
pub use self::first_key::first_key_fields;
use self::keys::Keys;
use self::learning::{KEY_COLUMN, Learning, Reading};
pub use self::subjects::{Subjects, first_key, format_by, format_of};
pub use self::truncated::{Truncation, cut};
use crate::definition::{self, Definition, Envelope, Format, declared_columns};
use crate::home::Home;
use crate::pipeline::mirror::{Mirror, Step};

/// How a topic's records become rows of a table, as a person said it.
#[derive(Clone, Debug)]
pub struct Terms<'a> {
    pub subjects: Subjects,
    pub format: Format,
    pub envelope: Option<Envelope>,
    /// As given to `--columns`.
    pub columns: &'a str,
    pub keys: Option<KeyTerms<'a>>,
    pub metadata_columns: MetadataColumns,
    pub evolution: Evolution,
    /// What the table knows of the schemas that it mirrors, if it does.
    pub mirror: Option<Mirror>,
    /// Whether the changes in envelopes tell what they were, and when.
    pub tells_origins: bool,
}

/// How their keys do, and which columns those fill.
#[derive(Clone, Debug)]
pub struct KeyTerms<'a> {
    pub subjects: Subjects,
    pub keys: &'a definition::Keys,
}

impl<'a> Terms<'a> {
    pub fn of(definition: &'a Definition) -> Self {
        Terms {
            subjects: Subjects::of_topic(&definition.topic),
            format: definition.format,
            envelope: definition.envelope,
            columns: &definition.columns,
            keys: definition
                .keys
                .as_ref()
                .map(|keys| KeyTerms { subjects: Subjects::of_keys(&definition.topic), keys }),
            metadata_columns: definition.metadata_columns,
            evolution: definition.evolution,
            mirror: None,
            tells_origins: false,
        }
    }
}

/// The decoder of one table.
#[derive(Debug)]
pub struct Decoding {
    values: Learning,
    keys: Option<Keys>,
}

/// Some of a batch's records, decoded.
#[derive(Debug)]
pub struct Part {
    pub batch: RecordBatch,
    pub taken: Taken,
    /// Those that were passed over, in order.
    pub passed_over: Vec<RecordError>,
    /// What envelopes say of its changes, rows or not, where they are asked.
    pub origins: Origins,
    /// Why it ended before the batch did.
    pub stopped: Option<Stopped>,
    /// The first record that is in no part yet.
    pub next: usize,
}

/// What is wrong at a record that nothing goes on behind.
#[derive(Debug)]
pub enum Stopped {
    Record(RecordError),
    /// Its schema, which is for a person to decide about.
    Schema(Error),
    /// The table has to take a step before it.
    Follows(Box<Step>),
}

impl Decoding {
    /// For a table with these columns, and those declared beside them, which keep to the rules.
    pub async fn new(home: &Home, terms: Terms<'_>, table: &Schema, rules: &ColumnRules) -> Result<Self> {
        let Terms { subjects, format, envelope, columns, keys, metadata_columns, evolution, mirror, tells_origins } =
            terms;
        let mirror = match evolution {
            Evolution::Mirror => Some(mirror),
            // What it dropped is read past all the same.
            _ => mirror.map(|mirror| Some(mirror.at_rest())),
        };
        let declared = &declared_columns(columns)?;
        check_declared(declared, metadata_columns)?;
        let table = &metadata_columns.left_out_of(table);
        let left_out = keys.as_ref().map_or(&[][..], |terms| &terms.keys.own);
        let is_a_values = |field: &&arrow::datatypes::FieldRef| !left_out.contains(field.name());
        let of_values = Schema::new(table.fields().iter().filter(is_a_values).cloned().collect::<Fields>());
        let reading = Reading {
            part: RecordPart::Value,
            subjects,
            format,
            envelope,
            declared,
            left_out,
            bare: KEY_COLUMN,
            mirror,
            tells_origins,
        };
        let mut values = Learning::new(home, reading, &of_values, rules).await?;
        let keys = match keys {
            Some(terms) => {
                check_declared(&declared_columns(&terms.keys.columns)?, metadata_columns)?;
                Some(Keys::new(home, (terms, envelope), table, rules, &mut values).await?)
            }
            None => None,
        };
        Ok(Decoding { values, keys })
    }

    /// The columns of values, then those of keys.
    pub fn schema(&self) -> SchemaRef {
        match &self.keys {
            None => self.values.schema(),
            Some(keys) => {
                let values = self.values.schema();
                Schema::new(values.fields().iter().cloned().chain(keys.columns()).collect::<Fields>()).into()
            }
        }
    }

    /// What a schema of values that has no id yet would bring.
    pub fn learn_unregistered(&mut self, schema: &ResolvedSchema) -> Result<Learned> {
        self.values.learn_unregistered(schema)
    }

    /// Which version of values' schemas it is or would be, where the table mirrors the newest one.
    pub async fn version_of_unregistered(&mut self, schema: &ResolvedSchema) -> Result<Option<Version>> {
        self.values.version_of_unregistered(schema).await
    }

    /// What it would do first to such a table, as this version.
    pub async fn step_before_unregistered(
        &mut self,
        version: Version,
        schema: &ResolvedSchema,
    ) -> Result<Option<Step>> {
        self.values.step_before_unregistered(version, schema).await
    }

    /// Follows the versions of values' schemas to the newest one, or to the next one that drops something.
    pub async fn follow_to_newest(&mut self) -> Result<Option<Step>> {
        self.values.follow_to_newest().await
    }

    /// What the table knows of the schemas that it mirrors, if it does.
    pub fn mirror(&self) -> Option<&Mirror> {
        self.values.mirror()
    }

    /// What the table does not keep of the schemas learnt so far.
    pub fn notes(&self) -> Vec<Note> {
        let of_keys = self.keys.as_ref().map(Keys::notes).unwrap_or_default();
        self.values.notes().iter().cloned().chain(of_keys).collect()
    }

    /// Why no table can hold what records of the newest schema have.
    pub fn take_refusal(&mut self) -> Option<Error> {
        let of_values = self.values.take_refusal();
        of_values.or_else(|| self.keys.as_mut().and_then(Keys::take_refusal))
    }

    /// How records name their schemas.
    pub fn framings(&self) -> Framings {
        Framings { value: self.values.framing(), key: self.keys.as_ref().and_then(Keys::framing) }
    }

    /// Which columns keys fill by now.
    pub fn keys(&self) -> Option<definition::Keys> {
        self.keys.as_ref().map(Keys::found)
    }

    /// The same, where that is more than anybody was told: it has to be kept before rows are.
    pub fn keys_to_keep(&self) -> Option<definition::Keys> {
        self.keys.as_ref().filter(|keys| keys.is_to_be_kept()).map(Keys::found)
    }

    /// They were kept.
    pub fn keys_are_kept(&mut self) {
        if let Some(keys) = &mut self.keys {
            keys.are_kept();
        }
    }

    /// All of a batch's records, up to one that cannot be decoded and stops it.
    pub async fn decode(&mut self, records: &Records, bad: BadRecords) -> Result<Vec<Part>> {
        let parts = self.values.decode(records, bad).await?;
        match &mut self.keys {
            Some(keys) => keys.beside(parts, records, bad, &mut self.values).await,
            None => Ok(parts),
        }
    }
}

/// No declared column has a name of the metadata columns.
fn check_declared(declared: &[Field], metadata_columns: MetadataColumns) -> Result<()> {
    let reserved = |column: &Field| Some((flink_name(column.name()), metadata_columns.reserves(column.name())?));
    let Some((name, prefix)) = declared.iter().find_map(reserved) else { return Ok(()) };
    Err(Error::usage(format!("column {name} cannot be declared"))
        .with_hint(format!("names that begin with {prefix} belong to the metadata columns")))
}

#[cfg(test)]
mod tests;
