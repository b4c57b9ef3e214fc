//! `schema check`: what a new schema would do, before anybody registers it.
//!
//! - I1: two verdicts: of the registry, about the subject at its level, and of the table. Exit code 3 where either says
//!   no.
//! - I2: nothing is written, and nothing remembered.

use std::io::Write;

use serde::Serialize;
use tableflow_connectors::decode::SchemaFault;
use tableflow_connectors::registry::resolve::resolve;
use tableflow_connectors::registry::{
    Form, Include, Reason, ResolvedSchema, Schema, SchemaReference, SchemaRegistry, SchemaType, VersionWanted,
};
use tableflow_model::{Error, ErrorKind, Result, TableName, TopicName};

use super::args::{CheckArguments, Reference, TableReference};
use super::schema::read;
use super::session::Session;
use crate::exit::Exit;
use crate::home::Home;
use crate::output::{self, Format};
use crate::pipeline::check::{Change, ChangeKind, Outcome, Place, Refusal, Verdict, check, unreadable};
use crate::pipeline::fan_out::FanOutTables;

#[derive(Debug, Serialize)]
struct Checked {
    topic: String,
    subject: String,
    r#type: SchemaType,
    /// Would it go in, by the word of both?
    good: bool,
    registry: RegistryVerdict,
    table: Verdict,
}

#[derive(Debug, Serialize)]
struct RegistryVerdict {
    verdict: RegistryWord,
    level: String,
    /// Where it is registered already.
    version: Option<u32>,
    messages: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum RegistryWord {
    /// It may become the subject's next version.
    Compatible,
    Incompatible,
    /// It is a version of the subject.
    Registered,
    /// It would be the first version.
    NewSubject,
    /// It is no schema.
    Invalid,
}

pub async fn run(words: &CheckArguments, session: &Session, out: &mut dyn Write) -> Result<Exit> {
    let place = place(session, &words.table).await?;
    let of_keys = format!("{}-key", place.topic());
    if words.subject.as_ref() == Some(&of_keys) {
        return Err(Error::usage(format!("subject {of_keys} is of keys, and schemas of values alone are checked"))
            .with_hint("leave --subject out, or name a subject of the topic's values"));
    }
    let home = session.home.clone().remembering_nothing();
    let taken = place.schema_type()?;
    let schema_type = schema_type(&home, words, &place, taken).await?;
    let references: Vec<SchemaReference> =
        words.references.iter().map(|Reference(reference)| reference.clone()).collect();
    let schema = Schema::new(schema_type, read(&words.file)?).with_references(references);
    let (subject, table) = match resolve(home.schemas.as_ref(), schema.clone()).await {
        Ok(resolved) => (subject(&home, words, &place, &resolved).await?, check(&home, &place, &resolved).await?),
        Err(error) if error.is_not_found() => {
            let error = SchemaFault::UnresolvedTypeRef.of(error.into());
            (words.subject.clone().unwrap_or_else(|| format!("{}-value", place.topic())), unreadable(&error))
        }
        Err(error) => return Err(error.into()),
    };
    let registry = of_registry(home.schemas.as_ref(), &subject, &schema).await?;
    let refuses = matches!(registry.verdict, RegistryWord::Incompatible | RegistryWord::Invalid);
    let good = table.outcome.is_good() && !refuses;
    let checked = Checked { topic: place.topic().to_string(), subject, r#type: schema_type, good, registry, table };
    match session.format {
        Format::Table => print_for_people(&checked, out),
        format => output::document(format, &checked, out),
    }?;
    Ok(if good { Exit::Done } else { Exit::Violated })
}

/// The table that a person means, or else the topic.
async fn place(session: &Session, reference: &TableReference) -> Result<Place> {
    let mut definitions = session.enabled().await?.definitions;
    let mut of_fan_outs: Vec<(TableName, usize, String)> = Vec::new();
    for (index, definition) in definitions.iter().enumerate().filter(|(_, it)| it.fan_out.is_some()) {
        let tables = FanOutTables::load(&session.home, definition).await?;
        of_fan_outs.extend(tables.iter().map(|it| (it.table.clone(), index, it.value.clone())));
    }
    let names = definitions.iter().map(|it| &it.table).chain(of_fan_outs.iter().map(|(table, ..)| table));
    let found = match reference.resolve(names) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return topic(session, definitions, reference, error).await;
        }
        found => found?,
    };
    if let Some((_, index, value)) = of_fan_outs.into_iter().find(|(table, ..)| *table == found) {
        return Ok(Place::OneOfSeveral(Box::new(definitions.swap_remove(index)), value));
    }
    let definition = definitions.into_iter().find(|it| it.table == found);
    let definition = definition.ok_or_else(|| Error::internal("a table that was found is not there"))?;
    Ok(Place::Enabled(Box::new(definition)))
}

/// The one table of a topic, or the one that it would get.
async fn topic(
    session: &Session,
    mut definitions: Vec<crate::definition::Definition>,
    reference: &TableReference,
    no_table: Error,
) -> Result<Place> {
    let Ok(topic) = reference.text().parse::<TopicName>() else { return Err(no_table) };
    definitions.retain(|definition| definition.topic == topic);
    if definitions.len() > 1 {
        let tables: Vec<String> = definitions.iter().map(|it| it.table.to_string()).collect();
        return Err(Error::usage(format!("topic {topic} fills {}", tables.join(" and "))).with_hint("name one of them"));
    }
    if let Some(definition) = definitions.pop() {
        return Ok(Place::Enabled(Box::new(definition)));
    }
    match session.home.topics.describe(&topic).await {
        Ok(_) => Ok(Place::NotEnabled(topic)),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let both = Error::not_found(format!("there is neither a table nor a topic {topic}"));
            Err(both.with_hint(no_table.hint().unwrap_or("`tableflow topic list` shows the topics")))
        }
        Err(error) => Err(error),
    }
}

/// As the flag says, the file's name, the table, or what the topic's subject has.
async fn schema_type(
    home: &Home,
    words: &CheckArguments,
    place: &Place,
    taken: Option<SchemaType>,
) -> Result<SchemaType> {
    if let Some(schema_type) = words.schema_type().or(taken) {
        return Ok(schema_type);
    }
    let subject = words.subject.clone().unwrap_or_else(|| format!("{}-value", place.topic()));
    match home.schemas.version(&subject, VersionWanted::Latest, Include::Live).await {
        Ok(latest) => Ok(latest.schema.schema_type),
        Err(error) if error.is_not_found() => Err(words.unknown_type()),
        Err(error) => Err(error.into()),
    }
}

/// The subject that is named, or the first that is there.
async fn subject(home: &Home, words: &CheckArguments, place: &Place, schema: &ResolvedSchema) -> Result<String> {
    if let Some(subject) = &words.subject {
        return Ok(subject.clone());
    }
    let likely = place.subjects(schema);
    for subject in &likely {
        match home.schemas.versions(subject, Include::Live).await {
            Ok(_) => return Ok(subject.clone()),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(likely.into_iter().next().unwrap_or_default())
}

async fn of_registry(registry: &dyn SchemaRegistry, subject: &str, schema: &Schema) -> Result<RegistryVerdict> {
    let level = match registry.compatibility(Some(subject)).await {
        // Of a subject that is not there, some registries know no level.
        Err(error) if error.is_not_found() => registry.compatibility(None).await?,
        level => level?,
    };
    let said = |verdict, messages| RegistryVerdict { verdict, level: level.to_string(), version: None, messages };
    match registry.lookup(subject, schema, Form::Given, Include::Live).await {
        Ok(found) => {
            let version = Some(found.version.0);
            return Ok(RegistryVerdict { version, ..said(RegistryWord::Registered, Vec::new()) });
        }
        Err(error) if error.reason() == Some(Reason::InvalidSchema) => {
            return Ok(said(RegistryWord::Invalid, vec![error.to_string()]));
        }
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(error.into()),
    }
    let is_new = match registry.versions(subject, Include::Live).await {
        Ok(versions) => versions.is_empty(),
        Err(error) if error.is_not_found() => true,
        Err(error) => return Err(error.into()),
    };
    match registry.incompatibilities(subject, None, schema).await {
        Ok(messages) if messages.is_empty() && is_new => Ok(said(RegistryWord::NewSubject, messages)),
        Ok(messages) if messages.is_empty() => Ok(said(RegistryWord::Compatible, messages)),
        Ok(messages) => Ok(said(RegistryWord::Incompatible, messages)),
        Err(error) if error.reason() == Some(Reason::InvalidSchema) => {
            Ok(said(RegistryWord::Invalid, vec![error.to_string()]))
        }
        Err(error) if error.is_not_found() => Ok(said(RegistryWord::NewSubject, Vec::new())),
        Err(error) => Err(error.into()),
    }
}

fn print_for_people(checked: &Checked, out: &mut dyn Write) -> Result<()> {
    let Checked { topic, subject, registry, table, .. } = checked;
    let mut lines = vec![format!("subject {subject}: {}", of_subject(registry))];
    lines.extend(registry.messages.iter().map(|message| format!("  {message}")));
    let name = table.table.as_ref().map_or_else(|| format!("topic {topic}"), |table| format!("table {table}"));
    lines.push(format!("{name}: {}", of_outcome(table.outcome)));
    lines.extend(table.changes.iter().map(|change| format!("  {}", of_change(change))));
    lines.extend(table.notes.iter().map(|note| format!("  note: {note}")));
    if let Some(Refusal { reason, path, message, detail, hint }) = &table.refusal {
        let at = path.as_ref().map_or_else(String::new, |path| format!(" at {path}"));
        lines.push(format!("  {reason}{at}: {message}"));
        lines.extend(detail.iter().map(|detail| format!("  detail: {detail}")));
        lines.extend(hint.iter().map(|hint| format!("  hint: {hint}")));
    }
    lines.into_iter().try_for_each(|line| output::printed(writeln!(out, "{line}")))
}

fn of_subject(RegistryVerdict { verdict, level, version, .. }: &RegistryVerdict) -> String {
    match verdict {
        RegistryWord::Compatible => format!("compatible at {level}"),
        RegistryWord::Incompatible => format!("incompatible at {level}, the registry would refuse it"),
        RegistryWord::Registered => format!("has it, as version {}", version.unwrap_or_default()),
        RegistryWord::NewSubject => "it would be the first version".to_owned(),
        RegistryWord::Invalid => "no schema, the registry would refuse it".to_owned(),
    }
}

fn of_outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Unchanged => "would take its records as it is",
        Outcome::Evolves => "would follow",
        Outcome::NewTable => "a table would be made",
        Outcome::Skips => "would leave its records out",
        Outcome::PutsAside => "would put its records aside, as dead letters",
        Outcome::Suspends => "would stop at its first record",
    }
}

fn of_change(Change { change, column, from, to, detail }: &Change) -> String {
    let word = match change {
        ChangeKind::Added => "added",
        ChangeKind::Widened => "widened",
        ChangeKind::Relaxed => "nullable",
        ChangeKind::Renamed => "renamed",
        ChangeKind::Kept => "kept",
        ChangeKind::Dropped => "dropped",
        ChangeKind::StaysNotNull => "stays NOT NULL",
    };
    let types: Vec<&str> = from.iter().chain(to).map(String::as_str).collect();
    let types = if types.is_empty() { String::new() } else { format!(" {}", types.join(" to ")) };
    let detail = detail.as_ref().map_or_else(String::new, |detail| format!(": {detail}"));
    format!("{word} {column}{types}{detail}")
}
