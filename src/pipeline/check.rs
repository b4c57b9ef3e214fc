//! What a schema would do to a table, before anybody registers it.
//!
//! Owns [`Place`], the table that records of the schema would go into, and [`Verdict`], what would become of it.
//! - I1: the verdict is that of the decoder and the layout which the table's job has: they are given the schema as if a
//!   record named it, behind the versions that the job would know.
//! - I2: nothing is written: no table, no definition, nothing that is remembered.

use arrow::datatypes::{Fields, Schema};
use iceberg::spec::TableMetadata;
use serde::Serialize;
use tableflow_connectors::decode::{
    ColumnRules, Evolution, Learned, MetadataColumns, Reason, SchemaFault, added, missing, record_names, relaxed,
    widened,
};
use tableflow_connectors::registry::{ResolvedSchema, SchemaType};
use tableflow_lake::layout::{arrow_schema, evolve, new_schema};
use tableflow_model::types::flink_type;
use tableflow_model::{Error, ErrorKind, Result, TableName, TopicName};

use super::decoding::{Decoding, Subjects, Terms, format_by};
use super::dispatch::{check_registry, decoding_for};
use super::enable::fan_out::check_columns;
use super::fan_out::{FanOutTables, subjects_of};
use super::format::schema_type_of;
use super::mirror;
use super::target;
use super::way_on::past_schema;
use crate::definition::{Definition, ErrorHandling, FanOut, FanOutBy};
use crate::home::Home;

/// Where a topic's records go.
#[derive(Debug)]
pub enum Place {
    /// Into the table or the tables of a definition.
    Enabled(Box<Definition>),
    /// Into one of the tables of a fan-out: that of this value.
    OneOfSeveral(Box<Definition>, String),
    /// Nowhere yet.
    NotEnabled(TopicName),
}

/// What would become of the table at the first record of the schema.
#[derive(Debug, Serialize)]
pub struct Verdict {
    /// None: the topic is no table yet.
    pub table: Option<String>,
    pub outcome: Outcome,
    pub changes: Vec<Change>,
    pub refusal: Option<Refusal>,
    /// What the table does not keep of the schema, column by column.
    pub notes: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It goes on with the columns that it has.
    Unchanged,
    /// It gets columns, wider ones or nullable ones, or loses some.
    Evolves,
    /// It is made, with these columns.
    NewTable,
    /// The schema's records are left out.
    Skips,
    /// The schema's records become dead letters.
    PutsAside,
    /// It stops.
    Suspends,
}

impl Outcome {
    /// Do the schema's records become rows?
    pub fn is_good(self) -> bool {
        matches!(self, Outcome::Unchanged | Outcome::Evolves | Outcome::NewTable)
    }
}

/// What becomes of one column.
#[derive(Debug, Serialize)]
pub struct Change {
    pub change: ChangeKind,
    pub column: String,
    pub from: Option<String>,
    pub to: Option<String>,
    pub detail: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    Added,
    Widened,
    /// It was NOT NULL, and the schema's field may be null, or is not there.
    Relaxed,
    /// A field of another name goes into it.
    Renamed,
    /// It stays, though the schema has no field for it.
    Kept,
    /// It goes, since the schema has no field for it; one of that name that comes back is a new one.
    Dropped,
    /// It stays NOT NULL, as it was declared or since the table is strict, though the schema's field may be null.
    StaysNotNull,
}

/// Why the table does not take the schema's records.
#[derive(Debug, Serialize)]
pub struct Refusal {
    /// The word for scripts: of a [`SchemaFault`], or the reason that dead letters have.
    pub reason: String,
    pub path: Option<String>,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
}

impl Refusal {
    fn of(error: &Error) -> Self {
        let fallback = SchemaFault::UnrepresentableType.word();
        Refusal {
            reason: error.context(SchemaFault::CONTEXT).unwrap_or(fallback).to_owned(),
            path: error.context(SchemaFault::PLACE).map(str::to_owned),
            message: error.message().to_owned(),
            detail: error.restated().detail().map(str::to_owned),
            hint: error.hint().map(str::to_owned),
        }
    }
}

impl Change {
    fn of(change: ChangeKind, column: impl Into<String>) -> Self {
        Change { change, column: column.into(), from: None, to: None, detail: None }
    }
}

impl Place {
    pub fn topic(&self) -> &TopicName {
        match self {
            Place::Enabled(definition) | Place::OneOfSeveral(definition, _) => &definition.topic,
            Place::NotEnabled(topic) => topic,
        }
    }

    /// The kind of schema that the table takes. An error is that it takes none.
    pub fn schema_type(&self) -> Result<Option<SchemaType>> {
        let (Place::Enabled(definition) | Place::OneOfSeveral(definition, _)) = self else { return Ok(None) };
        match schema_type_of(definition.format) {
            Some(schema_type) => Ok(Some(schema_type)),
            None => Err(Error::usage(format!(
                "records of {} are {}, and name no schema",
                definition.table, definition.format
            ))
            .with_hint("its columns come from --columns and the records themselves: see `tableflow describe`")),
        }
    }

    /// The subjects that a schema may be registered under, the likeliest one first.
    pub fn subjects(&self, schema: &ResolvedSchema) -> Vec<String> {
        let topic = self.topic();
        let by_record = match self {
            Place::Enabled(definition) | Place::OneOfSeveral(definition, _) => definition.fan_out.is_some(),
            Place::NotEnabled(_) => false,
        };
        let mut subjects = vec![format!("{topic}-value")];
        match record_names(schema).as_deref() {
            Ok([name]) if by_record => subjects.extend([format!("{topic}-{name}"), name.clone()]),
            _ => {}
        }
        subjects
    }
}

/// What the schema would do there (I1).
pub async fn check(home: &Home, place: &Place, schema: &ResolvedSchema) -> Result<Verdict> {
    match place {
        Place::NotEnabled(topic) => {
            let terms = Terms {
                subjects: Subjects::of_topic(topic),
                format: format_by(schema.schema_type),
                envelope: None,
                columns: "",
                keys: None,
                metadata_columns: MetadataColumns::default(),
                evolution: Evolution::default(),
                mirror: None,
                tells_origins: false,
            };
            new_table(home, None, terms, schema).await
        }
        Place::Enabled(definition) => match &definition.fan_out {
            None => of_table(home, definition, (&definition.table, Terms::of(definition)), schema).await,
            Some(fan_out) if fan_out.by == FanOutBy::RecordName => of_record(home, definition, schema).await,
            Some(fan_out) => Err(Error::usage(format!("what a record's table is, {} says, and no schema", fan_out.by))
                .with_hint(format!("name one of the tables that `tableflow describe {}` shows", definition.table))),
        },
        Place::OneOfSeveral(definition, value) => of_value(home, definition, value, schema).await,
    }
}

/// Of a fan-out by the name of the record.
async fn of_record(home: &Home, definition: &Definition, schema: &ResolvedSchema) -> Result<Verdict> {
    if let Some(verdict) = of_another_format(definition, &definition.table, schema) {
        return Ok(verdict);
    }
    match record_names(schema).as_deref() {
        Ok([value]) => of_value(home, definition, value, schema).await,
        Ok(values) => Err(Error::usage(format!("the schema is a union of {}", values.join(" and ")))
            .with_detail(format!("{} has a table for each of them", definition.table))
            .with_hint(format!("name one of the tables that `tableflow describe {}` shows", definition.table))),
        Err(error) => Ok(suspended(&definition.table, error)),
    }
}

async fn of_value(home: &Home, definition: &Definition, value: &str, schema: &ResolvedSchema) -> Result<Verdict> {
    let tables = FanOutTables::load(home, definition).await?;
    let terms = Terms { subjects: subjects_of(definition, value), ..Terms::of(definition) };
    if let Some(known) = tables.iter().find(|known| known.value == value) {
        return of_table(home, definition, (&known.table, terms), schema).await;
    }
    match tables.names_for(definition, value) {
        Ok(names) => new_table(home, names.first().zip(definition.fan_out.as_ref()), terms, schema).await,
        Err(error) => Ok(suspended(&definition.table, &error)),
    }
}

async fn of_table(
    home: &Home,
    definition: &Definition,
    (table, terms): (&TableName, Terms<'_>),
    schema: &ResolvedSchema,
) -> Result<Verdict> {
    if let Some(verdict) = of_another_format(definition, table, schema) {
        return Ok(verdict);
    }
    check_registry(home, definition)?;
    let mut loaded = target::load(home, table).await?;
    let before = terms.metadata_columns.left_out_of(&*arrow_schema(loaded.metadata.current_schema())?);
    let mut decoding = decoding_for(home, terms.clone(), &loaded.metadata).await?;
    if let Some(version) = decoding.version_of_unregistered(schema).await? {
        while let Some(step) = decoding.step_before_unregistered(version, schema).await? {
            loaded.metadata = match mirror::after(&loaded.metadata, &step) {
                Ok(metadata) => metadata.into(),
                Err(error) => return refused(table, mirror::refused(error, &step, table)),
            };
            decoding = decoding_for(home, terms.clone(), &loaded.metadata).await?;
        }
    }
    let learned = match decoding.learn_unregistered(schema).and_then(|learned| {
        fits_table(&loaded.metadata, &decoding, terms.metadata_columns)?;
        Ok(learned)
    }) {
        Ok(learned) => learned,
        Err(error) => return refused(table, past_schema(error, &definition.table)),
    };
    let mut changes = changed(&before, &decoding.schema());
    if decoding.mirror().is_some() {
        changes.extend(dropped(&before, arrow_schema(loaded.metadata.current_schema())?.as_ref()));
    }
    let outcome = if changes.is_empty() { Outcome::Unchanged } else { Outcome::Evolves };
    changes.extend(told(&learned));
    let kept = kept(home, &terms, &before, (schema, &learned)).await?;
    let goes = |column: &str| changes.iter().any(|it| it.change == ChangeKind::Dropped && it.column == column);
    let kept: Vec<Change> = kept.into_iter().filter(|change| !goes(&change.column)).collect();
    changes.extend(kept);
    Ok(Verdict { table: Some(table.to_plain_string()), outcome, changes, refusal: None, notes: notes(&learned) })
}

/// What the layout says of the decoder's columns, as it will when a file has them.
fn fits_table(table: &TableMetadata, decoding: &Decoding, metadata_columns: MetadataColumns) -> Result<()> {
    let columns = all_columns(decoding, metadata_columns);
    evolve(table.current_schema(), table.last_column_id(), &columns).map(|_| ())
}

fn all_columns(decoding: &Decoding, metadata_columns: MetadataColumns) -> Fields {
    decoding.schema().fields().iter().cloned().chain(metadata_columns.fields()).collect()
}

/// Of a table that the first record makes, or `enable`.
async fn new_table(
    home: &Home,
    one_of_several: Option<(&TableName, &FanOut)>,
    terms: Terms<'_>,
    schema: &ResolvedSchema,
) -> Result<Verdict> {
    let nothing = Schema::empty();
    let metadata_columns = terms.metadata_columns;
    let rules = ColumnRules { metadata: metadata_columns, ..ColumnRules::default() };
    let mut decoding = Decoding::new(home, terms, &nothing, &rules).await?;
    let learned = decoding.learn_unregistered(schema).and_then(|learned| {
        let columns = all_columns(&decoding, metadata_columns);
        match one_of_several {
            Some((_, fan_out)) => check_columns(fan_out, columns)?,
            None => drop(new_schema(&columns)?),
        }
        Ok(learned)
    });
    let table = one_of_several.map(|(table, _)| table.to_plain_string());
    Ok(match learned {
        Ok(learned) => {
            let changes = changed(&nothing, &decoding.schema());
            Verdict { table, outcome: Outcome::NewTable, changes, refusal: None, notes: notes(&learned) }
        }
        Err(error) if error.kind() == ErrorKind::Unavailable => return Err(error),
        Err(error) => Verdict { table, ..refusing(Outcome::Suspends, Refusal::of(&error)) },
    })
}

/// A record that names a schema of another kind is a bad one, which is dealt with as the table says.
fn of_another_format(definition: &Definition, table: &TableName, schema: &ResolvedSchema) -> Option<Verdict> {
    let wanted = schema_type_of(definition.format)?;
    if wanted == schema.schema_type {
        return None;
    }
    let outcome = match definition.error_handling {
        ErrorHandling::Suspend => Outcome::Suspends,
        ErrorHandling::Skip => Outcome::Skips,
        ErrorHandling::Log => Outcome::PutsAside,
    };
    let refusal = Refusal {
        reason: Reason::AnotherFormat.to_string(),
        path: None,
        message: format!("the schema is {}, and the table takes {wanted}", schema.schema_type),
        detail: None,
        hint: Some(format!("write the records of one topic with {wanted} schemas")),
    };
    Some(Verdict { table: Some(table.to_plain_string()), ..refusing(outcome, refusal) })
}

/// An outage is no verdict.
fn refused(table: &TableName, error: Error) -> Result<Verdict> {
    if error.kind() == ErrorKind::Unavailable { Err(error) } else { Ok(suspended(table, &error)) }
}

fn suspended(table: &TableName, error: &Error) -> Verdict {
    Verdict { table: Some(table.to_plain_string()), ..refusing(Outcome::Suspends, Refusal::of(error)) }
}

/// What cannot even be read.
pub fn unreadable(error: &Error) -> Verdict {
    refusing(Outcome::Suspends, Refusal::of(error))
}

fn refusing(outcome: Outcome, refusal: Refusal) -> Verdict {
    Verdict { table: None, outcome, changes: Vec::new(), refusal: Some(refusal), notes: Vec::new() }
}

/// The columns that the table would get, and those that would become wider or nullable.
fn changed(before: &Schema, after: &Schema) -> Vec<Change> {
    let new = added(before.fields(), after.fields()).into_iter().map(|(column, field)| Change {
        to: Some(flink_type(field.data_type())),
        ..Change::of(ChangeKind::Added, column)
    });
    let wider = widened(before.fields(), after.fields()).into_iter().map(|widening| Change {
        from: Some(flink_type(&widening.from)),
        to: Some(flink_type(&widening.to)),
        ..Change::of(ChangeKind::Widened, widening.path)
    });
    let nullable = relaxed(before.fields(), after.fields()).into_iter().map(|column| Change {
        detail: Some("it may be null from then on".to_owned()),
        ..Change::of(ChangeKind::Relaxed, column)
    });
    new.chain(wider).chain(nullable).collect()
}

/// The columns that the table would lose.
fn dropped(before: &Schema, after: &Schema) -> Vec<Change> {
    let gone = added(after.fields(), before.fields()).into_iter();
    let detail = "the schema has no such field";
    gone.map(|(column, field)| Change {
        from: Some(flink_type(field.data_type())),
        detail: Some(detail.to_owned()),
        ..Change::of(ChangeKind::Dropped, column)
    })
    .collect()
}

/// What the binding of the schema told of columns that stay as they are.
fn told(learned: &Learned) -> impl Iterator<Item = Change> {
    let renamed = learned.renames.iter().map(|rename| Change {
        detail: Some(format!("the schema's field {} goes into it", rename.field)),
        ..Change::of(ChangeKind::Renamed, &rename.path)
    });
    let not_null = learned.may_lack.iter().map(|column| Change {
        detail: Some("the schema's field may be null or left out: such a record is a bad one".to_owned()),
        ..Change::of(ChangeKind::StaysNotNull, column)
    });
    renamed.chain(not_null)
}

/// The columns that the schema has no field for: they stay.
async fn kept(
    home: &Home,
    terms: &Terms<'_>,
    table: &Schema,
    (schema, learned): (&ResolvedSchema, &Learned),
) -> Result<Vec<Change>> {
    // By itself, so that its columns are its fields.
    let terms = Terms { subjects: Subjects::none(), columns: "", ..terms.clone() };
    let mut alone = Decoding::new(home, terms, &Schema::empty(), &ColumnRules::default()).await?;
    if alone.learn_unregistered(schema).is_err() {
        return Ok(Vec::new());
    }
    let columns = missing(table.fields(), alone.schema().fields(), &learned.renames).into_iter();
    let detail = "the schema has no such field: null in its rows";
    Ok(columns
        .map(|column| Change { detail: Some(detail.to_owned()), ..Change::of(ChangeKind::Kept, column) })
        .collect())
}

fn notes(learned: &Learned) -> Vec<String> {
    learned.notes.iter().map(|note| format!("{} {}", note.path, note.words)).collect()
}
