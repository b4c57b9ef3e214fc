//! Documents: a status, a description, a list of them.
//!
//! Owns their printing. The table form of one document is its fields line by line, lists of objects as a table below;
//! of several, a table of the columns asked for. YAML is serde-saphyr's: the crate is kept up, has no unsafe code and
//! brings no parser along; serde_yaml is given up, and its forks have rested since 2024.
//!
//! For the forms other than JSON a document goes through its JSON text, whose fields keep their order and whose numbers
//! keep their digits: one that YAML would round is a text there.

use std::io::Write;

use comfy_table::{Cell, CellAlignment};
use indexmap::IndexMap;
use serde::Serialize;
use serde_json::value::RawValue;
use tableflow_model::Result;

use super::table::{empty_table, one_line};
use super::{Format, printed};

type Fields = IndexMap<String, Box<RawValue>>;

/// Prints one document.
pub fn document(format: Format, document: &impl Serialize, out: &mut dyn Write) -> Result<()> {
    match format {
        Format::Table => print_fields(&printed(fields(document))?, out),
        Format::Csv => print_csv(&[printed(fields(document))?], out),
        Format::Ndjson => print_line(document, out),
        Format::Json => print_json(document, out),
        Format::Yaml => print_yaml(document, out),
    }
}

/// Prints a list of documents; a table shows the fields named by `columns`, the other formats show all.
pub fn documents<T: Serialize>(format: Format, list: &[T], columns: &[&str], out: &mut dyn Write) -> Result<()> {
    match format {
        Format::Table => {
            let rows: Vec<Fields> = printed(list.iter().map(fields).collect())?;
            printed(writeln!(out, "{}", table_of(&rows, columns)))
        }
        Format::Csv => {
            let rows: Vec<Fields> = printed(list.iter().map(fields).collect())?;
            print_csv(&rows, out)
        }
        Format::Ndjson => list.iter().try_for_each(|document| print_line(document, out)),
        Format::Json => print_json(&list, out),
        Format::Yaml => print_yaml(&list, out),
    }
}

fn print_line(document: &impl Serialize, out: &mut dyn Write) -> Result<()> {
    printed(serde_json::to_writer(&mut *out, document))?;
    printed(writeln!(out))
}

fn print_json(document: &impl Serialize, out: &mut dyn Write) -> Result<()> {
    printed(serde_json::to_writer_pretty(&mut *out, document))?;
    printed(writeln!(out))
}

fn print_yaml(document: &impl Serialize, out: &mut dyn Write) -> Result<()> {
    let json = printed(serde_json::value::to_raw_value(document))?;
    let text = printed(serde_saphyr::to_string(&Node::of(&json)))?;
    printed(out.write_all(text.as_bytes()))
}

/// A JSON value as YAML takes it.
#[derive(Serialize)]
#[serde(untagged)]
enum Node {
    Null,
    Boolean(bool),
    Whole(i64),
    Double(f64),
    Text(String),
    List(Vec<Node>),
    Mapping(IndexMap<String, Node>),
}

impl Node {
    fn of(json: &RawValue) -> Node {
        let text = json.get();
        let node = match text.as_bytes().first() {
            Some(b'{') => serde_json::from_str::<Fields>(text).map(|fields| {
                Node::Mapping(fields.iter().map(|(name, value)| (name.clone(), Node::of(value))).collect())
            }),
            Some(b'[') => serde_json::from_str::<Vec<Box<RawValue>>>(text)
                .map(|values| Node::List(values.iter().map(|value| Node::of(value)).collect())),
            Some(b'"') => serde_json::from_str(text).map(Node::Text),
            Some(b't' | b'f') => serde_json::from_str(text).map(Node::Boolean),
            Some(b'n') => Ok(Node::Null),
            _ => Ok(Node::number(text)),
        };
        node.unwrap_or_else(|_| Node::Text(text.to_owned()))
    }

    fn number(text: &str) -> Node {
        let is_whole = !text.contains(['.', 'e', 'E']);
        match (text.parse(), text.parse::<f64>()) {
            (Ok(whole), _) => Node::Whole(whole),
            (_, Ok(double)) if !is_whole && double.is_finite() => Node::Double(double),
            _ => Node::Text(text.to_owned()),
        }
    }
}

fn fields(document: &impl Serialize) -> serde_json::Result<Fields> {
    serde_json::from_str(&serde_json::to_string(document)?)
}

fn print_fields(fields: &Fields, out: &mut dyn Write) -> Result<()> {
    let width = fields.keys().map(|name| name.chars().count()).max().unwrap_or(0);
    for (name, value) in fields {
        match rows_of(value) {
            Some(rows) => {
                let columns: Vec<&str> =
                    rows.first().into_iter().flat_map(IndexMap::keys).map(String::as_str).collect();
                let indented = table_of(&rows, &columns).to_string().replace('\n', "\n  ");
                printed(writeln!(out, "{name}\n  {indented}"))?;
            }
            None => {
                let line = format!("{name:width$}  {}", plain(value));
                printed(writeln!(out, "{}", line.trim_end()))?;
            }
        }
    }
    Ok(())
}

/// A list of objects, if the value is one.
fn rows_of(value: &RawValue) -> Option<Vec<Fields>> {
    serde_json::from_str::<Vec<Fields>>(value.get()).ok().filter(|rows| !rows.is_empty())
}

fn table_of(rows: &[Fields], columns: &[&str]) -> comfy_table::Table {
    let is_number = |value: &RawValue| value.get().starts_with(|c: char| c == '-' || c.is_ascii_digit());
    let alignment = |column: &str| {
        let mut values = rows.iter().filter_map(|row| row.get(column)).filter(|value| value.get() != "null").peekable();
        let right = values.peek().is_some() && values.all(|value| is_number(value));
        if right { CellAlignment::Right } else { CellAlignment::Left }
    };
    let header: Vec<_> = columns.iter().map(|column| ((*column).to_owned(), alignment(column))).collect();
    let mut table = empty_table(&header);
    for row in rows {
        let text = |column: &&str| row.get(*column).map(|value| plain(value)).unwrap_or_default();
        table.add_row(columns.iter().map(|column| Cell::new(text(column))));
    }
    table
}

fn print_csv(rows: &[Fields], out: &mut dyn Write) -> Result<()> {
    let mut writer = csv::Writer::from_writer(out);
    if let Some(first) = rows.first() {
        printed(writer.write_record(first.keys()))?;
    }
    for row in rows {
        printed(writer.write_record(row.values().map(|value| bare(value))))?;
    }
    printed(writer.flush())
}

/// A text without its quotes, null as nothing, everything else as the JSON it is.
fn bare(value: &RawValue) -> String {
    match value.get() {
        "null" => String::new(),
        json => serde_json::from_str::<String>(json).unwrap_or_else(|_| json.to_owned()),
    }
}

fn plain(value: &RawValue) -> String {
    one_line(&bare(value))
}
