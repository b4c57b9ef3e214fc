//! The value columns of a table, which grow.
//!
//! Owns [`ValueColumns`]: the columns, the names that none of them gets, their schema and its version.
//! - I1: a schema that is refused changes nothing: it is bound to a copy, which takes the columns' place when all
//!   holds.
//! - I2: the version rises when the schema changes, and never else.
//!
//! Neighbours: a format says how its schemas are bound and how its records are read; the columns are the same for all.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use tableflow_model::types::{flink_column, flink_name, flink_type};
use tableflow_model::{Error, Result};

use super::columns::fields::Fields;
use super::columns::names::{TakenNames, clash, is_reserved};
use super::{ColumnRules, Evolution, Learned, SchemaFault, Widening, added};
use crate::registry::SchemaKey;

pub(super) struct ValueColumns {
    pub fields: Fields,
    pub taken: TakenNames,
    pub evolution: Evolution,
    /// Whole names of columns whose type does not change.
    fixed: Vec<String>,
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
        let (taken, evolution, fixed) = Default::default();
        ValueColumns { fields, taken, evolution, fixed, schema, version: 0 }
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

    /// Holds them to what the table allows.
    pub fn keep_to(&mut self, rules: &ColumnRules, table: &Schema) {
        self.taken = TakenNames::new(rules, table);
        self.evolution = rules.evolution;
        self.fixed.clone_from(&rules.partition_sources);
        let is_strict = rules.evolution == Evolution::Strict;
        self.fields.hold(|name| is_strict || rules.held.iter().any(|held| held == name));
    }

    /// Takes in what a schema brings: `bind` adds it to columns of its own (I1).
    pub fn learn<P>(
        &mut self,
        key: SchemaKey,
        bind: impl FnOnce(&mut Fields) -> Result<(P, Learned)>,
    ) -> Result<(P, Learned)> {
        let (fields, bound) = self.bound(key, bind)?;
        self.fields = fields;
        self.refresh();
        Ok(bound)
    }

    /// What they would be with what a schema brings.
    pub fn bound<P>(
        &self,
        key: SchemaKey,
        bind: impl FnOnce(&mut Fields) -> Result<(P, Learned)>,
    ) -> Result<(Fields, (P, Learned))> {
        let placed = |error: Error| error.with_context("schema", key);
        let mut fields = self.fields.copy();
        let bound = bind(&mut fields).map_err(placed)?;
        self.check_reserved(&fields).map_err(placed)?;
        self.check_keys(&fields).map_err(placed)?;
        self.check_evolution(&fields, &bound.1).map_err(placed)?;
        if let Some(clash) = clash(&fields.schema_fields(), &self.taken) {
            let error = SchemaFault::NameCollision.at(clash.name(), Error::data(clash.message()));
            return Err(placed(error.with_hint("rename the field in the schema")));
        }
        Ok((fields, bound))
    }

    fn check_reserved(&self, fields: &Fields) -> Result<()> {
        let new = fields.names().filter(|name| self.fields.index_of(name).is_none());
        let Some((name, prefix)) = new.filter_map(|name| Some((name, self.taken.reserved(name)?))).next() else {
            return Ok(());
        };
        let what = format!("the schema has a field {}, a name of the metadata columns", flink_name(name));
        Err(SchemaFault::ReservedName
            .at(name, Error::data(what))
            .with_detail(format!("names that begin with {prefix} are theirs"))
            .with_hint("rename the field in the schema"))
    }

    fn check_keys(&self, fields: &Fields) -> Result<()> {
        let mut new = fields.names().filter(|name| self.fields.index_of(name).is_none());
        let Some(name) = new.find(|name| self.taken.is_of_keys(name)) else { return Ok(()) };
        let shown = flink_name(name);
        let what = format!("the schema has a field {shown}, and the records' keys fill column {shown}");
        Err(SchemaFault::NameCollision
            .at(name, Error::data(what))
            .with_detail(
                "a column keeps what it is filled from: a table that was made before the field takes it from the key",
            )
            .with_hint("rename the field in the schema, or enable the topic into another table with --table"))
    }

    /// Whether they may become these.
    fn check_evolution(&self, fields: &Fields, learned: &Learned) -> Result<()> {
        let wider = |widening: &Widening| {
            format!("{}: {} to {}", widening.path, flink_type(&widening.from), flink_type(&widening.to))
        };
        if let Some(fixed) = learned.widenings.iter().find(|widening| self.fixed.contains(&widening.path)) {
            let what = format!("a column that partitions the table would become wider: {}", wider(fixed));
            let error = SchemaFault::UnsupportedTypeChange.at(&fixed.path, Error::data(what));
            return Err(error.with_hint(
                "register a schema that keeps the field's type, or enable the topic into another table with --table",
            ));
        }
        if self.evolution != Evolution::Strict {
            return Ok(());
        }
        let after = fields.schema_fields();
        let added = added(self.schema.fields(), &after);
        let (fault, path, change) = match (added.first(), learned.widenings.first()) {
            (Some((path, field)), _) => {
                let change = format!("add column {path} {}", flink_type(field.data_type()));
                (SchemaFault::ColumnAdded, path.as_str(), change)
            }
            (None, Some(widening)) => {
                let change = format!("make a column wider: {}", wider(widening));
                (SchemaFault::ColumnWidened, widening.path.as_str(), change)
            }
            (None, None) => return Ok(()),
        };
        let what = format!("the schema would {change}, and the table's evolution is strict");
        Err(fault.at(path, Error::data(what)).with_hint("let the columns follow, with --evolution additive"))
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
    use arrow::datatypes::DataType;
    use tableflow_model::types::parse_columns;

    use super::*;
    use crate::decode::columns::column::Column;
    use crate::registry::SchemaId;

    fn columns() -> ValueColumns {
        ValueColumns::of_table(&Schema::new(parse_columns("a INT, r ROW<b INT>").unwrap()), "Avro").unwrap()
    }

    fn add(fields: &mut Fields, name: &str) {
        fields.add(name, Column::new(&DataType::Int64, true, false).unwrap());
        fields.settle();
    }

    #[test]
    fn i1_i2_what_is_refused_changes_nothing_and_the_version_rises_with_the_schema() {
        let mut columns = columns();
        let before = columns.schema();
        let key = SchemaKey::Id(SchemaId(1));
        let refused = columns.learn(key, |fields| {
            add(fields, "b");
            Err::<((), Learned), _>(Error::data("no"))
        });
        assert!(refused.is_err());
        assert!(
            columns.learn(key, |fields| Ok((add(fields, "r.b"), Learned::default()))).is_err(),
            "a name of another column"
        );
        assert_eq!((columns.schema(), columns.version()), (before.clone(), 0));
        columns.learn(key, |_| Ok(((), Learned::default()))).unwrap();
        assert_eq!((columns.schema(), columns.version()), (before, 0));
        columns.learn(key, |fields| Ok((add(fields, "b"), Learned::default()))).unwrap();
        assert_eq!((columns.schema().fields().len(), columns.version()), (3, 1));
    }
    #[test]
    fn i1_what_the_table_does_not_allow_is_refused() {
        let table = Schema::new(parse_columns("a INT, b INT").unwrap());
        let key = SchemaKey::Id(SchemaId(1));
        let widened = |path: &str| Learned {
            widenings: vec![Widening { path: path.into(), from: DataType::Int32, to: DataType::Int64 }],
            ..Learned::default()
        };
        let mut columns = columns();
        columns.keep_to(&ColumnRules { partition_sources: vec!["a".into()], ..ColumnRules::default() }, &table);
        let refused = columns.learn(key, |_| Ok(((), widened("a")))).unwrap_err();
        assert_eq!(refused.message(), "a column that partitions the table would become wider: a: INT to BIGINT");
        columns.learn(key, |_| Ok(((), widened("b")))).unwrap();

        columns.keep_to(&ColumnRules { evolution: Evolution::Strict, ..ColumnRules::default() }, &table);
        columns.learn(key, |_| Ok(((), Learned::default()))).unwrap();
        for (learned, words) in
            [(widened("b"), "make a column wider: b: INT to BIGINT"), (Learned::default(), "add column n BIGINT")]
        {
            let refused = columns.learn(key, |fields| {
                if learned.widenings.is_empty() {
                    add(fields, "n");
                }
                Ok(((), learned.clone()))
            });
            let message = refused.unwrap_err().message().to_owned();
            assert_eq!(message, format!("the schema would {words}, and the table's evolution is strict"));
        }
        assert_eq!((columns.schema().fields().len(), columns.version()), (2, 0));
    }
}
