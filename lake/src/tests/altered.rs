//! Tables whose columns somebody changed: what files, manifests and their bounds say stays with the field ids.

use arrow::array::{Float64Array, Int32Array};
use iceberg::spec::{Literal, NestedField, NestedFieldRef, PartitionSpec, PrimitiveType, Schema, StructType, Type};

use super::*;

fn column(id: i32, name: &str, of: PrimitiveType) -> NestedFieldRef {
    NestedField::optional(id, name, Type::Primitive(of)).into()
}

fn longs(names: &[&str], values: std::ops::Range<i64>) -> RecordBatch {
    let column = || Arc::new(Int64Array::from_iter_values(values.clone())) as ArrayRef;
    RecordBatch::try_from_iter_with_nullable(names.iter().map(|name| (*name, column(), true))).unwrap()
}

impl Table {
    /// As another engine does it.
    fn alter(&mut self, fields: Vec<NestedFieldRef>) {
        let schema = Schema::builder().with_fields(fields).build().unwrap();
        self.apply(vec![TableUpdate::AddSchema { schema }, TableUpdate::SetCurrentSchema { schema_id: -1 }]);
    }

    pub async fn manifests(&self) -> usize {
        let snapshot = self.metadata.current_snapshot().unwrap();
        manifests_of(&self.store, &self.metadata, snapshot).await.unwrap().len()
    }
}

#[tokio::test]
async fn bounds_outlive_a_merge_for_every_column_that_the_table_has() {
    let mut table = Table::new(longs(&["a", "b"], 0..1).schema().fields(), "", "");
    let both = table.metadata.current_schema_id();
    for n in 0..8 {
        table.append(&longs(&["a", "b"], n..n + 1)).await;
    }
    table.alter(vec![column(1, "a", PrimitiveType::Long)]);
    for n in 8..16 {
        table.append(&longs(&["a"], n..n + 1)).await;
    }
    // Somebody sets the older columns again: the schema with the highest id knows less.
    table.apply(vec![TableUpdate::SetCurrentSchema { schema_id: both }]);
    table.append(&longs(&["a", "b"], 16..17)).await;
    assert_eq!(table.manifests().await, 2);
    let files = table.files().await;
    let known = |id: i32| files.iter().filter(|file| file.lower_bounds().contains_key(&id)).count();
    assert_eq!((known(1), known(2)), (17, 9));

    table.alter(vec![column(1, "z", PrimitiveType::Long), column(3, "a", PrimitiveType::Long)]);
    for n in 17..33 {
        table.append(&longs(&["z"], n..n + 1)).await;
    }
    assert!(table.manifests().await < 4);
    let files = table.files().await;
    assert_eq!(files.iter().filter(|file| file.lower_bounds().contains_key(&1)).count(), 33);
    assert_eq!(table.number("select max(z) from t").await, 32);
    assert_eq!(table.number("select count(*) from t where a is null").await, 33);
    let plan = table.query("explain select * from t where z = 3").await;
    let text = arrow::util::pretty::pretty_format_batches(&plan).unwrap().to_string();
    assert_eq!(text.matches(".parquet").count(), 1, "{text}");
}

#[tokio::test]
async fn manifests_of_a_spec_whose_column_is_gone_are_left_alone() {
    let mut table = Table::new(longs(&["a", "b"], 0..1).schema().fields(), "b", "");
    for n in 0..16 {
        table.append(&longs(&["a", "b"], n..n + 1)).await;
    }
    table.apply(vec![
        TableUpdate::AddSpec { spec: PartitionSpec::unpartition_spec().into_unbound() },
        TableUpdate::SetDefaultSpec { spec_id: -1 },
    ]);
    // The name of the old partition is another column's.
    table.alter(vec![column(1, "a", PrimitiveType::Long), column(3, "b", PrimitiveType::String)]);
    for n in 16..33 {
        table.append(&longs(&["a"], n..n + 1)).await;
    }
    assert_eq!(table.manifests().await, 16 + 2, "those of now are merged all the same");
    assert_eq!(table.number("select sum(a) from t").await, 32 * 33 / 2);
    assert_eq!(table.number("select count(*) from t where b is null").await, 33);
    assert_eq!(table.number("select count(*) from t where a = 7").await, 1);
}

#[tokio::test]
async fn files_in_partitions_of_a_column_that_went_meanwhile_are_refused() {
    let mut table = Table::new(longs(&["a", "b"], 0..1).schema().fields(), "b", "");
    let spec_id = table.metadata.default_partition_spec_id();
    let name = EpochName { job: "bronze.t".parse().unwrap(), generation: Generation(1), epoch: Epoch(1) };
    let schema = table.metadata.current_schema().clone();
    let mut stager = Stager::new(table.store.clone(), &table.metadata, schema, name).unwrap();
    stager.write(&longs(&["a", "b"], 0..1)).await.unwrap();
    let delta = RowDelta { files: stager.finish().await.unwrap().files, spec_id, ..RowDelta::default() };
    table.apply(vec![
        TableUpdate::AddSpec { spec: PartitionSpec::unpartition_spec().into_unbound() },
        TableUpdate::SetDefaultSpec { spec_id: -1 },
    ]);
    for columns in [vec![], vec![column(3, "b", PrimitiveType::String)]] {
        table.alter([vec![column(1, "a", PrimitiveType::Long)], columns].concat());
        let error = prepare_row_delta(table.context(), &table.metadata, &delta).await.unwrap_err();
        assert!(error.to_string().contains("a column that the table no longer has"), "{error}");
    }
}

#[tokio::test]
async fn manifests_are_not_joined_across_a_partition_column_that_became_wider() {
    let batch = |n: i32| {
        let values: ArrayRef = Arc::new(Int32Array::from(vec![n]));
        RecordBatch::try_from_iter_with_nullable([("a", values, true)]).unwrap()
    };
    let mut table = Table::new(batch(0).schema().fields(), "a", "");
    for n in 0..10 {
        table.append(&batch(n)).await;
    }
    table.alter(vec![column(1, "a", PrimitiveType::Long)]);
    for n in 10..27 {
        table.append(&longs(&["a"], n..n + 1)).await;
    }
    assert_eq!(table.manifests().await, 10 + 2);
    assert_eq!(table.number("select sum(a) from t").await, 26 * 27 / 2);
    assert_eq!(table.number("select a from t where a = 3").await, 3);
    assert_eq!(table.number("select a from t where a = 20").await, 20);
}

#[tokio::test]
async fn a_column_that_became_wider_keeps_the_bounds_of_its_files() {
    let ratios: ArrayRef = Arc::new(arrow::array::Float32Array::from(vec![0.5, 2.5]));
    let narrow = RecordBatch::try_from_iter_with_nullable([("d", ratios, true)]).unwrap();
    let mut table = Table::new(narrow.schema().fields(), "", "");
    table.append(&narrow).await;
    table.alter(vec![column(1, "d", PrimitiveType::Double)]);
    let wide: ArrayRef = Arc::new(Float64Array::from(vec![100.25]));
    table.append(&RecordBatch::try_from_iter_with_nullable([("d", wide, true)]).unwrap()).await;
    assert_eq!(table.number("select count(*) from t where d = 2.5").await, 1);
    for (filter, files) in [("d < 1", 1), ("d > 50", 1), ("d > 1", 2), ("d > 1000", 0)] {
        let plan = table.query(&format!("explain select * from t where {filter}")).await;
        let text = arrow::util::pretty::pretty_format_batches(&plan).unwrap().to_string();
        assert_eq!(text.matches(".parquet").count(), files, "{filter}: {text}");
    }
}

/// Format version 3 has defaults; the rows of files from before a column have its default.
#[tokio::test]
async fn a_column_with_a_default_has_it_in_older_files() {
    let inner = Fields::from(vec![Field::new("n", DataType::Int64, true)]);
    let structs = StructArray::new(inner, vec![Arc::new(Int64Array::from_iter_values(0..3))], None);
    let batch = RecordBatch::try_from_iter_with_nullable([("s", Arc::new(structs) as ArrayRef, true)]).unwrap();
    let mut table = Table::new(batch.schema().fields(), "", "");
    table.append(&batch).await;
    let default = |id, name: &str, value: Literal| -> NestedFieldRef {
        NestedField::required(id, name, Type::Primitive(PrimitiveType::Long)).with_initial_default(value).into()
    };
    let inside = vec![column(2, "n", PrimitiveType::Long), default(3, "m", Literal::long(7))];
    let outer = NestedField::optional(1, "s", Type::Struct(StructType::new(inside))).into();
    table.apply(vec![TableUpdate::UpgradeFormatVersion { format_version: FormatVersion::V3 }]);
    table.alter(vec![outer, default(4, "d", Literal::long(40))]);
    assert_eq!(table.number("select sum(d + s['m'] + s['n']) from t").await, 3 * 47 + 3);
    assert_eq!(table.number("select count(*) from t where d = 40 and s['m'] = 7").await, 3);
    assert_eq!(table.number("select count(*) from t where d > 40").await, 0);
    assert_eq!(table.number("select min(d) from t").await, 40);

    table.alter(vec![NestedField::required(5, "must", Type::Primitive(PrimitiveType::Long)).into()]);
    let error = table.try_query("select must from t").await.unwrap_err();
    assert!(error.contains("column must must have values"), "{error}");
}
