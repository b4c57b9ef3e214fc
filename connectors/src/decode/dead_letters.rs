//! Records that could not be decoded, as rows of a table of their own.
//!
//! Owns the columns of a table of dead letters: the record as it came, byte for byte, and why it is there.
//! - I1: what is needed to decode the record again is in the row: key, value, headers, place and time.
//! - I2: a letter is one of a job's epoch: a record that is read again after a rollback is another letter.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema};
use tableflow_model::{Error, Records, Result, TopicName};

use super::metadata::{MetadataColumns, RESERVED_PREFIX, origin};
use super::{RecordError, RegistryFraming, Taken};

/// How the records of a topic name their schemas; a part that has none names nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Framings {
    pub value: Option<RegistryFraming>,
    pub key: Option<RegistryFraming>,
}

/// Names and types, in order.
pub fn fields() -> Fields {
    let origin = MetadataColumns::Portable.fields().into_iter().map(|field| {
        let name = field.name().strip_prefix(RESERVED_PREFIX).unwrap_or(field.name());
        Arc::new(field.as_ref().clone().with_name(name))
    });
    let own = [
        ("value", DataType::Binary),
        ("value_schema", DataType::Utf8),
        ("key_schema", DataType::Utf8),
        ("reason", DataType::Utf8),
        ("path", DataType::Utf8),
        ("message", DataType::Utf8),
        ("epoch", DataType::Int64),
        ("replayed", DataType::Boolean),
    ];
    let own = own.into_iter().map(|(name, data_type)| Arc::new(Field::new(name, data_type, true)));
    origin.chain(own).collect::<Vec<FieldRef>>().into()
}

/// The rows of some records of a batch.
pub fn letters(
    topic: &TopicName,
    records: &Records,
    failures: &[RecordError],
    framings: Framings,
    epoch: u64,
) -> Result<RecordBatch> {
    let rows: Vec<usize> = failures.iter().map(|failure| failure.row).collect();
    let schemas = |framing: Option<RegistryFraming>| -> ArrayRef {
        let schema_of = |row: &usize| framing.and_then(|framing| framing.schema_of(records, *row));
        Arc::new(rows.iter().map(|row| schema_of(row).map(|schema| schema.to_string())).collect::<StringArray>())
    };
    let texts = |text: fn(&RecordError) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(failures.iter().map(text)))
    };
    let mut columns = origin(topic, records, &Taken::these(&rows));
    columns.push(Arc::new(rows.iter().map(|row| records.value(*row)).collect::<BinaryArray>()));
    columns.push(schemas(framings.value));
    columns.push(schemas(framings.key));
    columns.push(texts(|failure| failure.reason.code()));
    columns.push(texts(|failure| &failure.path));
    columns.push(texts(|failure| &failure.message));
    columns.push(Arc::new(Int64Array::from_value(epoch.cast_signed(), rows.len())));
    columns.push(Arc::new(BooleanArray::from(vec![false; rows.len()])));
    RecordBatch::try_new(Arc::new(Schema::new(fields())), columns)
        .map_err(|error| Error::internal("the columns of dead letters do not fit together").with_source(error))
}
