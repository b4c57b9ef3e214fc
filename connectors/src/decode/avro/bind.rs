//! A writer schema and the columns of a table into a program.
//!
//! Owns the evolution: [`bind`] adds the columns that the schema brings, and says what the table does not keep of it.
//! - I1: a column keeps its place and its name; what is added is nullable, at the end of its row.
//! - I2: a field goes into the column of its name, else of one of its aliases, else of one that had its name as an alias.
//! - I3: what tells nothing takes no byte and gets no column: null, a fixed of no bytes, a record of nothing else.

use std::collections::{HashMap, HashSet};

use arrow::datatypes::DataType;
use tableflow_model::types::{flink_name, list_of, map_of};
use tableflow_model::{Error, Result};

use super::program::{Branch, Entry, Field, Null, Program, Row, Step, Union};
use super::scalar::{Noted, Scalar};
use super::schema::{Form, Member, Named, Schema, Type, short};
use crate::decode::Learned;
use crate::decode::binary::binding::{Binding, DEPTH_MAX};
use crate::decode::columns::column::{Column, Values};
use crate::decode::columns::fields::Fields;
use crate::decode::columns::map::Map;

const NANOS_HINT: &str = "declare the column with microseconds (TIMESTAMP_LTZ(6) or TIMESTAMP(6)), which takes records \
                          with nothing beyond them, or write timestamp-micros";
const VALID_UNION: &str = "Avro's unions have each type once, and no union among them";

/// What earlier schemas told of the columns, by their whole names.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// Rows whose columns are the branches of a union.
    unions: HashSet<String>,
    /// The column that a name means, where it is no column itself.
    aliases: HashMap<String, String>,
}

/// The program of a schema, for these columns, which it may add to or widen. If it fails, they are of no use.
pub(super) fn bind(schema: &Schema, columns: &mut Fields, known: &mut Known) -> Result<(Program, Learned)> {
    let mut binder = Binder { schema, known, at: Binding::default(), telling: HashMap::new() };
    let program = binder.record(&schema.root, columns)?;
    Ok((program, binder.at.finish(columns)?))
}

/// A field that looks for its column.
struct Asked<'n> {
    name: &'n str,
    aliases: Vec<&'n str>,
    /// All fields of its record.
    siblings: &'n [&'n str],
}

struct Binder<'s> {
    schema: &'s Schema,
    known: &'s mut Known,
    at: Binding,
    /// What is known of definitions: whether they tell anything.
    telling: HashMap<&'s str, bool>,
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

    fn top_row(&mut self, avro: &'s Type, columns: &mut Fields) -> Result<Row> {
        let Type::Reference(reference) = avro else { return Err(self.no_record(&type_name(avro))) };
        let named = self.schema.named(reference)?;
        match &named.form {
            Form::Record(members) => self.row(named, members, columns),
            _ => Err(self.no_record(&named.full_name)),
        }
    }

    fn no_record(&self, what: &str) -> Error {
        Error::data(format!("the schema is {what}, not a record"))
            .with_hint("a row comes from a record: write records of an Avro record type")
    }

    fn row(&mut self, named: &'s Named, members: &'s [Member], columns: &mut Fields) -> Result<Row> {
        self.at.enter(format!("record {}", named.full_name))?;
        let mut fields = Vec::with_capacity(members.len());
        let siblings: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
        for member in members {
            let aliases = member.aliases.iter().map(String::as_str).collect();
            let asked = Asked { name: &member.name, aliases, siblings: &siblings };
            if let Some(field) = self.field(&asked, &member.member_type, columns)? {
                if fields.iter().any(|other: &Field| other.column == field.column) {
                    let what = format!("two fields of record {} are one column", named.full_name);
                    return Err(
                        Error::data(what).with_detail(format!("the second one is {}", flink_name(&member.name)))
                    );
                }
                fields.push(field);
            }
        }
        self.at.leave();
        let given: Vec<usize> = fields.iter().map(|field| field.column).collect();
        self.at.check_required(columns, &given)?;
        Ok(Row { fields })
    }

    /// A field of a row, or a branch of a union; one that tells nothing has no column (I3).
    fn field(&mut self, asked: &Asked<'_>, avro: &'s Type, columns: &mut Fields) -> Result<Option<Field>> {
        self.at.down(asked.name)?;
        if !self.tells(avro, 0)? {
            self.at.note("holds nothing, and gets no column");
            self.at.up();
            return Ok(None);
        }
        let index = match self.place(asked, columns) {
            Some(index) => index,
            None => self.add(asked.name, avro, columns)?,
        };
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
                Some((key, value)) => map_of(key.data_type().ok_or_else(lost)?, self.first_type(value)?, true),
                None => list_of(self.first_type(items)?, true),
            },
            Type::Map(values) => map_of(DataType::Utf8, self.first_type(values)?, true),
            Type::Union(branches) => match optional(branches) {
                Some((_, inner)) => self.first_type(inner)?,
                None => DataType::Struct(Default::default()),
            },
            other => match self.scalar(other)? {
                Some((scalar, _)) => scalar.data_type().ok_or_else(|| self.too_fine())?,
                None => DataType::Struct(Default::default()),
            },
        })
    }

    fn too_fine(&self) -> Error {
        Error::data(format!("{} counts nanoseconds, which need Iceberg format version 3", self.at.path()))
            .with_detail("tables are of format version 2, which has microseconds")
            .with_hint(NANOS_HINT)
    }

    fn scalar(&self, avro: &'s Type) -> Result<Option<Noted>> {
        let at = |error: Error| error.with_context("field", self.at.path());
        match avro {
            Type::Reference(reference) => Scalar::of_named(self.schema.named(reference)?).map_err(at),
            other => Scalar::of(other).map_err(at),
        }
    }

    /// How a value gets into its column.
    fn value(&mut self, avro: &'s Type, column: &mut Column) -> Result<Step> {
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
    fn check_tells(&mut self, avro: &'s Type) -> Result<()> {
        if self.tells(avro, 0)? {
            return Ok(());
        }
        Err(Error::data(format!("{} is {}, which holds nothing", self.at.path(), type_name(avro)))
            .with_hint("a table has no type for it: give it a field, or another type"))
    }

    fn union_value(&mut self, branches: &'s [Type], avro: &'s Type, column: &mut Column) -> Result<Step> {
        match optional(branches) {
            Some((null, inner)) => {
                self.check_tells(inner)?;
                Ok(Step::Optional(null, Box::new(self.value(inner, column)?)))
            }
            None => match &mut column.values {
                Values::Row(columns) => Ok(Step::Union(self.union(branches, columns)?)),
                _ => Err(self.at.unfit(column, &type_name(avro))),
            },
        }
    }

    /// The branches of a union, each into the column that has the name of its type.
    fn union(&mut self, branches: &'s [Type], columns: &mut Fields) -> Result<Union> {
        self.known.unions.insert(self.at.path());
        let names = self.branch_names(branches)?;
        let mut bound = Vec::with_capacity(branches.len());
        for (branch, name) in branches.iter().zip(&names) {
            bound.push(match branch {
                Type::Null => Branch::Null,
                _ => match self.field(&self.branch(name, branch)?, branch, columns)? {
                    Some(field) => Branch::Field(field),
                    None => Branch::Empty,
                },
            });
        }
        if !bound.iter().any(|branch| matches!(branch, Branch::Field(_))) {
            return Err(Error::data(format!("{} is a union that holds nothing", self.at.place()))
                .with_hint("a table has no type for it: give it a branch with a value"));
        }
        self.at.note("is a union: a row with a field for each of its types");
        self.at.check_required(columns, &[])?;
        Ok(Union { branches: bound })
    }

    /// The names of the branches: of the types, whole where two differ by namespace alone.
    fn branch_names(&self, branches: &'s [Type]) -> Result<Vec<String>> {
        let whole: Vec<String> = branches.iter().map(|branch| self.branch_name(branch)).collect::<Result<_>>()?;
        if let Some(twice) =
            whole.iter().enumerate().find(|(index, name)| whole.iter().take(*index).any(|n| n == *name))
        {
            return Err(Error::data(format!("{} is a union that has {} twice", self.at.place(), twice.1))
                .with_hint(VALID_UNION));
        }
        let alike = |name: &str| whole.iter().filter(|other| short(other) == short(name)).count();
        Ok(whole.iter().map(|name| if alike(name) > 1 { name.clone() } else { short(name).to_owned() }).collect())
    }

    fn branch_name(&self, branch: &'s Type) -> Result<String> {
        match branch {
            Type::Reference(reference) => Ok(self.schema.named(reference)?.full_name.clone()),
            Type::Union(_) => {
                Err(Error::data(format!("{} is a union right inside of a union", self.at.place()))
                    .with_hint(VALID_UNION))
            }
            other => Ok(type_name(other)),
        }
    }

    fn branch<'n>(&self, name: &'n str, branch: &'s Type) -> Result<Asked<'n>>
    where
        's: 'n,
    {
        Ok(Asked { name, aliases: self.branch_aliases(branch)?, siblings: &[] })
    }

    fn branch_aliases(&self, branch: &'s Type) -> Result<Vec<&'s str>> {
        let Type::Reference(reference) = branch else { return Ok(Vec::new()) };
        Ok(self.schema.named(reference)?.aliases.iter().map(|alias| short(alias)).collect())
    }

    /// A value that is no union for a column that another schema made of one.
    fn branch_of_union(&mut self, avro: &'s Type, column: &mut Column) -> Result<Option<Step>> {
        if matches!(avro, Type::Union(_)) || !self.known.unions.contains(&self.at.path()) {
            return Ok(None);
        }
        let Values::Row(columns) = &mut column.values else { return Ok(None) };
        let name = short(&self.branch_name(avro)?).to_owned();
        let field =
            self.field(&Asked { name: &name, aliases: self.branch_aliases(avro)?, siblings: &[] }, avro, columns)?;
        Ok(field.map(|field| Step::Branch(Box::new(field))))
    }

    fn scalar_value(&mut self, avro: &'s Type, column: &mut Column) -> Result<Step> {
        let Some((scalar, note)) = self.scalar(avro)? else { return Err(self.at.unfit(column, &type_name(avro))) };
        self.at.scalar(scalar.fits(&column.data_type()), column, &type_name(avro))?;
        if let Some(words) = note {
            self.at.note(words);
        }
        Ok(Step::Scalar(scalar))
    }

    /// Whether values of a type say anything (I3).
    fn tells(&mut self, avro: &'s Type, depth: usize) -> Result<bool> {
        let Type::Reference(reference) = avro else { return Ok(!matches!(avro, Type::Null)) };
        let named = self.schema.named(reference)?;
        let members = match &named.form {
            Form::Fixed { size, .. } => return Ok(*size > 0),
            Form::Enum(_) => return Ok(true),
            Form::Record(members) => members,
        };
        if let Some(known) = self.telling.get(named.full_name.as_str()) {
            return Ok(*known);
        }
        // One that contains itself, or is too deep, is refused where it is bound.
        if depth > DEPTH_MAX {
            return Ok(true);
        }
        self.telling.insert(&named.full_name, true);
        let mut tells = false;
        for member in members {
            tells = tells || self.tells(&member.member_type, depth + 1)?;
        }
        self.telling.insert(&named.full_name, tells);
        Ok(tells)
    }
}

/// The one type of a union beside null, and which branch null is.
fn optional(branches: &[Type]) -> Option<(Null, &Type)> {
    let (tag, inner) = match branches {
        [inner] => (1, inner),
        [Type::Null, inner] => (0, inner),
        [inner, Type::Null] => (1, inner),
        _ => return None,
    };
    // A union right inside of a union is none of Avro's.
    let valid = !matches!(inner, Type::Null | Type::Union(_));
    valid.then_some((Null { tag, branches: branches.len() as i64 }, inner))
}

fn lost() -> Error {
    Error::internal("a column of a schema is not there, or of a type that nothing fills")
}

/// A type as a message names it, and its branch of a union.
fn type_name(avro: &Type) -> String {
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
