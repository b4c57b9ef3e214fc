//! The columns of a table: Arrow fields to Iceberg fields with stable ids, and additive evolution.
//!
//! - I1: a field's id never changes, and no id is given twice: fresh ids start after the table's last one.
//! - I2: evolution only adds optional fields, at the end of the table or of a struct, and makes fields wider or
//!   optional; anything else is refused. What identifies rows stays required.
//! - I3: every Arrow type the decoders produce has exactly one Iceberg type in format version 2.
//!
//! Neighbours: decoders grow their Arrow schema, `write` conforms batches to [`arrow_schema`], `commit`
//! publishes the evolved schema together with the first snapshot that needs it.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema as ArrowSchema, SchemaRef as ArrowSchemaRef, TimeUnit};
use iceberg::spec::{ListType, MapType, NestedField, NestedFieldRef, PrimitiveType, Schema, StructType, Type};
use tableflow_model::{Error, Result};

use super::versions::VersionIds;
use crate::iceberg_error;

/// A schema with more fields than before, and the highest id it uses.
#[derive(Clone, Debug)]
pub struct Evolution {
    pub schema: Schema,
    pub last_column_id: i32,
}

/// The schema of a table to be made.
pub fn new_schema(columns: &Fields) -> Result<Schema> {
    let mut ids = FreshIds { last: 0, identifying: BTreeSet::new() };
    let fields = ids.fields(columns, "")?;
    Schema::builder().with_schema_id(0).with_fields(fields).build().map_err(iceberg_error("the columns make no table"))
}

/// The table's schema with every column of `columns` that it lacks, each at least as wide as there and as free to be
/// null, or `None` when it is so already (I2).
pub fn evolve(current: &Schema, last_column_id: i32, columns: &Fields) -> Result<Option<Evolution>> {
    let mut ids = FreshIds { last: last_column_id, identifying: identifying(current) };
    let fields = ids.merge(current.as_struct().fields(), columns, "")?;
    if fields == current.as_struct().fields() {
        return Ok(None);
    }
    let schema = Schema::builder()
        .with_schema_id(current.schema_id())
        .with_identifier_field_ids(current.identifier_field_ids())
        .with_fields(fields)
        .build()
        .map_err(iceberg_error("the new columns do not fit the table"))?;
    Ok(Some(Evolution { schema, last_column_id: ids.last }))
}

/// The schema of a table whose rows are identified by these columns, which are not null then.
pub fn identified_by(schema: Schema, names: &[String]) -> Result<Schema> {
    let mut ids = Vec::with_capacity(names.len());
    for name in names {
        let field = schema.as_struct().fields().iter().find(|field| field.name == *name);
        let field = field.ok_or_else(|| {
            Error::usage(format!("there is no column {name} for rows to be identified by"))
                .with_hint("columns are what the records have, or what --columns and --key-columns declare")
        })?;
        let can_be = matches!(&*field.field_type, Type::Primitive(of) if !matches!(of, PrimitiveType::Float | PrimitiveType::Double));
        if !can_be {
            return Err(Error::usage(format!("rows cannot be identified by column {name}"))
                .with_detail("two keys have to be the same or not: fractions in floating point are not, nor are rows, lists and maps")
                .with_hint("name other columns with --key, or declare another type with --columns"));
        }
        ids.push(field.id);
    }
    let fields = schema.as_struct().fields().iter().map(|field| match ids.contains(&field.id) {
        true => Arc::new(NestedField { required: true, ..field.as_ref().clone() }),
        false => field.clone(),
    });
    let identified = Schema::builder().with_schema_id(schema.schema_id()).with_fields(fields.collect::<Vec<_>>());
    identified.with_identifier_field_ids(ids).build().map_err(iceberg_error("the columns of the key make no table"))
}

/// The schema of a table whose rows nothing identifies. Columns that did may be null, but for these.
pub fn unidentified(schema: Schema, required: &[String]) -> Result<Schema> {
    let ids = key_ids(&schema);
    let fields = schema.as_struct().fields().iter().map(|field| {
        match ids.contains(&field.id) && !required.contains(&field.name) {
            true => Arc::new(NestedField { required: false, ..field.as_ref().clone() }),
            false => field.clone(),
        }
    });
    let plain = Schema::builder().with_schema_id(schema.schema_id()).with_fields(fields.collect::<Vec<_>>());
    plain.build().map_err(iceberg_error("the columns without a key make no table"))
}

/// The ids of the columns of keys, in order: of a table that keeps each version of its rows a version has more that
/// identifies it.
pub fn key_ids(schema: &Schema) -> Vec<i32> {
    let versions = VersionIds::of(schema);
    let is_a_keys = |id: &i32| versions.is_none_or(|ids| ids.valid_from != *id);
    identity_ids(schema).into_iter().filter(is_a_keys).collect()
}

/// The ids of the columns that rows are identified by, in order.
pub fn identity_ids(schema: &Schema) -> Vec<i32> {
    let mut ids: Vec<i32> = schema.identifier_field_ids().collect();
    ids.sort_unstable();
    ids
}

/// The names of the columns that rows are identified by, or by something inside of them.
pub fn identifying_columns(schema: &Schema) -> Vec<String> {
    let ids = identifying(schema);
    let columns = schema.as_struct().fields().iter().filter(|column| ids.contains(&column.id));
    columns.map(|column| column.name.clone()).collect()
}

/// The ids of the fields that identify rows, and of the structs around them.
fn identifying(schema: &Schema) -> BTreeSet<i32> {
    fn find(fields: &[NestedFieldRef], ids: &BTreeSet<i32>, found: &mut BTreeSet<i32>) -> bool {
        let mut is_around = false;
        for field in fields {
            let is_inside = matches!(&*field.field_type, Type::Struct(inside) if find(inside.fields(), ids, found));
            if is_inside || ids.contains(&field.id) {
                found.insert(field.id);
                is_around = true;
            }
        }
        is_around
    }
    let mut found = BTreeSet::new();
    find(schema.as_struct().fields(), &schema.identifier_field_ids().collect(), &mut found);
    found
}

/// The Arrow schema of the table's files: the types and names of the table, field ids in the metadata.
pub fn arrow_schema(schema: &Schema) -> Result<ArrowSchemaRef> {
    let arrow = iceberg::arrow::schema_to_arrow_schema(schema).map_err(iceberg_error("the table's schema"))?;
    Ok(Arc::new(ArrowSchema::new(arrow.fields().clone())))
}

/// Gives out field ids, each once (I1).
struct FreshIds {
    last: i32,
    /// Those of the fields that identify rows, and of what those lie in.
    identifying: BTreeSet<i32>,
}

impl FreshIds {
    fn next(&mut self) -> i32 {
        self.last += 1;
        self.last
    }

    fn fields(&mut self, columns: &Fields, path: &str) -> Result<Vec<NestedFieldRef>> {
        columns.iter().map(|column| self.field(column, &join(path, column.name()))).collect()
    }

    fn field(&mut self, column: &Field, path: &str) -> Result<NestedFieldRef> {
        let id = self.next();
        let field_type = self.field_type(column.data_type(), path)?;
        Ok(Arc::new(NestedField::new(id, column.name(), field_type, !column.is_nullable())))
    }

    fn field_type(&mut self, data_type: &DataType, path: &str) -> Result<Type> {
        Ok(match data_type {
            DataType::Struct(children) => Type::Struct(StructType::new(self.fields(children, path)?)),
            DataType::List(element) => {
                let id = self.next();
                let element_type = self.field_type(element.data_type(), path)?;
                let field = NestedField::list_element(id, element_type, !element.is_nullable());
                Type::List(ListType { element_field: Arc::new(field) })
            }
            DataType::Map(entries, _) => {
                let DataType::Struct(pair) = entries.data_type() else {
                    return Err(unsupported(path, data_type));
                };
                let [key, value] = pair.as_ref() else { return Err(unsupported(path, data_type)) };
                let (key_id, value_id) = (self.next(), self.next());
                let key_type = self.field_type(key.data_type(), path)?;
                let value_type = self.field_type(value.data_type(), path)?;
                Type::Map(MapType {
                    key_field: Arc::new(NestedField::map_key_element(key_id, key_type)),
                    value_field: Arc::new(NestedField::map_value_element(value_id, value_type, !value.is_nullable())),
                })
            }
            primitive => Type::Primitive(primitive_type(primitive).ok_or_else(|| unsupported(path, primitive))?),
        })
    }

    /// `current` with the fields of `wanted` it lacks appended, recursively.
    fn merge(&mut self, current: &[NestedFieldRef], wanted: &Fields, path: &str) -> Result<Vec<NestedFieldRef>> {
        let mut merged = Vec::with_capacity(current.len());
        for field in current {
            match wanted.find(&field.name) {
                None => merged.push(field.clone()),
                Some((_, column)) => {
                    let path = join(path, &field.name);
                    let mut field = field.as_ref().clone();
                    field.field_type = Box::new(self.merge_type(&field.field_type, column.data_type(), &path)?);
                    field.required &= !column.is_nullable() || self.identifying.contains(&field.id);
                    merged.push(Arc::new(field));
                }
            }
        }
        for column in wanted {
            if current.iter().any(|field| field.name == *column.name()) {
                continue;
            }
            let path = join(path, column.name());
            let optional = column.as_ref().clone().with_nullable(true);
            merged.push(self.field(&optional, &path)?);
        }
        Ok(merged)
    }

    fn merge_type(&mut self, current: &Type, wanted: &DataType, path: &str) -> Result<Type> {
        match (current, wanted) {
            (Type::Struct(fields), DataType::Struct(children)) => {
                Ok(Type::Struct(StructType::new(self.merge(fields.fields(), children, path)?)))
            }
            (Type::List(list), DataType::List(element)) => {
                let mut field = list.element_field.as_ref().clone();
                field.field_type = Box::new(self.merge_type(&field.field_type, element.data_type(), path)?);
                field.required &= !element.is_nullable();
                Ok(Type::List(ListType { element_field: Arc::new(field) }))
            }
            (Type::Map(map), DataType::Map(entries, _)) => {
                let DataType::Struct(pair) = entries.data_type() else { return Err(unsupported(path, wanted)) };
                let Some(value) = pair.get(1) else { return Err(unsupported(path, wanted)) };
                let mut field = map.value_field.as_ref().clone();
                field.field_type = Box::new(self.merge_type(&field.field_type, value.data_type(), path)?);
                field.required &= !value.is_nullable();
                Ok(Type::Map(MapType { key_field: map.key_field.clone(), value_field: Arc::new(field) }))
            }
            (Type::Primitive(primitive), wanted) => match primitive_type(wanted) {
                Some(wanted) if fits(&wanted, primitive) => Ok(current.clone()),
                Some(wanted) if fits(primitive, &wanted) => Ok(Type::Primitive(wanted)),
                _ => Err(another_type(path, current, wanted)),
            },
            _ => Err(another_type(path, current, wanted)),
        }
    }
}

fn another_type(path: &str, current: &Type, wanted: &DataType) -> Error {
    Error::data(format!("column {path} is {current} in the table and {wanted} in the data")).with_hint(
        "a column keeps its type or becomes wider: write to another table, or declare the column as the table has it",
    )
}

/// Whether values of `from` can be written to a column of `to` without loss.
fn fits(from: &PrimitiveType, to: &PrimitiveType) -> bool {
    use PrimitiveType::{Decimal, Double, Float, Int, Long};
    match (from, to) {
        (Int, Long) | (Float, Double) => true,
        (Decimal { precision: p1, scale: s1 }, Decimal { precision: p2, scale: s2 }) => s1 == s2 && p1 <= p2,
        _ => from == to,
    }
}

/// I3: the one Iceberg type of an Arrow type.
fn primitive_type(data_type: &DataType) -> Option<PrimitiveType> {
    Some(match data_type {
        DataType::Boolean => PrimitiveType::Boolean,
        DataType::Int32 => PrimitiveType::Int,
        DataType::Int64 => PrimitiveType::Long,
        DataType::Float32 => PrimitiveType::Float,
        DataType::Float64 => PrimitiveType::Double,
        DataType::Decimal128(precision, scale) => {
            PrimitiveType::Decimal { precision: u32::from(*precision), scale: u32::try_from(*scale).ok()? }
        }
        DataType::Date32 => PrimitiveType::Date,
        DataType::Time64(TimeUnit::Microsecond) => PrimitiveType::Time,
        DataType::Timestamp(TimeUnit::Microsecond, None) => PrimitiveType::Timestamp,
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => PrimitiveType::Timestamptz,
        DataType::Utf8 | DataType::LargeUtf8 => PrimitiveType::String,
        DataType::Binary | DataType::LargeBinary => PrimitiveType::Binary,
        DataType::FixedSizeBinary(length) => PrimitiveType::Fixed(u64::try_from(*length).ok()?),
        _ => return None,
    })
}

fn unsupported(path: &str, data_type: &DataType) -> Error {
    Error::usage(format!("column {path}: {data_type} has no type in an Iceberg v2 table"))
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order_columns() -> Fields {
        Fields::from(vec![
            Field::new("id", DataType::Int64, false),
            Field::new("customer", DataType::Struct(vec![Field::new("name", DataType::Utf8, true)].into()), true),
            Field::new("tags", DataType::List(Arc::new(Field::new("item", DataType::Utf8, true))), true),
        ])
    }

    fn ids(schema: &Schema) -> Vec<(i32, String)> {
        let mut ids: Vec<_> = schema.field_id_to_name_map().iter().map(|(id, name)| (*id, name.clone())).collect();
        ids.sort();
        ids
    }

    #[test]
    fn i1_i2_new_fields_get_fresh_ids_and_old_ones_keep_theirs() {
        let before = new_schema(&order_columns()).unwrap();
        assert_eq!(evolve(&before, 5, &order_columns()).unwrap().map(|e| e.last_column_id), None);

        let customer = DataType::Struct(
            vec![Field::new("zip", DataType::Int64, true), Field::new("name", DataType::Utf8, true)].into(),
        );
        let wanted = Fields::from(vec![
            Field::new("note", DataType::Utf8, false),
            Field::new("customer", customer, true),
            Field::new("id", DataType::Int64, true),
        ]);
        let evolution = evolve(&before, 5, &wanted).unwrap().unwrap();
        let expected = [
            (1, "id"),
            (2, "customer"),
            (3, "customer.name"),
            (4, "tags"),
            (5, "tags.element"),
            (6, "customer.zip"),
            (7, "note"),
        ];
        assert_eq!(ids(&evolution.schema), expected.map(|(id, name)| (id, name.to_owned())));
        assert_eq!(evolution.last_column_id, 7);
        assert!(!evolution.schema.field_by_name("note").unwrap().required, "an added column is optional");
        assert!(!evolution.schema.field_by_name("id").unwrap().required, "an old one becomes optional");
    }

    #[test]
    fn i2_a_changed_type_is_refused() {
        let before = new_schema(&order_columns()).unwrap();
        let wanted = Fields::from(vec![Field::new("id", DataType::Utf8, true)]);
        let error = evolve(&before, 5, &wanted).unwrap_err();
        assert_eq!(error.to_string(), "column id is long in the table and Utf8 in the data");
    }

    #[test]
    fn i2_columns_become_wider_and_keep_their_ids() {
        let types = |inner: DataType, outer: DataType, cents: DataType| {
            let list = DataType::List(Arc::new(Field::new("item", inner, true)));
            Fields::from(vec![Field::new("l", list, true), Field::new("n", outer, true), Field::new("d", cents, true)])
        };
        let narrow = types(DataType::Int32, DataType::Float32, DataType::Decimal128(9, 2));
        let wide = types(DataType::Int64, DataType::Float64, DataType::Decimal128(20, 2));
        let before = new_schema(&narrow).unwrap();
        let evolution = evolve(&before, 4, &wide).unwrap().unwrap();
        assert_eq!((ids(&evolution.schema), evolution.last_column_id), (ids(&before), 4));
        assert!(evolve(&evolution.schema, 4, &wide).unwrap().is_none());
        assert!(evolve(&evolution.schema, 4, &narrow).unwrap().is_none(), "a column never becomes narrower");
    }

    #[test]
    fn i2_what_may_be_null_becomes_optional_at_any_depth_but_for_what_identifies_rows() {
        let fields = |required: bool| {
            let field = |name: &str, data_type| Field::new(name, data_type, !required);
            let (row, list) =
                (DataType::Struct(vec![field("x", DataType::Int32)].into()), field("item", DataType::Int32));
            Fields::from(vec![
                field("id", DataType::Int64),
                field("r", row.clone()),
                field("key", row),
                field("l", DataType::List(Arc::new(list))),
            ])
        };
        let before = new_schema(&fields(true)).unwrap();
        let id_of = |name: &str| before.field_id_by_name(name).unwrap();
        let keys = [id_of("id"), id_of("key.x")];
        let before = before.clone().into_builder().with_identifier_field_ids(keys).build().unwrap();
        let after = evolve(&before, 9, &fields(false)).unwrap().unwrap().schema;
        assert_eq!(ids(&after), ids(&before));
        let mut required: Vec<(i32, String)> = ids(&after);
        required.retain(|(id, _)| after.field_by_id(*id).unwrap().required);
        assert_eq!(required.into_iter().map(|(_, name)| name).collect::<Vec<_>>(), ["id", "key", "key.x"]);
        assert!(evolve(&after, 9, &fields(true)).unwrap().is_none(), "nothing becomes required");
    }

    #[test]
    fn i3_narrower_values_fit_wider_columns() {
        let before = new_schema(&Fields::from(vec![Field::new("n", DataType::Int64, true)])).unwrap();
        let narrow = Fields::from(vec![Field::new("n", DataType::Int32, true)]);
        assert!(evolve(&before, 1, &narrow).unwrap().is_none());
    }
}
