//! Tables whose columns mirror the newest schema: what they remember of it, and how a column goes.
//!
//! Owns [`Mirror`], a property of such a table, and [`Step`], from one version of a subject to the next.
//! - I1: between two steps of a table names mean one thing: an epoch ends before the first record of a version that it
//!   does not follow, the step is a commit of its own, and the job begins again with what the table is then.
//! - I2: columns and property change in one commit, on the schema and the snapshot that the step was decided on. What
//!   was done already is found so: whoever dies in between takes the step again, or finds it taken.
//! - I3: a step is taken on exactly what the table remembered when it was found, and leads to a newer version.
//!
//! Neighbours: `decoding::following` finds the steps; `target` takes them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use iceberg::spec::TableMetadata;
use iceberg::{TableRequirement, TableUpdate};
use serde::{Deserialize, Serialize};
use tableflow_catalog::{CommitOutcome, LoadedTable};
use tableflow_connectors::decode::{Evolution, Passing, RegistryFraming, SchemaFault};
use tableflow_connectors::registry::{RecordPart, Version};
use tableflow_lake::commit::prepare_change;
use tableflow_lake::layout::drop_columns;
use tableflow_model::{Error, Offset, Partition, Result, Source, TableName, TopicName};

use super::decoding::{Subjects, first_key};
use super::target;
use crate::definition::{Definition, Format};
use crate::home::Home;

/// Where a table remembers it.
pub const PROPERTY: &str = "tableflow.mirror";

/// The form of the property; another number is another form.
const FORM: u32 = 1;

/// So often is it tried to note where a table begins to follow.
const TRIES_MAX: u32 = 5;

/// What a table follows, and what it has dropped since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mirror {
    form: u32,
    /// The newest version of the subject that a record was read of, or that was there when the table began; 0 for none.
    pub followed: Version,
    /// Whole names of fields, and the first version whose field of that name is another one.
    pub dropped: BTreeMap<String, Version>,
    /// The table takes no steps: another way of evolution is wanted by now. What it dropped is read past all the same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rests: bool,
}

/// What a version of the subject does to a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub to: Mirror,
    /// The whole names of the columns that go.
    pub drops: BTreeSet<String>,
    /// The record that it is taken before.
    pub before: Option<(Partition, Offset)>,
    /// To a version that lies before that of the record: where the table cannot take it, it drops nothing.
    pub is_between: bool,
}

impl Mirror {
    pub fn from(followed: Version) -> Self {
        Mirror { form: FORM, followed, dropped: BTreeMap::new(), rests: false }
    }

    #[must_use]
    pub fn at_rest(self) -> Self {
        Mirror { rests: true, ..self }
    }

    /// Of a table that rested, by the newest version there is. Versions that count from 1 again, since the subject was
    /// deleted for good, are others than those that it knows.
    fn again(self, newest: Version) -> Self {
        match newest < self.followed {
            true => Mirror::from(newest),
            false => Mirror { followed: newest, rests: false, ..self },
        }
    }

    /// As a table has it.
    pub fn of(table: &TableMetadata) -> Result<Option<Self>> {
        table.properties().get(PROPERTY).map(|text| Self::from_text(text)).transpose()
    }

    fn from_text(text: &str) -> Result<Self> {
        let damaged = |detail: String| {
            Error::data(format!("the table's property {PROPERTY} cannot be read"))
                .with_detail(detail)
                .with_hint("it was written by a newer tableflow, or somebody changed it")
        };
        match serde_json::from_str::<Mirror>(text) {
            Ok(mirror) if mirror.form == FORM => Ok(mirror),
            Ok(mirror) => Err(damaged(format!("it has form {}", mirror.form))),
            Err(error) => Err(damaged(error.to_string())),
        }
    }

    pub fn to_text(&self) -> Result<String> {
        serde_json::to_string(self)
            .map_err(|error| Error::internal("what a table follows has no JSON form").with_source(error))
    }

    /// What records of a schema have and no column takes: of one without a version, all that was dropped.
    pub fn passing(&self, version: Option<Version>) -> Passing {
        let is_older = |since: &Version| version.is_none_or(|version| version < *since);
        let mut passing = Passing::default();
        for (name, since) in &self.dropped {
            let names = if is_older(since) { &mut passing.older } else { &mut passing.others };
            names.insert(name.clone());
        }
        passing
    }

    /// The fields of these whole names go into the column no longer, up to `last` where they had its name by an alias.
    pub fn drop(&mut self, column: &str, at: Version, called: impl IntoIterator<Item = (String, Version)>) {
        let inside = format!("{column}.");
        self.dropped.retain(|name, _| !name.starts_with(&inside));
        self.dropped.insert(column.to_owned(), at);
        for (name, last) in called {
            let since = self.dropped.entry(name).or_insert(last);
            *since = (*since).max(Version(last.0 + 1));
        }
    }
}

/// Refuses what has no newest schema.
pub fn check(evolution: Evolution, format: Format, fans_out: bool) -> Result<()> {
    if evolution != Evolution::Mirror {
        return Ok(());
    }
    if fans_out {
        return Err(Error::usage("--evolution mirror is for a topic that fills one table, not for a fan-out")
            .with_detail("a type of record may be registered under several subjects, which have no order among them")
            .with_hint("use additive: a column that the newest schema no longer has stays, and is null in new rows"));
    }
    if !format.has_schemas() {
        return Err(Error::usage(format!("--evolution mirror needs schemas, and {format} records name none"))
            .with_detail("a record that lacks a field does not say that the field is gone")
            .with_hint(
                "use additive, or write records with a schema registry: --format avro, protobuf or json-schema",
            ));
    }
    Ok(())
}

/// Who mirrors follows the versions of one subject: schemas that are registered after the names of their types have
/// none in common.
pub async fn check_subject(home: &Home, topic: &TopicName, source: &mut dyn Source) -> Result<()> {
    let subjects = Subjects::of_topic(topic);
    let framing = RegistryFraming { prefix: home.id_prefix, part: RecordPart::Value };
    if subjects.newest(home).await? > Version(0) || first_key(source, framing).await?.is_none() {
        return Ok(());
    }
    let subject = subjects.first().unwrap_or_default();
    Err(Error::usage(format!("--evolution mirror follows the versions of subject {subject}, which does not exist"))
        .with_detail("the topic's records name schemas that are registered elsewhere: after the names of their types")
        .with_hint("use additive, or register the schemas by TopicNameStrategy"))
}

/// The table as its definition wants it followed: one that begins to mirror, or does so again, notes from which version
/// on; one that no longer does keeps what it had dropped, and takes no more steps.
pub async fn settled(home: &Home, definition: &Definition, table: LoadedTable) -> Result<LoadedTable> {
    let mirrors = definition.evolution == Evolution::Mirror;
    let mut table = table;
    for _ in 0..TRIES_MAX {
        // Of another table by that name a job says so when it looks at it.
        if table.metadata.uuid() != definition.table_uuid {
            return Ok(table);
        }
        let wanted = match Mirror::of(&table.metadata)? {
            None if mirrors => Mirror::from(Subjects::of_topic(&definition.topic).newest(home).await?),
            Some(before) if mirrors && before.rests => {
                before.again(Subjects::of_topic(&definition.topic).newest(home).await?)
            }
            Some(before) if !mirrors && !before.rests => before.at_rest(),
            _ => return Ok(table),
        };
        let properties = HashMap::from([(PROPERTY.to_owned(), wanted.to_text()?)]);
        let (requirements, updates) = prepare_change(&table.metadata, None, properties, Vec::new());
        match home.catalog.commit(&definition.table, &table, requirements, updates).await? {
            CommitOutcome::Applied(changed) => return Ok(changed),
            CommitOutcome::Conflict { .. } | CommitOutcome::Unknown { .. } => {
                table = target::load(home, &definition.table).await?;
            }
        }
    }
    Err(Error::unavailable(format!("table {} changes all the time", definition.table))
        .with_detail("which schemas it follows could not be noted in it"))
}

/// The table as it would be after a step.
pub fn after(table: &TableMetadata, step: &Step) -> Result<TableMetadata> {
    let (_, updates) = change(table, step)?;
    let impossible = |error: iceberg::Error| Error::internal("a step of a table cannot be tried").with_source(error);
    let mut builder = table.clone().into_builder(None);
    for update in updates {
        builder = update.apply(builder).map_err(impossible)?;
    }
    Ok(builder.build().map_err(impossible)?.metadata)
}

/// The commit of a step (I2).
pub fn change(table: &TableMetadata, step: &Step) -> Result<(Vec<TableRequirement>, Vec<TableUpdate>)> {
    let (columns, to) = match drop_columns(table, &step.drops) {
        Ok(columns) => (columns, step.to.clone()),
        Err(_) if step.is_between => {
            let before = Mirror::of(table)?.unwrap_or_else(|| Mirror::from(Version(0)));
            (None, Mirror { followed: step.to.followed, ..before })
        }
        Err(error) => return Err(error),
    };
    let properties = HashMap::from([(PROPERTY.to_owned(), to.to_text()?)]);
    Ok(prepare_change(table, columns.as_ref(), properties, Vec::new()))
}

/// Why a table cannot take a step, for a person to decide.
pub fn refused(mut error: Error, step: &Step, table: &TableName) -> Error {
    let version = step.to.followed;
    if let Some((partition, offset)) = step.before {
        error = error.with_context("partition", partition).with_context("offset", offset);
    }
    SchemaFault::FieldDeleted.of(error).with_context("version", version).with_hint(format!(
        "let columns stay that schemas no longer have: tableflow update {table} --evolution additive"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(passing: &BTreeSet<String>) -> Vec<&str> {
        passing.iter().map(String::as_str).collect()
    }

    #[test]
    fn a_name_means_nothing_to_schemas_older_than_its_drop() {
        let mut mirror = Mirror::from(Version(2));
        mirror.drop("r.x", Version(2), []);
        mirror.drop("b", Version(3), [("c".to_owned(), Version(1))]);
        for (version, older, others) in [
            (None, &["b", "c", "r.x"][..], &[][..]),
            (Some(1), &["b", "c", "r.x"], &[]),
            (Some(2), &["b"], &["c", "r.x"]),
            (Some(3), &[], &["b", "c", "r.x"]),
        ] {
            let passing = mirror.passing(version.map(Version));
            assert_eq!(
                (names(&passing.older), names(&passing.others)),
                (older.to_vec(), others.to_vec()),
                "{version:?}"
            );
        }
        // The row goes, and what it dropped by itself is inside of it.
        mirror.drop("r", Version(4), []);
        assert_eq!(names(&mirror.passing(Some(Version(3))).older), ["r"]);
        assert_eq!(mirror.dropped.keys().collect::<Vec<_>>(), ["b", "c", "r"]);
    }

    #[test]
    fn it_is_read_as_it_was_written_and_nothing_else_is() {
        let mut mirror = Mirror::from(Version(3));
        mirror.drop("b", Version(2), []);
        let text = mirror.to_text().unwrap();
        assert_eq!(text, r#"{"form":1,"followed":3,"dropped":{"b":2}}"#);
        assert_eq!(Mirror::from_text(&text).unwrap(), mirror);
        for other in
            ["", "{}", r#"{"form":2,"followed":3,"dropped":{}}"#, r#"{"form":1,"followed":3,"dropped":{},"x":1}"#]
        {
            assert!(Mirror::from_text(other).unwrap_err().message().contains(PROPERTY), "{other}");
        }
    }

    #[test]
    fn a_table_that_rested_goes_on_with_the_newest_version_and_what_it_dropped() {
        let mut mirror = Mirror { rests: true, ..Mirror::from(Version(3)) };
        mirror.drop("b", Version(2), []);
        let text = mirror.to_text().unwrap();
        assert_eq!(text, r#"{"form":1,"followed":3,"dropped":{"b":2},"rests":true}"#);
        assert_eq!(Mirror::from_text(&text).unwrap(), mirror);
        let again = mirror.clone().again(Version(5)).to_text().unwrap();
        assert_eq!(again, r#"{"form":1,"followed":5,"dropped":{"b":2}}"#);
        assert_eq!(mirror.again(Version(2)), Mirror::from(Version(2)), "a subject that was made again");
    }

    #[test]
    fn what_names_no_schema_has_no_newest_one() {
        for (format, fans_out, good) in [
            (Format::Avro, false, true),
            (Format::Json, false, false),
            (Format::Raw, false, false),
            (Format::Avro, true, false),
        ] {
            assert_eq!(check(Evolution::Mirror, format, fans_out).is_ok(), good, "{format}");
            check(Evolution::Additive, format, fans_out).unwrap();
        }
    }
}
