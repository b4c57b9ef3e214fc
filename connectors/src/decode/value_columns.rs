//! The value columns of a table, which grow.
//!
//! Owns [`ValueColumns`]: the columns, the names that none of them gets, their schema and its version.
//! - I1: a schema that is refused changes nothing: it is bound to a copy, which takes the columns' place when all holds.
//! - I2: the version rises when the schema changes, and never else.
//!
//! Neighbours: a format says how its schemas are bound and how its records are read; the columns are the same for all.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use tableflow_model::types::flink_column;
use tableflow_model::{Error, Result};

use super::columns::fields::Fields;
use super::columns::names::{TakenNames, clash, is_reserved};
use crate::registry::SchemaKey;

pub(super) struct ValueColumns {
    pub fields: Fields,
    pub taken: TakenNames,
    schema: SchemaRef,
    version: u64,
}

impl fmt::Debug for ValueColumns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ValueColumns").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl ValueColumns {
    pub fn new(fields: Fields) -> Self {
        let schema = Arc::new(Schema::new(fields.schema_fields()));
        ValueColumns { fields, taken: TakenNames::default(), schema, version: 0 }
    }

    /// Those of a table, for a format whose schemas say all types; the metadata columns are passed over.
    pub fn of_table(table: &Schema, format: &str) -> Result<Self> {
        let value_columns = table.fields().iter().filter(|field| !is_reserved(field.name()));
        let fields = Fields::of(value_columns, false).map_err(|field| {
            Error::usage(format!("{format} cannot fill the column {}", flink_column(field)))
                .with_hint("keys of maps are text, whole numbers or booleans; timestamps have microseconds")
        })?;
        Ok(ValueColumns::new(fields))
    }

    /// Keeps new columns from having one of these names: a table's partition fields.
    pub fn keep_clear_of(&mut self, names: impl IntoIterator<Item = String>, table: &Schema) {
        self.taken = TakenNames::new(names, table);
    }

    /// Takes in what a schema brings: `bind` adds it to columns of its own (I1).
    pub fn learn<T>(&mut self, key: SchemaKey, bind: impl FnOnce(&mut Fields) -> Result<T>) -> Result<T> {
        let placed = |error: Error| error.with_context("schema", key);
        let mut fields = self.fields.copy();
        let bound = bind(&mut fields).map_err(placed)?;
        if let Some(clash) = clash(&fields.schema_fields(), &self.taken) {
            return Err(placed(Error::data(clash.message()).with_hint("rename the field in the schema")));
        }
        self.fields = fields;
        self.refresh();
        Ok(bound)
    }

    /// Keeps the columns that a record brought.
    pub fn settle(&mut self) {
        self.fields.settle();
        self.refresh();
    }

    fn refresh(&mut self) {
        let schema = Schema::new(self.fields.schema_fields());
        if schema != *self.schema {
            self.schema = Arc::new(schema);
            self.version += 1;
        }
    }

    /// The rows gathered, as a batch; the columns are empty afterwards.
    pub fn finish(&mut self, rows: usize) -> RecordBatch {
        self.fields.finish_batch(&self.schema, rows)
    }

    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    pub fn version(&self) -> u64 {
        self.version
    }
}

#[cfg(test)]
mod tests {
    use tableflow_model::types::parse_columns;

    use super::*;
    use crate::decode::columns::column::Column;
    use crate::registry::SchemaId;

    fn columns() -> ValueColumns {
        ValueColumns::of_table(&Schema::new(parse_columns("a INT, r ROW<b INT>").unwrap()), "Avro").unwrap()
    }

    fn add(fields: &mut Fields, name: &str) {
        fields.add(name, Column::new(&arrow::datatypes::DataType::Int64, true, false).unwrap());
        fields.settle();
    }

    #[test]
    fn i1_i2_what_is_refused_changes_nothing_and_the_version_rises_with_the_schema() {
        let mut columns = columns();
        let before = columns.schema();
        let key = SchemaKey::Id(SchemaId(1));
        let refused = columns.learn(key, |fields| {
            add(fields, "b");
            Err::<(), _>(Error::data("no"))
        });
        assert!(refused.is_err());
        assert!(columns.learn(key, |fields| Ok(add(fields, "r.b"))).is_err(), "a name of another column");
        assert_eq!((columns.schema(), columns.version()), (before.clone(), 0));
        columns.learn(key, |_| Ok(())).unwrap();
        assert_eq!((columns.schema(), columns.version()), (before, 0));
        columns.learn(key, |fields| Ok(add(fields, "b"))).unwrap();
        assert_eq!((columns.schema().fields().len(), columns.version()), (3, 1));
    }
}
