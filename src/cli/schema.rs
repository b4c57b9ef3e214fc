//! `schema register|list|show|diff`; `check` has a file of its own.
//!
//! - I1: the registry is the one that `[registry]` names, else the embedded one: only that needs a data directory.

use std::collections::BTreeMap;
use std::io::{Read, Write, stderr, stdin};
use std::sync::Arc;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tableflow_connectors::registry::{
    Form, Include, Reason, RegisteredSchema, RegistryClient, Schema, SchemaId, SchemaKey, SchemaReference,
    SchemaRegistry, SchemaType, SubjectVersion, Version, VersionWanted,
};
use tableflow_model::{Error, Result};
use uuid::Uuid;

use super::args::{GlobalArguments, Reference, RegisterArguments, SchemaVerb, ShowArguments};
use super::check;
use super::session::Session;
use crate::exit::Exit;
use crate::home::Home;
use crate::output::{self, Format};

/// Below it two subjects have little in common.
const SIMILARITY_MIN: f64 = 0.85;

/// A registry takes no more.
const FILE_BYTES_MAX: u64 = 1 << 20;

#[derive(Debug, Serialize)]
struct Registered {
    subject: String,
    version: Version,
    id: SchemaId,
    guid: Option<Uuid>,
    r#type: SchemaType,
}

#[derive(Debug, Serialize)]
struct SubjectDocument {
    subject: String,
    versions: Vec<Version>,
    latest: Option<Version>,
    id: Option<SchemaId>,
    r#type: Option<SchemaType>,
}

#[derive(Debug, Serialize)]
struct SchemaDocument {
    subject: Option<String>,
    version: Option<Version>,
    id: Option<SchemaId>,
    guid: Option<Uuid>,
    r#type: SchemaType,
    compatibility: Option<String>,
    references: Vec<SchemaReference>,
    /// Where else it is registered.
    places: Vec<SubjectVersion>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<String>,
}

/// One difference of two schemas.
#[derive(Debug, PartialEq, Serialize)]
struct Change {
    change: &'static str,
    /// Names of fields and keys, with dots between them.
    path: String,
    from: Option<Value>,
    to: Option<Value>,
}

pub async fn run(verb: &SchemaVerb, global: &GlobalArguments, out: &mut dyn Write) -> Result<Exit> {
    let registry = || open(verb, global);
    match verb {
        SchemaVerb::Check(words) => return check::run(words, &Session::open(global).await?, out).await,
        SchemaVerb::Register(words) => register(registry().await?.as_ref(), words, global, out).await?,
        SchemaVerb::List { prefix, deleted } => {
            let include = if *deleted { Include::Deleted } else { Include::Live };
            let subjects = list(registry().await?.as_ref(), prefix, include).await?;
            output::documents(global.output, &subjects, &["subject", "latest", "id", "type"], out)?;
        }
        SchemaVerb::Show(words) => show(registry().await?.as_ref(), words, global.output, out).await?,
        SchemaVerb::Diff { subject, from, to } => {
            let (from, to) = versions_to_compare(registry().await?.as_ref(), subject, *from, *to).await?;
            let changes = changes(&from.schema, &to.schema);
            if changes.is_empty() && !global.quiet {
                // Whoever closed stderr does not want to read it.
                let _ = writeln!(stderr(), "versions {} and {} say the same", from.version, to.version);
            }
            output::documents(global.output, &changes, &["change", "path", "from", "to"], out)?;
        }
    }
    Ok(Exit::Done)
}

/// I1.
async fn open(verb: &SchemaVerb, global: &GlobalArguments) -> Result<Arc<dyn SchemaRegistry>> {
    let config = Session::config(global)?;
    if let Some(options) = config.registry.client_options(|name| std::env::var(name).ok())? {
        return Ok(Arc::new(RegistryClient::new(options)?));
    }
    let home = match verb {
        SchemaVerb::Register(_) => Home::open(&config.data_dir).await?,
        _ => Home::open_existing(&config.data_dir).await?,
    };
    Ok(Arc::new(home.registry()))
}

async fn register(
    registry: &dyn SchemaRegistry,
    words: &RegisterArguments,
    global: &GlobalArguments,
    out: &mut dyn Write,
) -> Result<()> {
    let references = words.references.iter().map(|Reference(reference)| reference.clone()).collect();
    let schema = Schema::new(words.schema_type()?, read(&words.file)?).with_references(references);
    let form = if words.normalize { Form::Normalized } else { Form::Given };
    let RegisteredSchema { subject, version, id, guid, schema } =
        registry.register(&words.subject, &schema, form).await?;
    output::document(global.output, &Registered { subject, version, id, guid, r#type: schema.schema_type }, out)
}

pub(super) fn read(file: &str) -> Result<String> {
    let cannot = |error| Error::usage(format!("{file} cannot be read")).with_source(error);
    let mut text = String::new();
    let read = match file {
        "-" => stdin().take(FILE_BYTES_MAX + 1).read_to_string(&mut text),
        path => std::fs::File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)),
    };
    if read.map_err(cannot)? as u64 > FILE_BYTES_MAX {
        return Err(Error::usage(format!("{file} is too long for a schema"))
            .with_detail(format!("a registry takes {FILE_BYTES_MAX} bytes")));
    }
    Ok(text)
}

async fn list(registry: &dyn SchemaRegistry, prefix: &str, include: Include) -> Result<Vec<SubjectDocument>> {
    let mut documents = Vec::new();
    for subject in registry.subjects(prefix, include).await? {
        // Between the two questions somebody may delete it.
        let latest = match registry.version(&subject, VersionWanted::Latest, include).await {
            Ok(latest) => Some(latest),
            Err(error) if error.is_not_found() => None,
            Err(error) => return Err(error.into()),
        };
        let versions = match registry.versions(&subject, include).await {
            Ok(versions) => versions,
            Err(error) if error.is_not_found() => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        documents.push(SubjectDocument {
            subject,
            versions,
            latest: latest.as_ref().map(|latest| latest.version),
            id: latest.as_ref().map(|latest| latest.id),
            r#type: latest.as_ref().map(|latest| latest.schema.schema_type),
        });
    }
    Ok(documents)
}

async fn show(registry: &dyn SchemaRegistry, words: &ShowArguments, format: Format, out: &mut dyn Write) -> Result<()> {
    let (mut document, schema) = match (&words.subject, words.id) {
        (Some(subject), _) => show_version(registry, subject, words.version).await?,
        (None, id) => show_id(registry, SchemaId(id.unwrap_or_default())).await?,
    };
    match format {
        // For people the schema stands below what is said about it, as its author would write it.
        Format::Table => {
            output::document(format, &document, out)?;
            output::printed(writeln!(out, "\n{}", readable(&schema)))
        }
        format => {
            document.schema = Some(schema.text);
            output::document(format, &document, out)
        }
    }
}

async fn show_version(
    registry: &dyn SchemaRegistry,
    subject: &str,
    version: VersionWanted,
) -> Result<(SchemaDocument, Schema)> {
    let found = match registry.version(subject, version, Include::Live).await {
        Err(error) if error.reason() == Some(Reason::SubjectNotFound) => {
            return Err(with_nearest(registry, subject, error.into()).await);
        }
        found => found?,
    };
    let level = registry.compatibility(Some(subject)).await?;
    let document = SchemaDocument {
        subject: Some(found.subject),
        version: Some(found.version),
        id: Some(found.id),
        guid: found.guid,
        r#type: found.schema.schema_type,
        compatibility: Some(level.to_string()),
        references: found.schema.references.clone(),
        places: registry.places(found.id).await?,
        schema: None,
    };
    Ok((document, found.schema))
}

/// The error, with the subject that may have been meant.
async fn with_nearest(registry: &dyn SchemaRegistry, subject: &str, error: Error) -> Error {
    let subjects = registry.subjects("", Include::Live).await.unwrap_or_default();
    let ranked = subjects.iter().map(|known| (strsim::jaro_winkler(known, subject), known));
    match ranked.max_by(|a, b| a.0.total_cmp(&b.0)) {
        Some((similarity, nearest)) if similarity >= SIMILARITY_MIN => {
            error.with_hint(format!("did you mean {nearest}?"))
        }
        _ => error,
    }
}

async fn show_id(registry: &dyn SchemaRegistry, id: SchemaId) -> Result<(SchemaDocument, Schema)> {
    let schema = registry.schema(SchemaKey::Id(id), None).await?;
    let document = SchemaDocument {
        subject: None,
        version: None,
        id: Some(id),
        guid: None,
        r#type: schema.schema_type,
        compatibility: None,
        references: schema.references.clone(),
        places: registry.places(id).await?,
        schema: None,
    };
    Ok((document, schema))
}

/// JSON whose keys stay in their order.
#[derive(Deserialize, Serialize)]
#[serde(untagged)]
enum Ordered {
    Object(IndexMap<String, Ordered>),
    Array(Vec<Ordered>),
    Other(Value),
}

/// JSON with line breaks, everything else as it is.
fn readable(schema: &Schema) -> String {
    let pretty = serde_json::from_str::<Ordered>(&schema.text).and_then(|value| serde_json::to_string_pretty(&value));
    pretty.unwrap_or_else(|_| schema.text.clone())
}

async fn versions_to_compare(
    registry: &dyn SchemaRegistry,
    subject: &str,
    from: Option<VersionWanted>,
    to: VersionWanted,
) -> Result<(RegisteredSchema, RegisteredSchema)> {
    let to = registry.version(subject, to, Include::Live).await?;
    let from = match from {
        Some(from) => from,
        None => {
            let earlier =
                registry.versions(subject, Include::Live).await?.into_iter().filter(|it| *it < to.version).max();
            let none = || {
                Error::usage(format!("{subject} has no version before {}", to.version))
                    .with_hint("`tableflow schema show` shows what a version says")
            };
            VersionWanted::Number(earlier.ok_or_else(none)?)
        }
    };
    Ok((registry.version(subject, from, Include::Live).await?, to))
}

fn changes(from: &Schema, to: &Schema) -> Vec<Change> {
    let mut found = Vec::new();
    let read = |schema: &Schema| serde_json::from_str::<Value>(&schema.text);
    match (read(from), read(to)) {
        (Ok(from), Ok(to)) => compare("", &from, &to, &mut found),
        _ => compare_lines(&from.text, &to.text, &mut found),
    }
    let references = |schema: &Schema| serde_json::to_value(&schema.references).unwrap_or_default();
    compare("references", &references(from), &references(to), &mut found);
    found
}

fn compare(path: &str, from: &Value, to: &Value, found: &mut Vec<Change>) {
    if from == to {
        return;
    }
    if let (Some(before), Some(after)) = (parts(from), parts(to)) {
        let names = before.keys().chain(after.keys().filter(|name| !before.contains_key(*name)));
        for name in names {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            match (before.get(name), after.get(name)) {
                (Some(from), Some(to)) => compare(&path, from, to, found),
                (from, to) => {
                    let change = if from.is_some() { "removed" } else { "added" };
                    let owned = |value: Option<&&Value>| value.map(|value| (*value).clone());
                    found.push(Change { change, path, from: owned(from), to: owned(to) });
                }
            }
        }
        return;
    }
    let path = if path.is_empty() { "the schema".to_owned() } else { path.to_owned() };
    found.push(Change { change: "changed", path, from: Some(from.clone()), to: Some(to.clone()) });
}

/// What can be compared name by name: the keys of an object, the things of a list that all have names.
fn parts(value: &Value) -> Option<BTreeMap<String, &Value>> {
    match value {
        Value::Object(object) => Some(object.iter().map(|(name, value)| (name.clone(), value)).collect()),
        Value::Array(list) => {
            let named: Option<BTreeMap<_, _>> =
                list.iter().map(|item| Some((item.get("name")?.as_str()?.to_owned(), item))).collect();
            named.filter(|named| named.len() == list.len())
        }
        _ => None,
    }
}

/// What is not JSON: lines that only one of the two has, wherever they stand.
fn compare_lines(from: &str, to: &str, found: &mut Vec<Change>) {
    let count = |text: &str| {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        text.lines().for_each(|line| *counts.entry(line.trim().to_owned()).or_default() += 1);
        counts
    };
    let mut only = |text: &str, mut others: BTreeMap<String, usize>, change: &'static str| {
        for (number, line) in (1..).zip(text.lines().map(str::trim)) {
            if let Some(left) = others.get_mut(line).filter(|left| **left > 0) {
                *left -= 1;
                continue;
            }
            let line = Some(Value::from(line));
            let (from, to) = if change == "removed" { (line, None) } else { (None, line) };
            found.push(Change { change, path: format!("line {number}"), from, to });
        }
    };
    only(from, count(to), "removed");
    only(to, count(from), "added");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn seen(from: &Schema, to: &Schema) -> Vec<(&'static str, String, Option<Value>, Option<Value>)> {
        changes(from, to).into_iter().map(|it| (it.change, it.path, it.from, it.to)).collect()
    }

    #[test]
    fn fields_are_compared_by_their_names() {
        let record = |fields: Value| Schema::avro(json!({"type": "record", "name": "R", "fields": fields}).to_string());
        let from = record(
            json!([{"name": "a", "type": "int"}, {"name": "b", "type": "int", "doc": "x"}, {"name": "c", "type": "int"}]),
        );
        let to = record(
            json!([{"name": "d", "type": "int"}, {"name": "c", "type": "int"}, {"name": "b", "type": ["null", "int"]}]),
        );
        assert_eq!(
            seen(&from, &to),
            [
                ("removed", "fields.a".into(), Some(json!({"name": "a", "type": "int"})), None),
                ("removed", "fields.b.doc".into(), Some(json!("x")), None),
                ("changed", "fields.b.type".into(), Some(json!("int")), Some(json!(["null", "int"]))),
                ("added", "fields.d".into(), None, Some(json!({"name": "d", "type": "int"}))),
            ]
        );
        assert_eq!(seen(&from, &from), []);
        let whole = seen(&Schema::avro("\"int\""), &Schema::avro("\"long\""));
        assert_eq!(whole, [("changed", "the schema".into(), Some(json!("int")), Some(json!("long")))]);
        let reference = SchemaReference { name: "n".into(), subject: "s".into(), version: Version(1) };
        let with = from.clone().with_references(vec![reference]);
        assert_eq!(seen(&from, &with)[0].1, "references.n");
    }

    #[test]
    fn what_is_no_json_is_compared_line_by_line() {
        let proto = |text: &str| Schema::new(SchemaType::Protobuf, text);
        let from = proto("message M {\n  int32 a = 1;\n  int32 b = 2;\n}");
        let to = proto("message M {\n  int32 b = 2;\n  int64 a = 1;\n}\n");
        assert_eq!(
            seen(&from, &to),
            [
                ("removed", "line 2".into(), Some(json!("int32 a = 1;")), None),
                ("added", "line 3".into(), None, Some(json!("int64 a = 1;"))),
            ]
        );
    }
}
