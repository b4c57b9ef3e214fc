//! A JSON Schema into columns that are declared before a record comes.
//!
//! Owns [`bind`].
//!
//! ```text
//!  document   the text and those that it refers to; what a place of them says
//! ```
//!
//! - I1: a column keeps its type or becomes wider; a new one is nullable, at the end of its row. One that is NOT NULL
//!   becomes nullable where the schema lets it be null, or left out.
//! - I2: what has no type of its own, values of several types or of any, is STRING and takes the JSON text.
//! - I3: a schema only adds: what it does not name is found by the records, as without a schema.
//! - I4: of the schema of an envelope the row behind the change is bound, and nothing else.

mod document;

use arrow::datatypes::{DataType, TimeUnit};
use tableflow_model::types::{UTC, flink_type, list_of, map_of};
use tableflow_model::{Error, Result};

use self::document::{Document, Node, Property, Type};
use crate::decode::binary::binding::Binding;
use crate::decode::columns::column::{Column, Taking, Values};
use crate::decode::columns::fields::Fields;
use crate::decode::envelope::AFTER;
use crate::decode::json::Envelope;
use crate::decode::{Learned, Passing, SchemaFault};
use crate::registry::ResolvedSchema;

/// Adds the columns of a schema; where that is of no object, and bare values are fields of this name, that one's. If it
/// fails, they are of no use.
pub(super) fn bind(
    schema: &ResolvedSchema,
    (envelope, bare_field): (Option<Envelope>, Option<&str>),
    passing: Option<&Passing>,
    columns: &mut Fields,
) -> Result<Learned> {
    let document = Document::parse(schema)?;
    let mut binder = Binder { document: &document, at: Binding::but(passing) };
    let mut root = document.root();
    if envelope == Some(Envelope::Change) {
        match after(&document)? {
            Some(node) => root = node,
            None => return binder.at.finish(columns),
        }
    }
    match (document.type_of(root)?, bare_field) {
        (Type::Row(members), _) => binder.row(members, columns)?,
        (Type::Scalar(_) | Type::List(_), Some(name)) => {
            binder.row(vec![Property { name, node: root, required: true }], columns)?;
        }
        (Type::Map(_) | Type::Any(_), _) => binder.at.note("names no fields: columns come from the records"),
        _ => {
            return Err(SchemaFault::NotARecord
                .of(Error::data("the schema is not of an object"))
                .with_hint("a row comes from a JSON object: write records of an object type"));
        }
    }
    binder.at.finish(columns)
}

/// The row behind a change (I4); nothing where the schema names none, and its records say what they are.
fn after(document: &Document) -> Result<Option<Node<'_>>> {
    Ok(match document.type_of(document.root())? {
        Type::Row(members) => members.into_iter().find(|member| member.name == AFTER).map(|member| member.node),
        _ => None,
    })
}

struct Binder<'s> {
    document: &'s Document,
    at: Binding,
}

impl<'s> Binder<'s> {
    fn row(&mut self, members: Vec<Property<'s>>, columns: &mut Fields) -> Result<()> {
        let mut given = Vec::with_capacity(members.len());
        for Property { name, node, required } in members {
            self.at.down(name)?;
            if self.at.is_passed() {
                self.at.up();
                continue;
            }
            let index = match columns.index_of(name) {
                Some(index) => index,
                None => self.add(name, node, columns)?,
            };
            self.at.fills();
            given.push(index);
            let column = columns.column(index).ok_or_else(lost)?;
            if !required || self.document.may_be_null(node)? {
                self.at.may_lack(column);
            }
            self.value(node, column)?;
            self.at.up();
        }
        self.at.may_lack_others(columns, &given);
        Ok(())
    }

    fn add(&mut self, name: &str, node: Node<'s>, columns: &mut Fields) -> Result<usize> {
        self.at.check_new(columns)?;
        let data_type = self.first_type(node, 0)?;
        Ok(columns.add(name, Column::new(&data_type, true, false).ok_or_else(lost)?))
    }

    /// The type that a column begins with: rows still without columns, which the binding adds.
    fn first_type(&self, node: Node<'s>, depth: usize) -> Result<DataType> {
        if depth > DEPTH_MAX {
            let what = format!("{} is nested without an end", self.at.path());
            return Err(self
                .at
                .fault(SchemaFault::CyclicType, what)
                .with_hint("a table has no type for values that may be of any depth"));
        }
        Ok(match self.document.type_of(node)? {
            Type::Scalar(data_type) => data_type,
            Type::Any(_) => DataType::Utf8,
            Type::List(items) => list_of(self.first_type(items, depth + 1)?, true),
            Type::Map(values) => map_of(DataType::Utf8, self.first_type(values, depth + 1)?, true),
            Type::Row(_) => DataType::Struct(Default::default()),
        })
    }

    fn value(&mut self, node: Node<'s>, column: &mut Column) -> Result<()> {
        let known = self.document.definition(node);
        if let Some(definition) = &known {
            self.at.enter(format!("definition {definition}"))?;
        }
        match (self.document.type_of(node)?, &mut column.values) {
            (Type::Row(members), Values::Row(columns)) => self.row(members, columns)?,
            (Type::List(items), Values::List(list)) => self.inner("element", items, &mut list.element)?,
            (Type::Map(values), Values::Map(map)) => self.inner("value", values, &mut map.value)?,
            (Type::Any(words), Values::Text(texts)) => {
                texts.declared = true;
                self.at.scalar(Taking::Takes, column, "")?;
                self.at.note(words);
            }
            (Type::Scalar(data_type), _) => {
                let name = flink_type(&data_type);
                self.at.scalar(fits(&data_type, column), column, &name)?;
            }
            (other, _) => return Err(self.at.unfit(column, other.name())),
        }
        if known.is_some() {
            self.at.leave();
        }
        Ok(())
    }

    fn inner(&mut self, name: &str, node: Node<'s>, column: &mut Column) -> Result<()> {
        self.at.down(name)?;
        if self.document.may_be_null(node)? {
            self.at.may_lack(column);
        }
        self.value(node, column)?;
        self.at.up();
        Ok(())
    }
}

/// As deep as the reader of records goes.
const DEPTH_MAX: usize = 127;

/// Whether a column takes every value of a type, as JSON writes it.
fn fits(data_type: &DataType, column: &Column) -> Taking {
    use DataType::{Decimal128, Float32, Float64, Int32, Int64, Utf8};
    let held = column.data_type();
    match (data_type, &held) {
        (wanted, held) if wanted == held => Taking::Takes,
        (_, Utf8) if matches!(&column.values, Values::Text(texts) if texts.declared) => Taking::Takes,
        (Int32, Int64 | Float64) | (Float32, Float64) | (Int64, Float64) => Taking::Takes,
        (Int64, Int32) | (Float64, Float32) => Taking::Widened(data_type.clone()),
        (Decimal128(precision, scale), Decimal128(kept, kept_scale)) if scale == kept_scale => {
            if precision <= kept {
                Taking::Takes
            } else {
                Taking::Widened(data_type.clone())
            }
        }
        _ => Taking::Never,
    }
}

fn lost() -> Error {
    Error::internal("a column of a schema is not there, or of a type that nothing fills")
}

fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into()))
}
