//! Files that carry no field ids: other engines take such files into a table as they are.
//!
//! Owns [`NamesOfIds`]: the ids that the columns of such a file have by their names.
//! - I1: the table's name mapping decides. Without one a name is the table's column of that name, as long as no name
//!   ever meant another column; after that such a file is refused, since nothing says which of them it has.
//! - I2: two columns of a file are never one of the table.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema as ArrowSchema};
use iceberg::spec::{
    DEFAULT_SCHEMA_NAME_MAPPING, MappedField, NameMapping, NestedField, NestedFieldRef, SchemaRef, TableMetadata, Type,
};
use parquet::arrow::PARQUET_FIELD_ID_META_KEY;
use tableflow_model::{Error, Result};

use super::shape::field_id;

/// How the names of a file without ids are to be understood (I1).
#[derive(Debug)]
pub enum NamesOfIds {
    Current(SchemaRef),
    Mapped(NameMapping),
    /// The column whose name meant another one.
    Unknown(String),
    Unreadable(String),
}

impl NamesOfIds {
    pub fn of(table: &TableMetadata, schema: &SchemaRef) -> Self {
        match table.properties().get(DEFAULT_SCHEMA_NAME_MAPPING) {
            Some(json) => match serde_json::from_str(json) {
                Ok(mapping) => NamesOfIds::Mapped(mapping),
                Err(error) => NamesOfIds::Unreadable(error.to_string()),
            },
            None => match name_of_several(table) {
                Some(name) => NamesOfIds::Unknown(name),
                None => NamesOfIds::Current(schema.clone()),
            },
        }
    }

    /// Whether a file whose names and types are the table's may have other columns all the same.
    pub fn may_mislead(&self) -> bool {
        !matches!(self, NamesOfIds::Current(_))
    }

    /// The file's columns with the ids that they have by their names.
    pub fn give_ids(&self, file: &ArrowSchema) -> Result<ArrowSchema> {
        let fields = match self {
            NamesOfIds::Mapped(mapping) => with_ids(file.fields(), mapping.fields())?,
            NamesOfIds::Current(schema) => with_ids(file.fields(), &mapped_fields(schema.as_struct().fields()))?,
            NamesOfIds::Unknown(name) => {
                return Err(Error::usage(format!("a file has no field ids, and {name} has been the name of several columns"))
                    .with_hint("say in the table's property schema.name-mapping.default which column each name is, or rewrite the table with the engine that took the file in"));
            }
            NamesOfIds::Unreadable(why) => {
                return Err(
                    Error::data("the table's property schema.name-mapping.default cannot be read").with_detail(why)
                );
            }
        };
        Ok(ArrowSchema::new(fields))
    }
}

/// Does any of them carry an id, at any depth?
pub fn have_ids(fields: &Fields) -> bool {
    fields.iter().any(|field| {
        field_id(field).is_some()
            || match field.data_type() {
                DataType::Struct(fields) => have_ids(fields),
                DataType::List(child) | DataType::LargeList(child) | DataType::Map(child, _) => {
                    have_ids(&Fields::from(vec![child.clone()]))
                }
                _ => false,
            }
    })
}

/// A column or field whose name meant another one in some schema of the table, or that had another name there.
fn name_of_several(table: &TableMetadata) -> Option<String> {
    let mut ids: HashMap<&str, i32> = HashMap::new();
    let mut names: HashMap<i32, &str> = HashMap::new();
    for schema in table.schemas_iter() {
        for (id, name) in schema.field_id_to_name_map() {
            if *ids.entry(name).or_insert(*id) != *id || *names.entry(*id).or_insert(name) != name {
                return Some(name.clone());
            }
        }
    }
    None
}

fn mapped_fields(fields: &[NestedFieldRef]) -> Vec<MappedField> {
    fields.iter().map(|field| mapped(field)).collect()
}

fn mapped(field: &NestedField) -> MappedField {
    let inside = match field.field_type.as_ref() {
        Type::Struct(fields) => mapped_fields(fields.fields()),
        Type::List(list) => vec![mapped(&list.element_field)],
        Type::Map(map) => vec![mapped(&map.key_field), mapped(&map.value_field)],
        Type::Primitive(_) => Vec::new(),
    };
    MappedField::new(Some(field.id), vec![field.name.clone()], inside)
}

fn find<'a, M: Borrow<MappedField>>(mapped: &'a [M], name: &str) -> Option<&'a MappedField> {
    mapped.iter().map(Borrow::borrow).find(|field| field.names().iter().any(|known| known == name))
}

/// I2.
fn with_ids<M: Borrow<MappedField>>(fields: &Fields, mapped: &[M]) -> Result<Fields> {
    let mut taken: HashMap<i32, &str> = HashMap::new();
    let mut with_ids = Vec::with_capacity(fields.len());
    for field in fields {
        let mapped = find(mapped, field.name());
        let before = mapped.and_then(MappedField::field_id).and_then(|id| taken.insert(id, field.name()));
        if let Some(before) = before {
            return Err(Error::usage(format!(
                "a file has no field ids, and its {before} and {} are both one column",
                field.name()
            ))
            .with_detail("the table's property schema.name-mapping.default says so")
            .with_hint("say there which of them it is, or rewrite the table with the engine that took the file in"));
        }
        with_ids.push(Arc::new(with_id(field, mapped)?));
    }
    Ok(with_ids.into())
}

fn with_id(field: &Field, mapped: Option<&MappedField>) -> Result<Field> {
    let inside = mapped.map_or(&[][..], MappedField::fields);
    let child = |child: &FieldRef, name: &str| with_id(child, find(inside, name)).map(Arc::new);
    let data_type = match field.data_type() {
        DataType::Struct(fields) => DataType::Struct(with_ids(fields, inside)?),
        DataType::List(element) => DataType::List(child(element, "element")?),
        DataType::LargeList(element) => DataType::LargeList(child(element, "element")?),
        DataType::Map(entries, sorted) => match entries.data_type() {
            DataType::Struct(pair) => {
                let pair = pair.iter().zip(["key", "value"]).map(|(field, name)| child(field, name));
                let pair = DataType::Struct(pair.collect::<Result<_>>()?);
                let entries = entries.as_ref().clone().with_data_type(pair);
                DataType::Map(Arc::new(entries), *sorted)
            }
            _ => field.data_type().clone(),
        },
        plain => plain.clone(),
    };
    let id = mapped.and_then(MappedField::field_id);
    let metadata = id.map(|id| (PARQUET_FIELD_ID_META_KEY.to_owned(), id.to_string()));
    Ok(field.clone().with_data_type(data_type).with_metadata(metadata.into_iter().collect()))
}
