//! A staged file as text: what an epoch manifest carries until the file is committed.
//!
//! - I1: what is read back is the file that was staged, bounds and all, under the schema and the partition spec it
//!   was written with, whatever has become of the table's current ones.
//! - I2: the file's JSON is carried as it was written: partition values are read back by their place in it, which a
//!   map of its keys would forget.

use iceberg::spec::{DataFile, TableMetadata, deserialize_data_file_from_json, serialize_data_file_to_json};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tableflow_model::{Error, Result};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    schema: i32,
    spec: i32,
    /// I2.
    file: Box<RawValue>,
}

/// A file that was staged for the table as it is: with its current schema and its default partition spec.
pub fn file_to_text(file: &DataFile, table: &TableMetadata) -> Result<String> {
    let unwritable = |error| Error::internal("a staged file could not be written as text").with_detail(error);
    let spec = table.default_partition_spec();
    let partition = table.default_partition_type();
    let json = serialize_data_file_to_json(file.clone(), partition, table.format_version());
    let json = json.map_err(|error| unwritable(error.to_string()))?;
    let file = RawValue::from_string(json).map_err(|error| unwritable(error.to_string()))?;
    let text = Text { schema: table.current_schema_id(), spec: spec.spec_id(), file };
    serde_json::to_string(&text).map_err(|error| unwritable(error.to_string()))
}

/// The file, and the id of its partition spec (I1).
pub fn file_from_text(text: &str, table: &TableMetadata) -> Result<(DataFile, i32)> {
    let unreadable =
        |detail: String| Error::data("a staged file in an epoch manifest cannot be read").with_detail(detail);
    let text: Text = serde_json::from_str(text).map_err(|error| unreadable(error.to_string()))?;
    let schema = table.schema_by_id(text.schema);
    let schema = schema.ok_or_else(|| unreadable(format!("the table has no schema {}", text.schema)))?;
    let spec = table.partition_spec_by_id(text.spec);
    let spec = spec.ok_or_else(|| unreadable(format!("the table has no partition spec {}", text.spec)))?;
    let partition = spec.partition_type(schema).map_err(|error| unreadable(error.to_string()))?;
    let file = deserialize_data_file_from_json(text.file.get(), text.spec, &partition, schema);
    Ok((file.map_err(|error| unreadable(error.to_string()))?, text.spec))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use iceberg::TableCreation;
    use iceberg::spec::{
        DataContentType, DataFileBuilder, DataFileFormat, Datum, Literal, NestedField, PrimitiveType, Schema, Struct,
        TableMetadataBuilder, Transform, Type, UnboundPartitionSpec,
    };

    use super::*;

    #[test]
    fn i1_i2_a_file_keeps_its_partition_values_in_their_places() {
        let column = |id, name: &str, kind| NestedField::optional(id, name, Type::Primitive(kind)).into();
        let columns = [column(1, "b", PrimitiveType::Long), column(2, "a", PrimitiveType::Long)];
        let schema = Schema::builder().with_fields(columns).build().unwrap();
        let spec = UnboundPartitionSpec::builder()
            .add_partition_field(1, "z", Transform::Truncate(10))
            .and_then(|spec| spec.add_partition_field(2, "a_part", Transform::Identity))
            .and_then(|spec| spec.add_partition_field(1, "k", Transform::Bucket(4)));
        let creation = TableCreation::builder()
            .name("t".to_owned())
            .location("memory:/t".to_owned())
            .schema(schema)
            .partition_spec(spec.unwrap().build())
            .properties(HashMap::new())
            .build();
        let table = TableMetadataBuilder::from_table_creation(creation).unwrap().build().unwrap().metadata;
        let values = [Some(Literal::long(20)), Some(Literal::long(7)), Some(Literal::int(3))];
        let file = DataFileBuilder::default()
            .content(DataContentType::Data)
            .file_path("memory:/t/data/f.parquet".to_owned())
            .file_format(DataFileFormat::Parquet)
            .partition(Struct::from_iter(values))
            .partition_spec_id(table.default_partition_spec_id())
            .record_count(2)
            .file_size_in_bytes(9)
            .lower_bounds(HashMap::from([(1, Datum::long(21)), (2, Datum::long(7))]))
            .build()
            .unwrap();
        let text = file_to_text(&file, &table).unwrap();
        assert_eq!(file_from_text(&text, &table).unwrap(), (file, table.default_partition_spec_id()));
    }
}
