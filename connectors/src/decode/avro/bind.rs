//! A writer schema and the columns of a table into a program.
//!
//! Owns the evolution: [`bind`] adds the columns that the schema brings, and says what the table does not keep of it.
//! - I1: a column keeps its place and its name; what is added is nullable, at the end of its row.
//! - I2: a field goes into the column of its name, else of one of its aliases, else of one that had its name as an
//!   alias.
//! - I3: a field that the table reads past gets no column, and finds none.
//! - I4: what tells nothing takes no byte and gets no column: null, a fixed of no bytes, a record of nothing else.

use std::collections::{HashMap, HashSet};

use arrow::datatypes::DataType;
use tableflow_model::types::{flink_name, list_of, map_of};
use tableflow_model::{Error, Result};

use super::program::{Chosen, Entry, Field, NO_COLUMN, Past, Program, Row, Step};
use super::scalar::{Noted, Scalar};
use super::schema::{Form, Member, Named, Schema, Type, branch_records};
use super::telling::Telling;
use super::union::optional;
use crate::decode::binary::binding::Binding;
use crate::decode::columns::column::{Column, Values};
use crate::decode::columns::fields::Fields;
use crate::decode::columns::map::Map;
use crate::decode::{Learned, Passing, SchemaFault};

/// What earlier schemas told of the columns, by their whole names.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// Rows whose columns are the branches of a union.
    pub unions: HashSet<String>,
    /// The column that a name means, where it is no column itself.
    aliases: HashMap<String, String>,
}

/// What of a record is a row.
#[derive(Clone, Debug, Default)]
pub(super) enum Rows {
    /// All of it.
    #[default]
    Records,
    /// The one of this full name, where schemas are unions of several.
    OfType(String),
    /// What is behind a change, in an envelope, which may be asked what it says of the change.
    Changed { tells: bool },
}

/// The program of a schema, for these columns, which it may add to or widen. If it fails, they are of no use.
pub(super) fn bind(
    schema: &Schema,
    rows: &Rows,
    passing: Option<&Passing>,
    columns: &mut Fields,
    known: &mut Known,
) -> Result<(Program, Learned)> {
    let mut binder = Binder { schema, known, at: Binding::but(passing), telling: Telling::default() };
    let program = match (&schema.root, rows) {
        (Type::Union(branches), Rows::OfType(name)) => binder.chosen(branches, name, columns)?,
        (root, Rows::Changed { tells }) => Program::Change(binder.change(root, *tells, columns)?),
        (root, _) => binder.record(root, columns)?,
    };
    Ok((program, binder.at.finish(columns)?))
}

/// A field that looks for its column.
pub(super) struct Asked<'n> {
    pub name: &'n str,
    pub aliases: Vec<&'n str>,
    /// All fields of its record.
    pub siblings: &'n [&'n str],
}

pub(super) struct Binder<'s> {
    pub schema: &'s Schema,
    pub known: &'s mut Known,
    pub at: Binding,
    telling: Telling<'s>,
}

impl<'s> Binder<'s> {
    /// The whole record.
    fn record(&mut self, avro: &'s Type, columns: &mut Fields) -> Result<Program> {
        match avro {
            Type::Union(branches) => match optional(branches) {
                Some((null, inner)) => Ok(Program::Optional(null, self.top_row(inner, columns)?)),
                None => Ok(Program::Union(self.union(branches, columns)?)),
            },
            other => Ok(Program::Row(self.top_row(other, columns)?)),
        }
    }

    /// The branch that is a record of this name.
    fn chosen(&mut self, branches: &'s [Type], name: &str, columns: &mut Fields) -> Result<Program> {
        let names = branch_records(self.schema, branches)?;
        let found = names.iter().position(|known| *known == Some(name));
        let Some((tag, branch)) = found.and_then(|tag| Some((tag, branches.get(tag)?))) else {
            return Err(self
                .at
                .fault(SchemaFault::NotARecord, format!("the schema is a union without record {name}"))
                .with_hint("write the record with a schema that has its type"));
        };
        let chosen = Chosen { tag: tag as i64, branches: branches.len() as i64 };
        Ok(Program::Chosen(chosen, self.top_row(branch, columns)?))
    }

    fn top_row(&mut self, avro: &'s Type, columns: &mut Fields) -> Result<Row> {
        let (named, members) = self.top_record(avro)?;
        self.row(named, members, columns)
    }

    pub fn top_record(&self, avro: &'s Type) -> Result<(&'s Named, &'s [Member])> {
        let Type::Reference(reference) = avro else { return Err(self.no_record(&type_name(avro))) };
        let named = self.schema.named(reference)?;
        match &named.form {
            Form::Record(members) => Ok((named, members)),
            _ => Err(self.no_record(&named.full_name)),
        }
    }

    fn no_record(&self, what: &str) -> Error {
        self.at
            .fault(SchemaFault::NotARecord, format!("the schema is {what}, not a record"))
            .with_hint("a row comes from a record: write records of an Avro record type")
    }

    pub fn row(&mut self, named: &'s Named, members: &'s [Member], columns: &mut Fields) -> Result<Row> {
        self.at.enter(format!("record {}", named.full_name))?;
        let mut fields = Vec::with_capacity(members.len());
        let siblings: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
        for member in members {
            let aliases = member.aliases.iter().map(String::as_str).collect();
            let asked = Asked { name: &member.name, aliases, siblings: &siblings };
            if let Some(field) = self.field(&asked, &member.member_type, columns)? {
                if fields.iter().any(|other: &Field| other.column == field.column && other.column != NO_COLUMN) {
                    let what = format!("two fields of record {} are one column", named.full_name);
                    let error = SchemaFault::NameCollision.at(&self.at.inside(&member.name), Error::data(what));
                    return Err(error.with_detail(format!("the second one is {}", flink_name(&member.name))));
                }
                fields.push(field);
            }
        }
        self.at.leave();
        let given: Vec<usize> = fields.iter().map(|field| field.column).collect();
        self.at.check_required(columns, &given)?;
        Ok(Row { fields })
    }

    /// A field of a row, or a branch of a union; one that tells nothing has no column (I4).
    pub fn field(&mut self, asked: &Asked<'_>, avro: &'s Type, columns: &mut Fields) -> Result<Option<Field>> {
        self.at.down(asked.name)?;
        if !self.telling.of(avro, self.schema)? {
            self.at.note("holds nothing, and gets no column");
            self.at.up();
            return Ok(None);
        }
        if self.at.is_passed() {
            let step = Step::Past(self.past(avro)?);
            self.at.up();
            return Ok(Some(Field { name: asked.name.into(), column: NO_COLUMN, step }));
        }
        let index = match self.place(asked, columns) {
            Some(index) => index,
            None => self.add(asked.name, avro, columns)?,
        };
        self.at.fills();
        let Some(column) = columns.column(index) else { return Err(lost()) };
        let step = self.value(avro, column)?;
        self.at.up();
        Ok(Some(Field { name: asked.name.into(), column: index, step }))
    }

    /// The column that a field goes into (I2). The path ends with that column's name from then on.
    fn place(&mut self, asked: &Asked<'_>, columns: &Fields) -> Option<usize> {
        let Asked { name, aliases, siblings } = asked;
        let asked = self.at.path();
        let meant = self.known.aliases.get(&asked).map(String::as_str);
        let others = aliases.iter().copied().chain(meant).filter(|other| !siblings.contains(other));
        let mut names = std::iter::once(*name).chain(others);
        let found = names.find_map(|name| columns.index_of(name).map(|index| (name.to_owned(), index)));
        let column = found.as_ref().map_or((*name).to_owned(), |(column, _)| column.clone());
        if column != *name {
            self.known.aliases.insert(asked, column.clone());
            self.at.goes_into(&column);
        }
        for alias in aliases.iter().filter(|alias| **alias != column && !siblings.contains(alias)) {
            self.known.aliases.insert(self.at.beside(alias), column.clone());
        }
        found.map(|(_, index)| index)
    }

    /// How a value is read past (I3).
    pub fn past(&mut self, avro: &'s Type) -> Result<Past> {
        Ok(match avro {
            Type::Null => Past::Fixed(0),
            Type::Boolean => Past::Fixed(1),
            Type::Int(_) | Type::Long(_) => Past::Number,
            Type::Float(_) => Past::Fixed(4),
            Type::Double(_) => Past::Fixed(8),
            Type::Bytes(_) | Type::Text(_) => Past::Run,
            Type::Array(items) => {
                self.at.down("element")?;
                self.check_tells(items)?;
                let item = Box::new(self.past(items)?);
                self.at.up();
                Past::List(item)
            }
            Type::Map(values) => Past::Map(Box::new(self.past_inside("value", values)?)),
            Type::Union(branches) => {
                Past::Union(branches.iter().map(|branch| self.past_inside("", branch)).collect::<Result<_>>()?)
            }
            Type::Reference(reference) => {
                let named = self.schema.named(reference)?;
                match &named.form {
                    Form::Fixed { size, .. } => Past::Fixed(*size),
                    Form::Enum(_) => Past::Number,
                    Form::Record(members) => {
                        self.at.enter(format!("record {}", named.full_name))?;
                        let fields = members.iter().map(|it| self.past_inside(&it.name, &it.member_type));
                        let fields = fields.collect::<Result<_>>()?;
                        self.at.leave();
                        Past::Row(fields)
                    }
                }
            }
        })
    }

    pub fn past_inside(&mut self, name: &str, avro: &'s Type) -> Result<Past> {
        self.at.down(name)?;
        let past = self.past(avro)?;
        self.at.up();
        Ok(past)
    }

    fn add(&mut self, name: &str, avro: &'s Type, columns: &mut Fields) -> Result<usize> {
        self.at.check_new(columns)?;
        let data_type = self.first_type(avro)?;
        let column = Column::new(&data_type, true, false).ok_or_else(lost)?;
        Ok(columns.add(name, column))
    }

    /// The type that a column begins with: rows still without columns, which the binding adds.
    fn first_type(&self, avro: &'s Type) -> Result<DataType> {
        Ok(match avro {
            Type::Array(items) => match self.entry(items)? {
                Some((key, value)) => map_of(key.data_type(), self.first_type(value)?, true),
                None => list_of(self.first_type(items)?, true),
            },
            Type::Map(values) => map_of(DataType::Utf8, self.first_type(values)?, true),
            Type::Union(branches) => match optional(branches) {
                Some((_, inner)) => self.first_type(inner)?,
                None => DataType::Struct(Default::default()),
            },
            other => match self.scalar(other)? {
                Some((scalar, _)) => scalar.data_type(),
                None => DataType::Struct(Default::default()),
            },
        })
    }

    fn scalar(&self, avro: &'s Type) -> Result<Option<Noted>> {
        let at = |error: Error| error.with_context(SchemaFault::PLACE, self.at.path());
        match avro {
            Type::Reference(reference) => Scalar::of_named(self.schema.named(reference)?).map_err(at),
            other => Scalar::of(other).map_err(at),
        }
    }

    /// How a value gets into its column.
    pub fn value(&mut self, avro: &'s Type, column: &mut Column) -> Result<Step> {
        if let Some(step) = self.branch_of_union(avro, column)? {
            return Ok(step);
        }
        match avro {
            Type::Union(branches) => self.union_value(branches, avro, column),
            Type::Array(items) => match (&mut column.values, self.entry(items)?) {
                (Values::List(list), _) => Ok(Step::List(Box::new(self.inner("element", items, &mut list.element)?))),
                (Values::Map(map), Some((key, value))) => self.map(key, value, map),
                _ => Err(self.at.unfit(column, &type_name(avro))),
            },
            Type::Map(values) => match &mut column.values {
                Values::Map(map) => self.map(Scalar::Text, values, map),
                _ => Err(self.at.unfit(column, &type_name(avro))),
            },
            Type::Reference(reference) => {
                let named = self.schema.named(reference)?;
                match (&named.form, &mut column.values) {
                    (Form::Record(members), Values::Row(columns)) => Ok(Step::Row(self.row(named, members, columns)?)),
                    _ => self.scalar_value(avro, column),
                }
            }
            _ => self.scalar_value(avro, column),
        }
    }

    fn map(&mut self, key: Scalar, value: &'s Type, map: &mut Map) -> Result<Step> {
        self.at.down("key")?;
        self.at.key(key.fits(&map.keys.column().data_type()), map, "other keys")?;
        self.at.up();
        Ok(Step::Map(Box::new(Entry { key, value: self.inner("value", value, &mut map.value)? })))
    }

    /// Key and value of a map, if the items of an array are its entries.
    fn entry(&self, items: &'s Type) -> Result<Option<(Scalar, &'s Type)>> {
        let Type::Reference(reference) = items else { return Ok(None) };
        let named = self.schema.named(reference)?;
        let Form::Record(members) = &named.form else { return Ok(None) };
        match members.as_slice() {
            [key, value] if named.is_entry && key.name == "key" && value.name == "value" => {
                let scalar = self.scalar(&key.member_type)?.map(|(scalar, _)| scalar);
                let scalar =
                    scalar.filter(|key| matches!(key, Scalar::Boolean | Scalar::Int | Scalar::Long | Scalar::Text));
                Ok(scalar.map(|key| (key, &value.member_type)))
            }
            _ => Ok(None),
        }
    }

    /// An element of a list or a value of a map.
    fn inner(&mut self, name: &str, avro: &'s Type, column: &mut Column) -> Result<Step> {
        self.at.down(name)?;
        self.check_tells(avro)?;
        let step = self.value(avro, column)?;
        self.at.up();
        Ok(step)
    }

    /// Only a field of a record can do without a column.
    pub fn check_tells(&mut self, avro: &'s Type) -> Result<()> {
        if self.telling.of(avro, self.schema)? {
            return Ok(());
        }
        let what = format!("{} is {}, which holds nothing", self.at.path(), type_name(avro));
        Err(self
            .at
            .fault(SchemaFault::EmptyStruct, what)
            .with_hint("a table has no type for it: give it a field, or another type"))
    }

    fn scalar_value(&mut self, avro: &'s Type, column: &mut Column) -> Result<Step> {
        let Some((scalar, note)) = self.scalar(avro)? else { return Err(self.at.unfit(column, &type_name(avro))) };
        self.at.scalar(scalar.fits(&column.data_type()), column, &type_name(avro))?;
        if let Some(words) = note.filter(|_| !scalar.keeps_nanoseconds_in(&column.data_type())) {
            self.at.note(words);
        }
        Ok(Step::Scalar(scalar))
    }
}

fn lost() -> Error {
    Error::internal("a column of a schema is not there, or of a type that nothing fills")
}

/// A type as a message names it, and its branch of a union.
pub(super) fn type_name(avro: &Type) -> String {
    match avro {
        Type::Null => "null",
        Type::Boolean => "boolean",
        Type::Int(_) => "int",
        Type::Long(_) => "long",
        Type::Float(_) => "float",
        Type::Double(_) => "double",
        Type::Bytes(_) => "bytes",
        Type::Text(_) => "string",
        Type::Array(_) => "array",
        Type::Map(_) => "map",
        Type::Union(_) => "union",
        Type::Reference(reference) => return reference.name().to_owned(),
    }
    .to_owned()
}
