//! A staged file as text: what an epoch manifest carries until the file is committed.
//!
//! - I1: what is read back is the file that was staged, bounds and all, under the schema and the partition spec it
//!   was written with, whatever has become of the table's current ones.

use iceberg::spec::{DataFile, TableMetadata, deserialize_data_file_from_json, serialize_data_file_to_json};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tableflow_model::{Error, Result};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    schema: i32,
    spec: i32,
    file: Value,
}

/// A file that was staged for the table as it is: with its current schema and its default partition spec.
pub fn file_to_text(file: &DataFile, table: &TableMetadata) -> Result<String> {
    let unwritable = |error| Error::internal("a staged file could not be written as text").with_detail(error);
    let spec = table.default_partition_spec();
    let partition = table.default_partition_type();
    let json = serialize_data_file_to_json(file.clone(), partition, table.format_version());
    let json = json.map_err(|error| unwritable(error.to_string()))?;
    let file = serde_json::from_str(&json).map_err(|error| unwritable(error.to_string()))?;
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
    let file = deserialize_data_file_from_json(&text.file.to_string(), text.spec, &partition, schema);
    Ok((file.map_err(|error| unreadable(error.to_string()))?, text.spec))
}
