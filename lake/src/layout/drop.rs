//! Columns that leave a table's schema.
//!
//! Owns [`drop_columns`].
//! - I1: an id that is gone is never given out again: the table remembers the last one that it gave.
//! - I2: what the table is parted, sorted or identified by, or tells the latest rows by, stays, and so does what has a dot in its name: such a drop is
//!   refused, and nothing is changed.
//! - I3: no row is left without a field: whoever drops the last one drops the row.
//!
//! Neighbours: `schema` adds columns; files keep what they have, and readers go by ids.

use std::collections::BTreeSet;
use std::sync::Arc;

use iceberg::spec::{ListType, MapType, NestedField, NestedFieldRef, Schema, StructType, TableMetadata, Type};
use tableflow_model::{Error, Result};

use super::latest_by::goes_by;
use super::schema::Evolution;
use crate::iceberg_error;

/// The table's schema without the columns of these whole names, as `a.b`, `l.element.b`, `m.value.b`; or `None`, where
/// it has none of them.
pub fn drop_columns(table: &TableMetadata, paths: &BTreeSet<String>) -> Result<Option<Evolution>> {
    let current = table.current_schema();
    let mut dropping = Dropping { paths, gone: Vec::new() };
    let fields = dropping.row(current.as_struct().fields(), "")?;
    if dropping.gone.is_empty() {
        return Ok(None);
    }
    check_free(table, &dropping.gone)?;
    if fields.is_empty() {
        return Err(Error::data("the table would have no column left"));
    }
    let schema = Schema::builder()
        .with_schema_id(current.schema_id())
        .with_identifier_field_ids(current.identifier_field_ids())
        .with_fields(fields)
        .build()
        .map_err(iceberg_error("the table cannot do without the columns"))?;
    Ok(Some(Evolution { schema, last_column_id: table.last_column_id() }))
}

struct Dropping<'p> {
    paths: &'p BTreeSet<String>,
    /// The ids of the columns, and of what is inside of them.
    gone: Vec<(i32, String)>,
}

impl Dropping<'_> {
    fn row(&mut self, fields: &[NestedFieldRef], path: &str) -> Result<Vec<NestedFieldRef>> {
        let mut kept = Vec::with_capacity(fields.len());
        for field in fields {
            let path = if path.is_empty() { field.name.clone() } else { format!("{path}.{}", field.name) };
            self.check_dots(field, &path)?;
            if self.paths.contains(&path) {
                self.note(field, &path);
                continue;
            }
            kept.push(self.field(field, &path)?);
        }
        Ok(kept)
    }

    /// Whoever remembers what was dropped knows it by whole names: `a.b` is that of `b` inside of `a` (I2).
    fn check_dots(&self, field: &NestedField, path: &str) -> Result<()> {
        let is_meant =
            |asked: &String| asked.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        if !field.name.contains('.') || !self.paths.iter().any(is_meant) {
            return Ok(());
        }
        Err(Error::data(format!("column {path} cannot be dropped: its name has a dot")).with_context("path", path))
    }

    fn field(&mut self, field: &NestedFieldRef, path: &str) -> Result<NestedFieldRef> {
        let mut field: NestedField = field.as_ref().clone();
        field.field_type = Box::new(self.inside(&field.field_type, path)?);
        Ok(Arc::new(field))
    }

    fn inside(&mut self, field_type: &Type, path: &str) -> Result<Type> {
        Ok(match field_type {
            Type::Primitive(_) => field_type.clone(),
            Type::Struct(row) => {
                let kept = self.row(row.fields(), path)?;
                if kept.is_empty() && !row.fields().is_empty() {
                    return Err(Error::internal(format!("row {path} would have no field left")));
                }
                Type::Struct(StructType::new(kept))
            }
            Type::List(list) => {
                Type::List(ListType { element_field: self.field(&list.element_field, &format!("{path}.element"))? })
            }
            Type::Map(map) => Type::Map(MapType {
                key_field: map.key_field.clone(),
                value_field: self.field(&map.value_field, &format!("{path}.value"))?,
            }),
        })
    }

    fn note(&mut self, field: &NestedFieldRef, path: &str) {
        self.gone.push((field.id, path.to_owned()));
        match field.field_type.as_ref() {
            Type::Primitive(_) => {}
            Type::Struct(row) => row.fields().iter().for_each(|inner| self.note(inner, path)),
            Type::List(list) => self.note(&list.element_field, path),
            Type::Map(map) => [&map.key_field, &map.value_field].into_iter().for_each(|inner| self.note(inner, path)),
        }
    }
}

/// I2. Of partitions all that there ever were: files are parted by them.
fn check_free(table: &TableMetadata, gone: &[(i32, String)]) -> Result<()> {
    let parts = |id: i32| table.partition_specs_iter().flat_map(|spec| spec.fields()).any(|it| it.source_id == id);
    let sorts = |id: i32| table.default_sort_order().fields.iter().any(|it| it.source_id == id);
    let identifies = |id: i32| table.current_schema().identifier_field_ids().any(|it| it == id);
    for (id, path) in gone {
        let use_of_it = match *id {
            id if parts(id) => "parts the table",
            id if sorts(id) => "sorts the table",
            id if identifies(id) => "tells its rows apart",
            id if goes_by(table, id) => "tells the latest row of each key",
            _ => continue,
        };
        return Err(Error::data(format!("column {path} cannot be dropped: it {use_of_it}")).with_context("path", path));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use arrow::datatypes::{DataType, Field, Fields};
    use iceberg::TableCreation;
    use iceberg::spec::{FormatVersion, TableMetadataBuilder};

    use super::*;
    use crate::layout::{evolve, new_schema, parse_partition_by, parse_sort_by};

    fn columns() -> Fields {
        let line = DataType::Struct(
            vec![Field::new("sku", DataType::Utf8, true), Field::new("n", DataType::Int32, true)].into(),
        );
        Fields::from(vec![
            Field::new("id", DataType::Int64, true),
            Field::new("day", DataType::Utf8, true),
            Field::new("line", line.clone(), true),
            Field::new("lines", DataType::List(Arc::new(Field::new("element", line, true))), true),
        ])
    }

    fn table(partition_by: &str, sort_by: &str) -> TableMetadata {
        table_of(&columns(), partition_by, sort_by)
    }

    fn table_of(columns: &Fields, partition_by: &str, sort_by: &str) -> TableMetadata {
        let schema = new_schema(columns).unwrap();
        let creation = TableCreation {
            location: Some("memory://t".to_owned()),
            partition_spec: Some(parse_partition_by(partition_by, &schema).unwrap()),
            sort_order: Some(parse_sort_by(sort_by, &schema).unwrap()),
            name: "t".to_owned(),
            schema,
            properties: HashMap::new(),
            format_version: FormatVersion::V2,
        };
        TableMetadataBuilder::from_table_creation(creation).unwrap().build().unwrap().metadata
    }

    fn paths(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn names(schema: &Schema) -> Vec<(i32, String)> {
        let mut names: Vec<_> = schema.field_id_to_name_map().iter().map(|(id, name)| (*id, name.clone())).collect();
        names.sort();
        names
    }

    #[test]
    fn i1_what_stays_keeps_its_ids_and_a_name_that_comes_back_has_another() {
        let table = table("", "");
        let dropped = drop_columns(&table, &paths(&["day", "line.n", "lines.element.sku", "nobody"])).unwrap().unwrap();
        let expected =
            [(1, "id"), (3, "line"), (4, "lines"), (5, "line.sku"), (7, "lines.element"), (9, "lines.element.n")];
        let kept = names(&dropped.schema);
        assert_eq!(kept.len(), expected.len(), "{kept:?}");
        let before = names(table.current_schema());
        assert!(kept.iter().all(|field| before.contains(field)), "{kept:?}");
        let again = evolve(&dropped.schema, dropped.last_column_id, &columns()).unwrap().unwrap();
        let back: Vec<_> = names(&again.schema).into_iter().filter(|field| !kept.contains(field)).collect();
        assert_eq!(back.len(), 3);
        assert!(back.iter().all(|(id, _)| *id > table.last_column_id()), "{back:?}");
        assert!(drop_columns(&table, &paths(&["nobody"])).unwrap().is_none());
    }

    #[test]
    fn i2_what_the_table_is_made_by_stays() {
        for (partition_by, sort_by, drop, words) in [
            ("day", "", "day", "column day cannot be dropped: it parts the table"),
            ("bucket(4, line.n)", "", "line", "column line cannot be dropped: it parts the table"),
            ("", "id", "id", "column id cannot be dropped: it sorts the table"),
        ] {
            let refused = drop_columns(&table(partition_by, sort_by), &paths(&[drop])).unwrap_err();
            assert_eq!(refused.message(), words);
        }
    }

    #[test]
    fn i2_a_column_with_a_dot_in_its_name_stays() {
        let inside = DataType::Struct(vec![Field::new("d", DataType::Int32, true)].into());
        let columns = vec![Field::new("id", DataType::Int64, true), Field::new("a.b", DataType::Int64, true)];
        let columns = [columns, vec![Field::new("c.c", inside, true)]].concat();
        for (drop, column) in [("a.b", "a.b"), ("c.c.d", "c.c"), ("c.c", "c.c")] {
            let refused = drop_columns(&table_of(&columns.clone().into(), "", ""), &paths(&[drop])).unwrap_err();
            assert_eq!(refused.message(), format!("column {column} cannot be dropped: its name has a dot"));
        }
        assert!(drop_columns(&table_of(&columns.into(), "", ""), &paths(&["a", "c", "c.d"])).unwrap().is_none());
    }

    #[test]
    fn i3_no_table_is_left_without_columns() {
        let refused = drop_columns(&table("", ""), &paths(&["id", "day", "line", "lines"])).unwrap_err();
        assert_eq!(refused.message(), "the table would have no column left");
    }
}
